// What must hold of the records of a metadata store at any time, whatever has been done to it: one line a breach.

import type { KeyValueReader } from '../../src/storage/metadata/kv/contract.ts'

type Rows = ReadonlyMap<string, string>

/** Every record, by its key without the first letter, under that letter. */
export function dump(reader: KeyValueReader): ReadonlyMap<string, Rows> {
  const trees = new Map<string, Map<string, string>>()
  for (const { key, value } of reader.entries({ start: '!', end: '~' })) {
    const tree = key.slice(0, key.indexOf('!'))
    const rows = trees.get(tree) ?? new Map<string, string>()
    trees.set(tree, rows.set(key.slice(tree.length + 1), value))
  }
  return trees
}

export function breaches(reader: KeyValueReader): string[] {
  const trees = dump(reader)
  const rowsOf = (tree: string): Rows => trees.get(tree) ?? new Map()
  return [
    ...manifestBreaches(rowsOf),
    ...tagBreaches(rowsOf),
    ...blobBreaches(rowsOf),
    ...[...rowsOf('m').keys()]
      .filter((key) => reader.getBody(`m!${key}`) === undefined)
      .map((key) => `manifest ${key} has no body`),
  ]
}

type RowsOf = (tree: string) => Rows

interface Contents {
  readonly blobs: readonly string[]
  readonly children: readonly string[]
  readonly subject?: string
}

function manifestBreaches(rowsOf: RowsOf): string[] {
  const references = new Set<string>()
  const children = new Set<string>()
  const referrers = new Set<string>()
  const repositories = new Set<string>()
  for (const [key, text] of rowsOf('x')) {
    const [repository = '', digest = ''] = key.split('!')
    const contents = JSON.parse(text) as Contents
    repositories.add(repository)
    for (const blob of contents.blobs) references.add(`${repository}!${blob}!${digest}`)
    for (const child of contents.children) children.add(`${repository}!${child}!${digest}`)
    if (contents.subject) referrers.add(`${repository}!${contents.subject}!${digest}`)
  }
  return [
    ...difference('contents', rowsOf('x'), 'manifests', new Set(rowsOf('m').keys())),
    ...difference('references', rowsOf('f'), 'manifests', references),
    ...difference('children', rowsOf('c'), 'manifests', children),
    ...difference('referrers', rowsOf('r'), 'manifests', referrers),
    ...difference('catalogue', rowsOf('n'), 'manifests', repositories),
  ]
}

function tagBreaches(rowsOf: RowsOf): string[] {
  const turned = new Set<string>()
  const lost: string[] = []
  for (const [key, digest] of rowsOf('t')) {
    const [repository = '', tag = ''] = key.split('!')
    turned.add(`${repository}!${digest}!${tag}`)
    if (!rowsOf('m').has(`${repository}!${digest}`)) lost.push(`tag ${key} points at nothing`)
  }
  return [...lost, ...difference('tags of digests', rowsOf('d'), 'tags', turned)]
}

function blobBreaches(rowsOf: RowsOf): string[] {
  const found: string[] = []
  const leases = new Set<string>()
  const held = new Set<string>()
  const referenced = new Set(
    [...rowsOf('f').keys()].map((key) => key.slice(0, key.lastIndexOf('!'))),
  )
  for (const [key, lease] of rowsOf('l')) {
    const [digest = '', repository = ''] = key.split('!')
    held.add(digest)
    if (!rowsOf('b').has(digest)) found.push(`link ${key} has no blob record`)
    const isReferenced = referenced.has(`${repository}!${digest}`)
    if (isReferenced !== (lease === '-')) found.push(`link ${key} is ${lease}`)
    if (lease !== '-') leases.add(`${lease.padStart(15, '0')}!${digest}!${repository}`)
  }
  for (const [digest, record] of rowsOf('b')) {
    const lease = record.split(' ')[2] ?? ''
    if (held.has(digest) !== (lease === '-')) found.push(`blob ${digest} is ${record}`)
    if (lease !== '-') leases.add(`${lease.padStart(15, '0')}!${digest}!`)
  }
  return [...found, ...difference('leases', rowsOf('g'), 'links', leases)]
}

function difference(name: string, rows: Rows, of: string, expected: ReadonlySet<string>): string[] {
  return [
    ...[...rows.keys()]
      .filter((key) => !expected.has(key))
      .map((key) => `${name}: ${key} too much`),
    ...[...expected].filter((key) => !rows.has(key)).map((key) => `${name}: ${key} of ${of} lacks`),
  ]
}

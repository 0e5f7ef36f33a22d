// What must hold of the records of a metadata store at any time, whatever has been done to it: one line a breach.

import type { KeyValueReader } from '../../src/storage/metadata/kv/contract.ts'

type Rows = ReadonlyMap<string, string>

/**
 * Every record by its tree: `r.t` for the tags of repositories, `g` for leases. The key of a row in a
 * repository starts with the repository's name.
 */
export function dump(reader: KeyValueReader): ReadonlyMap<string, Rows> {
  const trees = new Map<string, Map<string, string>>()
  for (const { key, value } of reader.entries({ start: '!', end: '~' })) {
    const [first = '', second = '', third = '', ...rest] = key.split('!')
    const isOfRepository = first === 'r'
    const tree = isOfRepository ? `r.${third}` : first
    const row = isOfRepository ? [second, ...rest].join('!') : key.slice(first.length + 1)
    const rows = trees.get(tree) ?? new Map<string, string>()
    trees.set(tree, rows.set(row, value))
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
    ...[...rowsOf('r.m').keys()]
      .filter((key) => reader.getBody(`r!${key.replace('!', '!m!')}`) === undefined)
      .map((key) => `manifest ${key} has no body`),
    ...removedBreaches(rowsOf, (key) => reader.getBody(key) !== undefined),
    ...timeBreaches(rowsOf),
    ...usageBreaches(rowsOf, (key) => reader.getBody(key)?.length ?? 0),
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
  for (const [key, text] of rowsOf('r.n')) {
    const [repository = '', digest = ''] = key.split('!')
    const contents = JSON.parse(text) as Contents
    repositories.add(repository)
    for (const blob of contents.blobs) references.add(`${repository}!${blob}!${digest}`)
    for (const child of contents.children) children.add(`${repository}!${child}!${digest}`)
    if (contents.subject) referrers.add(`${repository}!${contents.subject}!${digest}`)
  }
  return [
    ...difference('contents', rowsOf('r.n'), 'manifests', new Set(rowsOf('r.m').keys())),
    ...difference('references', withParts(rowsOf('r.b'), 3), 'manifests', references),
    ...difference('children', rowsOf('r.c'), 'manifests', children),
    ...difference('referrers', rowsOf('r.s'), 'manifests', referrers),
    ...difference('catalogue', rowsOf('n'), 'manifests', repositories),
  ]
}

function tagBreaches(rowsOf: RowsOf): string[] {
  const turned = new Set<string>()
  const lost: string[] = []
  for (const [key, digest] of rowsOf('r.t')) {
    const [repository = '', tag = ''] = key.split('!')
    turned.add(`${repository}!${digest}!${tag}`)
    if (!rowsOf('r.m').has(`${repository}!${digest}`)) lost.push(`tag ${key} points at nothing`)
  }
  return [...lost, ...difference('tags of digests', rowsOf('r.d'), 'tags', turned)]
}

function blobBreaches(rowsOf: RowsOf): string[] {
  const found: string[] = []
  const leases = new Set<string>()
  const held = new Set<string>()
  const records = withParts(rowsOf('b'), 1)
  const links = withParts(rowsOf('r.b'), 2)
  const referenced = new Set(
    [...withParts(rowsOf('r.b'), 3).keys()].map((key) => key.slice(0, key.lastIndexOf('!'))),
  )
  const turned = new Set<string>()
  for (const [key, lease] of links) {
    const [repository = '', digest = ''] = key.split('!')
    held.add(digest)
    turned.add(`${digest}!${repository}`)
    if (!records.has(digest)) found.push(`link ${key} has no blob record`)
    if (referenced.has(key) !== (lease === '-')) found.push(`link ${key} is ${lease}`)
    if (lease !== '-') leases.add(`${lease.padStart(15, '0')}!${digest}!${repository}`)
  }
  const condemned = new Set<string>()
  const destroying = new Set<string>()
  for (const [digest, record] of records) {
    const [, state = '', time = ''] = record.split(' ')
    const isKept = state === 'live' || state === 'quarantined'
    const row = `${time.padStart(15, '0')}!${digest}!`
    if (held.has(digest) !== (isKept && time === '-')) found.push(`blob ${digest} is ${record}`)
    if (isKept && time !== '-') leases.add(row)
    if (state === 'condemned') condemned.add(row)
    if (state === 'destroying') destroying.add(digest)
  }
  const dropped = new Map([...rowsOf('d')].filter(([key]) => key.endsWith('!')))
  return [
    ...found,
    ...difference('leases', rowsOf('g'), 'links', leases),
    ...difference('dropped', dropped, 'condemned blobs', condemned),
    ...difference('destructions', rowsOf('y'), 'blobs', destroying),
    ...difference('holders', withParts(rowsOf('b'), 2), 'links', turned),
  ]
}

/** Deleted manifests list by time, and have their bytes. */
function removedBreaches(rowsOf: RowsOf, hasBody: (key: string) => boolean): string[] {
  const turned = new Set<string>()
  const lost: string[] = []
  for (const key of rowsOf('r.w').keys()) {
    const [repository = '', digest = '', time = ''] = key.split('!')
    turned.add(`${time}!${digest}!${repository}`)
    const body = `r!${repository}!w!${digest}!${time}`
    if (!hasBody(body)) lost.push(`removed manifest ${key} has no body`)
  }
  return [...lost, ...difference('removals by time', rowsOf('w'), 'removed manifests', turned)]
}

/** Times of pushes, pulls and sweeps go with what they are of. */
function timeBreaches(rowsOf: RowsOf): string[] {
  const without = (tree: string, ...of: readonly string[]): string[] =>
    [...rowsOf(tree).keys()]
      .filter((key) => !of.some((other) => rowsOf(other).has(key)))
      .map((key) => `${tree} of ${key} is of nothing`)
  return [
    ...without('r.p', 'r.t', 'r.m'),
    ...without('r.l', 'r.t', 'r.m'),
    ...without('r.u', 'r.m'),
  ]
}

/** The counters say what the rows add up to; one that is gone says zero. */
function usageBreaches(rowsOf: RowsOf, bodyLength: (key: string) => number): string[] {
  const sums = new Map<string, [bytes: number, tags: number]>()
  const add = (repository: string, bytes: number, tags: number): void => {
    const parts = repository.split('/')
    for (let length = 0; length <= parts.length; length++) {
      const prefix = parts.slice(0, length).join('/')
      const [before, tagsBefore] = sums.get(prefix) ?? [0, 0]
      sums.set(prefix, [before + bytes, tagsBefore + tags])
    }
  }
  for (const key of withParts(rowsOf('r.b'), 2).keys()) {
    const [repository = '', digest = ''] = key.split('!')
    add(repository, Number(rowsOf('b').get(digest)?.split(' ')[0]), 0)
  }
  for (const key of rowsOf('r.m').keys()) {
    add(key.split('!')[0] ?? '', bodyLength(`r!${key.replace('!', '!m!')}`), 0)
  }
  for (const key of rowsOf('r.t').keys()) add(key.split('!')[0] ?? '', 0, 1)
  const expected = [...sums].filter(([, [bytes, tags]]) => bytes > 0 || tags > 0)
  const texts = expected.map(([prefix, [bytes, tags]]) => `${prefix} = ${bytes} ${tags}`)
  const counters = [...rowsOf('q')].map(([prefix, text]) => [`${prefix} = ${text}`, text] as const)
  return difference('usage', new Map(counters), 'content', new Set(texts))
}

/** The rows whose keys have so many parts. */
function withParts(rows: Rows, count: number): Rows {
  return new Map([...rows].filter(([key]) => key.split('!').length === count))
}

function difference(name: string, rows: Rows, of: string, expected: ReadonlySet<string>): string[] {
  return [
    ...[...rows.keys()]
      .filter((key) => !expected.has(key))
      .map((key) => `${name}: ${key} too much`),
    ...[...expected].filter((key) => !rows.has(key)).map((key) => `${name}: ${key} of ${of} lacks`),
  ]
}

// The tree of angos 1.6 on a file system, and the older shape that it still reads:
//
//   v2/ns/<name>!tag/<tag>!/<16 hex>.<set|del>.<algorithm>.<hex>   what happened to a tag; the lowest number is the last
//   v2/ns/<name>!rev/<algorithm>/<2 hex>/<hex>                  JSON: media_type, created_at
//   v2/repositories/<name>/_manifests/tags/<tag>/current/link      older: JSON: target, created_at, media_type
//                                    /revisions/<algorithm>/<hex>/link
//   v2/blobs/<algorithm>/<2 hex>/<hex>/data                        the bytes of manifests and blobs

import { type Digest, digestAlgorithm, digestHex, parseDigest } from '../../../oci/digest.ts'
import { parseRepositoryName } from '../../../oci/name.ts'
import { parseStrictJson } from '../../../oci/strict-json.ts'
import { parseTag, type Tag } from '../../../oci/tag.ts'
import { dataKey, digestAlgorithms, prefixLength } from '../../../storage/blob/keys.ts'
import type {
  Importer,
  ImportFault,
  ImportRoot,
  ImportSource,
  SourceBlob,
  SourceManifest,
} from '../contract.ts'
import { strayOption } from '../import-input.ts'
import { nameReason } from './distribution.ts'
import { byCode, SourceTree, shownName } from './tree.ts'
import { walkRepositories } from './walk-repositories.ts'

const recordBytesMax = 256 << 10
/** Of the times that the numbers of tag entries are inverted from. */
const newest = 2n ** 64n - 2n

export const angosImporter: Importer = {
  from: 'angos',
  check: (request) => {
    const { blobs } = request.options
    const isPath = blobs === undefined || (typeof blobs === 'string' && blobs.startsWith('/'))
    return isPath ? strayOption(request, ['blobs']) : 'blobs is the path of its blob store'
  },
  async open({ source, options }) {
    const records = await findTree(source)
    const { blobs } = options
    const bytes = typeof blobs === 'string' ? await findBlobs(blobs) : await records.below('.')
    if (bytes === undefined || !(await bytes.has('blobs'))) {
      throw new Error(`${source} holds no v2/blobs: if they lie elsewhere, say where with --blobs`)
    }
    return new AngosSource(records, bytes)
  },
}

async function findTree(path: string): Promise<SourceTree> {
  const top = await SourceTree.open(path)
  for (const place of ['v2', '.']) {
    const tree = await top.below(place)
    if (tree === undefined) continue
    if (await tree.has('ns')) return tree
    // The older shape alone: a docker-registry has no such links of JSON, nor `v2` at its root.
    if (place === 'v2' && (await tree.has('repositories'))) return tree
  }
  throw new Error(`${path} is not the root_dir of an angos metadata store: it has no v2/ns`)
}

async function findBlobs(path: string): Promise<SourceTree> {
  const top = await SourceTree.open(path)
  return (await top.below('v2')) ?? top
}

interface TagState {
  readonly digest: Digest
  readonly pushedAtMs: number | undefined
}

class AngosSource implements ImportSource {
  readonly title: string
  readonly isSorted = false
  readonly blobsRoot: string
  readonly #records: SourceTree
  readonly #bytes: SourceTree

  constructor(records: SourceTree, bytes: SourceTree) {
    this.#records = records
    this.#bytes = bytes
    this.blobsRoot = bytes.root
    this.title = `the angos tree ${records.root}`
  }

  async *repositories(): AsyncGenerator<string | ImportFault> {
    const isOwn = (name: string): boolean => name.includes('!')
    for await (const found of walkRepositories(this.#records, 'ns', undefined, isOwn)) {
      if (found.kind === 'fault') {
        yield { repository: found.name, reason: found.reason }
        continue
      }
      // The markers are named for the repositories beside them: `<component>!tag`.
      const names = [...found.markers].flatMap((marker) => recorded.exec(marker)?.[1] ?? [])
      for (const name of [...new Set(names)].sort(byCode)) yield named(joined(found.name, name))
    }
    for await (const found of walkRepositories(this.#records, 'repositories')) {
      if (found.kind === 'fault') yield { repository: found.name, reason: found.reason }
      else if (found.name === '' || !found.markers.has('_manifests')) continue
      else if (!(await this.#isRecorded(found.name))) yield named(found.name)
    }
  }

  async #isRecorded(name: string): Promise<boolean> {
    return (await this.#records.has(`ns/${name}!rev`)) || this.#records.has(`ns/${name}!tag`)
  }

  async *roots(repository: string): AsyncGenerator<ImportRoot | ImportFault> {
    const seen = new Set<string>()
    const tags = `ns/${repository}!tag`
    for await (const { name, isDirectory } of this.#records.entries(tags)) {
      if (!isDirectory || !name.endsWith('!')) continue
      seen.add(name.slice(0, -1))
      yield* this.#tag(repository, name.slice(0, -1), await this.#readEntries(`${tags}/${name}`))
    }
    const older = `repositories/${repository}/_manifests/tags`
    for await (const { name, isDirectory } of this.#records.entries(older)) {
      if (!isDirectory || seen.has(name)) continue
      const read = this.#readRecord(`${older}/${name}/current/link`).catch(() => undefined)
      yield* this.#tag(repository, name, stateOf(await read))
    }
    yield* this.#revisions(repository)
  }

  *#tag(
    repository: string,
    name: string,
    state: TagState | 'deleted' | undefined,
  ): Generator<ImportRoot | ImportFault> {
    if (state === 'deleted') return
    const tag = parseTag(name)
    const shown = { repository, reference: shownName(name) }
    if (tag === undefined) yield { ...shown, reason: 'is not a tag' }
    else if (state === undefined) yield { ...shown, reason: 'what it names cannot be read' }
    else yield { tag, digest: state.digest, ...timeOf(state.pushedAtMs) }
  }

  /** The last thing that happened: the lowest number; of several, a set before a deletion, and the highest digest. */
  async #readEntries(directory: string): Promise<TagState | 'deleted' | undefined> {
    let last:
      | { readonly order: string; readonly digest: Digest; readonly isSet: boolean }
      | undefined
    for await (const { name } of this.#records.entries(directory)) {
      const entry = readEntryName(name)
      if (entry === undefined || (last !== undefined && !isLater(entry, last))) continue
      last = entry
    }
    if (last === undefined) return undefined
    if (!last.isSet) return 'deleted'
    const { digest, order } = last
    const pushedAt = newest - BigInt(`0x${order}`)
    return { digest, pushedAtMs: pushedAt >= 0n ? Number(pushedAt) : undefined }
  }

  async *#revisions(repository: string): AsyncGenerator<ImportRoot> {
    for (const algorithm of digestAlgorithms) {
      const at = `ns/${repository}!rev/${algorithm}`
      for (const prefix of await this.#records.directories(at)) {
        for await (const { name, isDirectory } of this.#records.entries(`${at}/${prefix}`)) {
          const digest = isDirectory ? undefined : parseDigest(`${algorithm}:${name}`)
          if (digest !== undefined) yield { digest }
        }
      }
      const older = `repositories/${repository}/_manifests/revisions/${algorithm}`
      for await (const { name, isDirectory } of this.#records.entries(older)) {
        const digest = isDirectory ? parseDigest(`${algorithm}:${name}`) : undefined
        if (digest === undefined || !(await this.#records.has(`${older}/${name}/link`))) continue
        if (!(await this.#records.has(recordKey(repository, digest)))) yield { digest }
      }
    }
  }

  async readManifest(
    repository: string,
    reference: Digest | Tag,
    bytesMax: number,
  ): Promise<SourceManifest | undefined> {
    const digest = parseDigest(reference)
    if (digest === undefined) return undefined
    const record =
      (await this.#readRecord(recordKey(repository, digest))) ??
      (await this.#readRecord(olderKey(repository, digest)))
    if (record === undefined) return undefined
    const found = await this.#bytes.readSmall(dataKey(digest), bytesMax)
    if (found === undefined) throw new Error(`the bytes of the manifest ${digest} are missing`)
    const { media_type: mediaType } = record
    return { bytes: found.bytes, ...(typeof mediaType === 'string' ? { mediaType } : {}) }
  }

  async findBlob(_repository: string, digest: Digest): Promise<SourceBlob | undefined> {
    const found = await this.#bytes.findFile(dataKey(digest))
    // Nothing that it documents says that the file of a blob is never opened for writing again.
    return found && { kind: 'file', ...found, isFrozen: false }
  }

  async close(): Promise<void> {
    // Nothing is kept open.
  }

  async #readRecord(path: string): Promise<Readonly<Record<string, unknown>> | undefined> {
    const file = await this.#records.readSmall(path, recordBytesMax)
    if (file === undefined) return undefined
    const json = parseStrictJson(file.bytes, { depthMax: 16 })
    if (!json.ok || typeof json.value !== 'object' || json.value === null) {
      throw new Error(`${path} is no record of angos`)
    }
    return json.value as Readonly<Record<string, unknown>>
  }
}

const recorded = /^([^!]+)!(?:tag|rev)$/
const entryForm = /^([0-9a-f]{16})\.(set|del)\.(sha256|sha512)\.([0-9a-f]+)$/

interface TagEntry {
  readonly order: string
  readonly digest: Digest
  readonly isSet: boolean
}

function readEntryName(name: string): TagEntry | undefined {
  const [, order, kind, algorithm, hex] = entryForm.exec(name) ?? []
  const digest = parseDigest(`${algorithm}:${hex}`)
  return order === undefined || digest === undefined
    ? undefined
    : { order, digest, isSet: kind === 'set' }
}

function isLater(entry: TagEntry, than: TagEntry): boolean {
  if (entry.order !== than.order) return entry.order < than.order
  if (entry.digest !== than.digest) return entry.digest > than.digest
  return entry.isSet && !than.isSet
}

function stateOf(record: Readonly<Record<string, unknown>> | undefined): TagState | undefined {
  const { target, created_at: createdAt } = { ...record }
  const digest = typeof target === 'string' ? parseDigest(target) : undefined
  const at = typeof createdAt === 'string' ? Date.parse(createdAt) : Number.NaN
  return digest && { digest, pushedAtMs: Number.isNaN(at) ? undefined : at }
}

function timeOf(pushedAtMs: number | undefined): { readonly pushedAtMs?: number } {
  const isTime = pushedAtMs !== undefined && Number.isSafeInteger(pushedAtMs) && pushedAtMs >= 0
  return isTime ? { pushedAtMs } : {}
}

function named(name: string): string | ImportFault {
  if (parseRepositoryName(name) !== undefined) return name
  return { repository: shownName(name), reason: nameReason(name) }
}

function joined(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`
}

function recordKey(repository: string, digest: Digest): string {
  const hex = digestHex(digest)
  const prefix = hex.slice(0, prefixLength)
  return `ns/${repository}!rev/${digestAlgorithm(digest)}/${prefix}/${hex}`
}

function olderKey(repository: string, digest: Digest): string {
  const place = `repositories/${repository}/_manifests/revisions`
  return `${place}/${digestAlgorithm(digest)}/${digestHex(digest)}/link`
}

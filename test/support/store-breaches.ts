// Answers for "nothing is lost and nothing leaks": records and files of a store compared both ways, one line
// a breach. Reads every byte, so for small stores.

import { type Digest, digestAlgorithm, digestOfBytes, parseDigest } from '../../src/oci/digest.ts'
import type { BlobStore } from '../../src/storage/blob/contract.ts'
import type { KeyValueReader } from '../../src/storage/metadata/kv/contract.ts'
import { type BlobRecord, decodeBlob } from '../../src/storage/metadata/kv/encoding.ts'
import { breaches, dump } from '../simulate/metadata-invariants.ts'

export interface StoreState {
  /** Records that contradict each other, counters that are wrong, content that lacks or is not what it says. */
  readonly breaches: readonly string[]
  /** Bytes without a record: of a push that a kill has cut short. */
  readonly orphans: readonly Digest[]
  /** Until when what nothing references may stay. */
  readonly leases: readonly TimedRow[]
  /** What collections have dropped and not yet destroyed or forgotten. */
  readonly dropped: readonly TimedRow[]
  readonly destroying: readonly Digest[]
}

export interface TimedRow {
  /** Milliseconds since 1970. */
  readonly timeMs: number
  readonly digest: string
  /** Empty: the blob itself. */
  readonly repository: string
}

/** `sparse`: manifests may name what is not there. */
export async function inspectStore(
  reader: KeyValueReader,
  blobs: BlobStore,
  options: { readonly sparse?: boolean } = {},
): Promise<StoreState> {
  const trees = dump(reader)
  const records = blobRecords(trees.get('b') ?? new Map())
  const files = await readFiles(blobs)
  const destroying = [...records].filter(([, { state }]) => state === 'destroying')
  return {
    breaches: [
      ...breaches(reader),
      ...bodyBreaches(reader, trees.get('r.m') ?? new Map()),
      ...(options.sparse === true ? [] : contentBreaches(trees, records)),
      ...fileBreaches(records, files),
    ],
    orphans: [...files.keys()].filter((digest) => !records.has(digest)),
    leases: timedRows(trees.get('g')),
    dropped: timedRows(trees.get('d')),
    destroying: destroying.map(([digest]) => digest),
  }
}

type Rows = ReadonlyMap<string, string>

interface File {
  readonly size: number
  /** Whether the bytes have the digest of their name. */
  readonly isRight: boolean
}

function blobRecords(rows: Rows): ReadonlyMap<Digest, BlobRecord> {
  const found = new Map<Digest, BlobRecord>()
  for (const [key, text] of rows) {
    const digest = parseDigest(key)
    if (digest !== undefined) found.set(digest, decodeBlob(text, key))
  }
  return found
}

async function readFiles(blobs: BlobStore): Promise<ReadonlyMap<Digest, File>> {
  const files = new Map<Digest, File>()
  for await (const { digest, size } of blobs.list()) {
    const bytes = new Uint8Array(size)
    const reader = await blobs.open(digest)
    for (let at = 0; reader && at < size; ) at += await reader.read(at, bytes.subarray(at))
    reader?.close()
    const isRight = digestOfBytes(digestAlgorithm(digest), bytes) === digest
    files.set(digest, { size, isRight })
  }
  return files
}

function bodyBreaches(reader: KeyValueReader, manifests: Rows): string[] {
  const isWrong = (key: string): boolean => {
    const digest = parseDigest(key.split('!')[1] ?? '')
    const body = reader.getBody(`r!${key.replace('!', '!m!')}`)
    if (digest === undefined || body === undefined) return true
    return digestOfBytes(digestAlgorithm(digest), body) !== digest
  }
  return [...manifests.keys()].filter(isWrong).map((key) => `manifest ${key} has other bytes`)
}

/** What a manifest names is held by its repository, and live or put aside. */
function contentBreaches(
  trees: ReadonlyMap<string, Rows>,
  records: ReadonlyMap<Digest, BlobRecord>,
): string[] {
  const found: string[] = []
  const links = trees.get('r.b') ?? new Map<string, string>()
  for (const [key, text] of trees.get('r.n') ?? []) {
    const repository = key.split('!')[0] ?? ''
    const { blobs } = JSON.parse(text) as { readonly blobs: readonly Digest[] }
    for (const blob of blobs) {
      const state = records.get(blob)?.state ?? 'absent'
      const isHeld = links.has(`${repository}!${blob}`)
      const isThere = state === 'live' || state === 'quarantined'
      if (!isHeld || !isThere) found.push(`${blob} of manifest ${key} is ${state}, held: ${isHeld}`)
    }
  }
  return found
}

function fileBreaches(
  records: ReadonlyMap<Digest, BlobRecord>,
  files: ReadonlyMap<Digest, File>,
): string[] {
  const found: string[] = []
  for (const [digest, { size, state }] of records) {
    const file = files.get(digest)
    // Of one that is being destroyed the bytes may be gone already; one put aside lies elsewhere.
    const mayLack = state === 'destroying' || state === 'quarantined'
    if (file === undefined && !mayLack) found.push(`${state} blob ${digest} has no bytes`)
    if (file === undefined) continue
    if (file.size !== size) found.push(`blob ${digest} has ${file.size} bytes instead of ${size}`)
    else if (!file.isRight) found.push(`blob ${digest} has other bytes`)
  }
  return found
}

function timedRows(rows: Rows = new Map()): readonly TimedRow[] {
  return [...rows.keys()].map((key) => {
    const [time = '', digest = '', repository = ''] = key.split('!')
    return { timeMs: Number(time), digest, repository }
  })
}

// All rows of a store as of one moment, but for those of processes that live.

import { hash } from 'node:crypto'
import type { Dump, DumpCounts, DumpEntry, DumpedBlob } from '../dump.ts'
import type { KeyRange, KeyValueEntry, KeyValueReader, KeyValueSnapshot } from './contract.ts'
import { type BlobRecord, decodeBlob, decodeDigest } from './encoding.ts'
import {
  adoptionKey,
  destructionsPrefix,
  jobKey,
  keyBehind,
  lockKey,
  probeKey,
  secretKey,
  uploadsPrefix,
} from './keys.ts'
import { type OnCorrupt, passingOver } from './passing-over.ts'

// Rows at a time, so that requests are answered in between; bodies may be much longer.
const recordsPerPage = 500
const bodyBytesPerPage = 1 << 20
const bodyKeysPerRead = 100

/** Every key is in it: they begin with a letter and hold printable ASCII alone. */
export const everything: KeyRange = { start: ' ', end: '~' }

/** Of a key whose rows belong to processes that live, or to the place where the blobs lie. */
function isLeftOut(key: string): boolean {
  return leftOut.some((prefix) => key === prefix || key.startsWith(`${prefix}!`))
}

const leftOut = [
  ...[uploadsPrefix, destructionsPrefix],
  ...[lockKey, probeKey, adoptionKey, jobKey('').slice(0, -1)],
] as const

export class SnapshotDump implements Dump {
  readonly #snapshot: KeyValueSnapshot
  readonly #onCorrupt: OnCorrupt
  #start = everything.start
  #isAtBodies = false
  readonly #bodyKeys: string[] = []
  readonly #counts = { repositories: 0, manifests: 0, tags: 0 }
  readonly quarantined: Omit<DumpedBlob, 'kind'>[] = []

  constructor(snapshot: KeyValueSnapshot, onCorrupt: OnCorrupt) {
    this.#snapshot = snapshot
    this.#onCorrupt = onCorrupt
  }

  get counts(): DumpCounts {
    return { ...this.#counts }
  }

  async next(): Promise<readonly DumpEntry[]> {
    while (!this.#isAtBodies) {
      const range = { ...everything, start: this.#start, limit: recordsPerPage }
      const rows = await this.#snapshot.entries(range)
      const entries = rows.flatMap((row) => this.#entriesOf(row))
      const last = rows.at(-1)
      this.#isAtBodies = last === undefined
      this.#start = last === undefined ? everything.start : keyBehind(last.key)
      if (entries.length > 0) return entries
    }
    return this.#nextBodies()
  }

  close(): void {
    this.#snapshot.close()
  }

  #entriesOf({ key, value }: KeyValueEntry): DumpEntry[] {
    if (isLeftOut(key)) return []
    const record: DumpEntry = { kind: 'record', key, value }
    const [first, second = '', third] = key.split('!')
    if (first === 'n') this.#counts.repositories++
    if (first === 'r' && third === 'm') this.#counts.manifests++
    if (first === 'r' && third === 't') this.#counts.tags++
    if (first !== 'b' || third !== undefined) return [record]
    const read = (): DumpedBlob & BlobRecord => {
      return { kind: 'blob', digest: decodeDigest(second, key), ...decodeBlob(value, key) }
    }
    const blob = passingOver(read, this.#onCorrupt)
    // Its bytes may be gone at any moment.
    if (blob?.state === 'destroying') return []
    if (blob === undefined) return [record]
    const { digest, size } = blob
    if (blob.state !== 'quarantined') return [record, { kind: 'blob', digest, size }]
    this.quarantined.push({ digest, size })
    return [record]
  }

  async #nextBodies(): Promise<DumpEntry[]> {
    const entries: DumpEntry[] = []
    for (let bytes = 0; bytes < bodyBytesPerPage; ) {
      const key = await this.#nextBodyKey()
      if (key === undefined) break
      const body = await this.#snapshot.getBody(key)
      if (body === undefined) continue
      entries.push({ kind: 'body', key, bytes: body })
      bytes += body.length
    }
    return entries
  }

  async #nextBodyKey(): Promise<string | undefined> {
    if (this.#bodyKeys.length === 0) {
      const range = { ...everything, start: this.#start, limit: bodyKeysPerRead }
      this.#bodyKeys.push(...(await this.#snapshot.bodyKeys(range)))
      const last = this.#bodyKeys.at(-1)
      if (last !== undefined) this.#start = keyBehind(last)
    }
    return this.#bodyKeys.shift()
  }
}

/** As `DumpStore.readStoreId`. It tells nothing of the secret. */
export function readStoreId(reader: KeyValueReader): string | undefined {
  const secret = reader.get(secretKey)
  return secret === undefined ? undefined : hash('sha256', `keelson store ${secret}`).slice(0, 32)
}

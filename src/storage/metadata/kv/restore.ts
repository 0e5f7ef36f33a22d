// The way back of a dump into a store: emptied first, unusable until the last row is there.

import { randomUUID } from 'node:crypto'
import type { Digest } from '../../../oci/digest.ts'
import { StorageError } from '../../error.ts'
import type { MaybePromise } from '../contract.ts'
import type { DumpEntry, RestoreState, RestoreTarget, RestoreTimes } from '../dump.ts'
import type { PassesOver } from '../garbage.ts'
import type { Adoption } from '../job-store.ts'
import type { UsageFault } from '../usage.ts'
import type { Durability, KeyValueEntry, KeyValueStore, KeyValueTransaction } from './contract.ts'
import { everything } from './dump.ts'
import { decodeBlob, decodeDigest, encodeBlob } from './encoding.ts'
import { begunFormat, begunSnapshot, format } from './format.ts'
import { setAdoption } from './jobs.ts'
import { adoptionKey, formatKey, keyBehind, lockKey } from './keys.ts'
import { passingOver } from './passing-over.ts'
import { restoredKey, restoredRow } from './restore-times.ts'
import { usageFaults } from './usage-faults.ts'

// A commit of so many takes some ten milliseconds.
const keysPerCommit = 2_000

export class KeyValueRestore implements RestoreTarget {
  readonly #store: KeyValueStore
  readonly #run: string
  #format: string | undefined

  /** Nobody else may have it open. `run` is another one for each attempt. */
  constructor(store: KeyValueStore, run: string = randomUUID()) {
    this.#store = store
    this.#run = run
  }

  readState(): MaybePromise<RestoreState> {
    return this.#store.read(() => this.#state())
  }

  #state(): RestoreState {
    const snapshot = begunSnapshot(this.#store.reader.get(formatKey) ?? format)
    if (snapshot !== undefined) return { kind: 'begun', snapshot }
    for (const [room, what] of Object.entries(made)) {
      const range = { start: `${room}!`, end: `${room}"`, limit: 1 }
      const [key] = this.#store.reader.keys(range)
      if (key !== undefined) return { kind: 'used', holds: what(key) }
    }
    return { kind: 'empty' }
  }

  async begin(snapshot: string, adoption?: Adoption): Promise<void> {
    const begun = begunFormat(snapshot, this.#run)
    await this.#store.write('durable', (transaction) => {
      transaction.put(formatKey, begun)
      const isAdopted = transaction.get(adoptionKey) !== undefined
      if (adoption !== undefined && !isAdopted) setAdoption(transaction, adoption)
    })
    this.#format = begun
    for (let start: string | undefined = everything.start; start !== undefined; ) {
      const from: string = start
      start = await this.#write('visible', (transaction) => removeRows(transaction, from))
    }
    await this.#removeBodies()
  }

  async load(
    entries: readonly DumpEntry[],
    times: RestoreTimes,
    lacking: ReadonlySet<Digest>,
  ): Promise<void> {
    // Not durable each: `end` is, and what was committed before it with it.
    await this.#write('visible', (transaction) => {
      for (const entry of entries) {
        if (entry.kind === 'record') putRow(transaction, entry, times, lacking)
        else if (entry.kind === 'body') {
          transaction.putBody(restoredKey(entry.key, times), entry.bytes)
        }
      }
    })
  }

  async end(by: PassesOver): Promise<readonly UsageFault[]> {
    const snapshot = this.#store.snapshot()
    let faults: readonly UsageFault[] = []
    try {
      faults = await usageFaults(snapshot)
    } catch (error) {
      passingOver(() => {
        throw error
      }, by.onCorrupt)
    } finally {
      snapshot.close()
    }
    await this.#write('durable', (transaction) => transaction.put(formatKey, format))
    return faults
  }

  /** Not where another attempt has begun since: where no lock tells, this does. */
  #write<T>(durability: Durability, action: (transaction: KeyValueTransaction) => T): Promise<T> {
    return this.#store.write(durability, (transaction) => {
      if (transaction.get(formatKey) !== this.#format) {
        throw new StorageError('conflict', 'another restore to this store has begun meanwhile')
      }
      return action(transaction)
    })
  }

  async #removeBodies(): Promise<void> {
    const snapshot = this.#store.snapshot()
    try {
      for (let start = everything.start; ; ) {
        const keys = await snapshot.bodyKeys({ ...everything, start, limit: keysPerCommit })
        const last = keys.at(-1)
        if (last === undefined) return
        await this.#write('visible', (transaction) => {
          for (const key of keys) transaction.removeBody(key)
        })
        start = keyBehind(last)
      }
    } finally {
      snapshot.close()
    }
  }
}

/** What a server does not make by itself, by the first part of its keys, and how it is called. */
const made: Readonly<Record<string, (key: string) => string>> = {
  n: (key) => `the repository ${key.slice(2)}`,
  b: (key) => `the blob ${key.split('!')[1]}`,
  r: (key) => `rows of the repository ${key.split('!')[1]}`,
  k: (key) => `the API key ${key.slice(2)}`,
  x: () => 'revocations',
  f: () => 'refresh tokens',
}

// Who has the store open, and whose tree its blobs lie in.
const ofPlace: ReadonlySet<string> = new Set([formatKey, lockKey, adoptionKey])

/** Answers where to go on; undefined at the end. */
function removeRows(transaction: KeyValueTransaction, start: string): string | undefined {
  const keys = transaction.keys({ ...everything, start, limit: keysPerCommit })
  for (const key of keys) if (!ofPlace.has(key)) transaction.remove(key)
  const last = keys.at(-1)
  return last === undefined ? undefined : keyBehind(last)
}

function putRow(
  transaction: KeyValueTransaction,
  entry: KeyValueEntry,
  times: RestoreTimes,
  lacking: ReadonlySet<Digest>,
): void {
  if (entry.key === formatKey) {
    if (entry.value === format) return
    const text = `the backup is of a metadata store of format ${entry.value}, not ${format}`
    throw new StorageError('conflict', text)
  }
  // What could not be read before the backup cannot be read after it, and is no worse.
  const row = passingOver(
    () => withoutBytes(restoredRow(entry, times), lacking),
    () => {},
  )
  const { key, value } = row ?? entry
  transaction.put(key, value)
}

/** A blob whose bytes are lacking reads as absent, so that clients bring them again. */
function withoutBytes(row: KeyValueEntry, lacking: ReadonlySet<Digest>): KeyValueEntry {
  const { key, value } = row
  const [room, blob = '', more] = key.split('!')
  if (room !== 'b' || more !== undefined || !lacking.has(decodeDigest(blob, key))) return row
  const { condemnedAtMs: _none, ...record } = decodeBlob(value, key)
  return { key, value: encodeBlob({ ...record, state: 'quarantined' }) }
}

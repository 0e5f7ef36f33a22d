// The lock of a store: who uses it, as a record inside it. A dead holder is passed over.

import { StorageError } from '../../error.ts'
import type { ProcessIdentity } from '../../process-table.ts'
import type { KeyValueReader, KeyValueTransaction } from '../kv/contract.ts'
import { corrupt, countField, decodeObject, textField } from '../kv/encoding.ts'
import { lockKey } from '../kv/keys.ts'

/** `exclusive` is alone on the store; `shared` bears others that are `shared` too. */
export type Sharing = 'exclusive' | 'shared'

export interface Holder extends ProcessIdentity {
  /** Tells two stores of one process apart. */
  readonly id: string
  readonly sharing: Sharing
  readonly sinceMs: number
  readonly heartbeatMs: number
}

export interface LockOptions {
  readonly path: string
  readonly sharing: Sharing
  readonly identity: ProcessIdentity
  readonly now: () => number
  /** Answers an id that no other holder has. */
  readonly random: () => string
  readonly startTimeOf: (pid: number) => string | 'gone' | 'unknown'
}

/** Renewed this often, so that a process in another pid namespace can tell. */
export const heartbeatEveryMs = 5_000
export const heartbeatAgeMaxMs = 30_000

export class StoreLock {
  readonly #options: LockOptions
  readonly #id: string
  readonly #sinceMs: number
  /** The record when this lock was last seen in it. */
  #seen: string | undefined

  constructor(options: LockOptions) {
    this.#options = options
    this.#id = options.random()
    this.#sinceMs = options.now()
  }

  /**
   * Enter the record, in a write transaction; answers the dead holders that were in it.
   * Errors: StorageError 'conflict' while somebody alive excludes us.
   */
  acquire(transaction: KeyValueTransaction): readonly Holder[] {
    const holders = readHolders(transaction)
    const alive = holders.filter((holder) => isAlive(holder, this.#options))
    const { sharing } = this.#options
    const rival = alive.find((holder) => sharing === 'exclusive' || holder.sharing === 'exclusive')
    if (rival !== undefined) throw inUse(rival, this.#options)
    this.#put(transaction, [...alive, this.holder()])
    return holders.filter((holder) => !alive.includes(holder))
  }

  /** Errors: StorageError 'unavailable' where another process has taken the store over. */
  check(reader: KeyValueReader): void {
    const text = reader.get(lockKey)
    if (text !== undefined && text === this.#seen) return
    const isHeld = readHolders(reader).some((holder) => holder.id === this.#id)
    if (!isHeld) {
      throw new StorageError(
        'unavailable',
        `the metadata store ${this.#options.path} was taken over by another process`,
      )
    }
    this.#seen = text
  }

  renew(transaction: KeyValueTransaction): void {
    const others = readHolders(transaction).filter((holder) => holder.id !== this.#id)
    this.#put(transaction, [...others, this.holder()])
  }

  release(transaction: KeyValueTransaction): void {
    this.#put(
      transaction,
      readHolders(transaction).filter((holder) => holder.id !== this.#id),
    )
  }

  /** Who we are, as of now. */
  holder(): Holder {
    const { identity, sharing, now } = this.#options
    return { ...identity, id: this.#id, sharing, sinceMs: this.#sinceMs, heartbeatMs: now() }
  }

  #put(transaction: KeyValueTransaction, holders: readonly Holder[]): void {
    transaction.put(lockKey, JSON.stringify({ holders }))
  }
}

export function readHolders(reader: KeyValueReader): readonly Holder[] {
  const text = reader.get(lockKey)
  if (text === undefined) return []
  const { holders } = decodeObject(text, lockKey)
  if (!Array.isArray(holders)) throw corrupt(lockKey)
  return holders.map(decodeHolder)
}

export function isAlive(holder: Holder, options: LockOptions): boolean {
  const { identity, now, startTimeOf } = options
  // The host has been restarted since.
  if (holder.bootId !== identity.bootId) return false
  if (holder.pidNamespace !== identity.pidNamespace) {
    return now() - holder.heartbeatMs < heartbeatAgeMaxMs
  }
  const startTime = startTimeOf(holder.pid)
  return startTime === 'unknown' || startTime === holder.startTime
}

export function inUse(rival: Holder, { path, identity }: LockOptions): StorageError {
  const since = new Date(rival.sinceMs).toISOString()
  const isForeign = rival.pidNamespace !== identity.pidNamespace
  // A container that was just replaced by this one is seen to be gone only by its silence.
  const advice = isForeign
    ? `it runs in another container: stop it, or wait ${heartbeatAgeMaxMs / 1000} s where it is gone`
    : 'stop that process, or let the running server do it'
  return new StorageError(
    'conflict',
    `the metadata store ${path} is in use by process ${rival.pid} (${rival.sharing}, since ${since}): ${advice}`,
  )
}

export function decodeHolder(value: unknown): Holder {
  if (typeof value !== 'object' || value === null) throw corrupt(lockKey)
  const fields = value as Readonly<Record<string, unknown>>
  const sharing = fields['sharing']
  if (sharing !== 'exclusive' && sharing !== 'shared') throw corrupt(lockKey)
  return {
    id: textField(fields['id'], lockKey),
    pid: countField(fields['pid'], lockKey),
    startTime: textField(fields['startTime'], lockKey),
    bootId: textField(fields['bootId'], lockKey),
    pidNamespace: textField(fields['pidNamespace'], lockKey),
    sharing,
    sinceMs: countField(fields['sinceMs'], lockKey),
    heartbeatMs: countField(fields['heartbeatMs'], lockKey),
  }
}

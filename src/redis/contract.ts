// What hosts need of Redis, and spreading revocations of the store behind it.

import type { Revocation } from '../storage/metadata/token-store.ts'

/** Fields of a hash, as they come: a text that is a field, then its value. */
export interface HashPage {
  /** '0' where there are no more. */
  readonly cursor: string
  readonly pairs: readonly (readonly [field: string, value: string])[]
}

/**
 * Connections to Redis that come back by themselves. Every method answers or rejects within the
 * configured time, and rejects at once while there is no connection: nothing waits in a queue.
 */
export interface RedisLink {
  readonly isReady: boolean
  readField(key: string, field: string): Promise<string | undefined>
  readPage(key: string, cursor: string): Promise<HashPage>
  write(key: string, fields: Readonly<Record<string, string>>): Promise<void>
  remove(key: string, fields: readonly string[]): Promise<void>
  expire(key: string, afterMs: number): Promise<void>
  publish(channel: string, message: string): Promise<void>
  /** Again and again, to see that the subscription is alive. */
  subscribe(channel: string): Promise<void>
  /** Give the connections up and make new ones. */
  reset(): void
  /** It was of use: when it breaks, it is tried again soon. Till then each attempt waits longer. */
  confirm(): void
  close(): void
}

/** As `RedisLink`, for who runs scripts. */
export interface ScriptLink extends Pick<RedisLink, 'isReady' | 'reset' | 'confirm' | 'close'> {
  /** The keys are in one slot of a cluster. Errors: also what the script itself refuses. */
  run(script: string, keys: readonly string[], values: readonly string[]): Promise<unknown>
}

/** What a link tells. */
export interface LinkEvents {
  readonly onReady: () => void
  readonly onMessage: (message: string) => void
  /** `reason` is fit for a log: it holds no secret. */
  readonly onFault: (reason: string) => void
}

/** How many were news, and how many of these had no place. */
export interface Taken {
  readonly applied: number
  readonly dropped: number
}

/** The revocations of this host's own store, which is the copy that counts. */
export interface Revocations {
  onChange(listener: () => void): void
  live(): readonly Revocation[]
  /** Errors: StorageError. */
  apply(heard: readonly Revocation[]): Promise<Taken>
}

export interface RedisStatus {
  readonly connected: boolean
  /** Since everything was last compared, in ms; from the start on where it never was. */
  readonly exchangeAgeMs: number
  /** Messages. */
  readonly sent: number
  readonly received: number
  /** Messages and entries that are none. */
  readonly refused: number
  /** Revocations of other hosts that this one took, or had no place for. */
  readonly taken: number
  readonly dropped: number
  readonly failures: number
  /** Revocations that Redis holds, as far as is known here. */
  readonly known: number
}

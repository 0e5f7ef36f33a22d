// Whole replies kept in memory. Coherent by a version that every write of this process moves on.

import type { Reply } from '../http/reply.ts'
import type { Digest } from '../oci/digest.ts'
import type { Action } from '../route/action.ts'
import { type CacheCounts, newCacheCounts } from '../telemetry/cache-counts.ts'
import type { Noted } from './pull-times.ts'

/** The answer to one Action, while its target still is what it was. */
export interface KeptReply extends Noted {
  readonly digest: Digest
  /** With its quotes. */
  readonly etag: string
  readonly reply: Reply
  readonly notModified: Reply
  /** Of the body that is kept, in bytes. */
  readonly bytes: number
  /** The cache's version when it was last known to be right. */
  version: number
}

// What an entry costs beside its body: two header blocks, the Action, the map's slot.
const entryOverheadBytes = 1024
// Larger replies would push out hundreds of small ones and gain little.
const replyBytesMax = 256 * 1024

/** Bounded by bytes; the longest unused goes first, roughly (a hit does not move an entry). */
export class ReplyCache {
  readonly counts: CacheCounts = newCacheCounts()
  readonly bytesMax: number
  readonly #entries = new Map<Action, KeptReply>()
  #bytes = 0
  #version = 0
  #writing = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get version(): number {
    return this.#version
  }

  /**
   * Run a write. It becomes visible at some moment of it that nobody tells, so that what is kept is
   * looked up again from its begin to its end, also where it ends in a fault.
   */
  async during<T>(write: () => Promise<T>): Promise<T> {
    this.#writing += 1
    try {
      return await write()
    } finally {
      this.#writing -= 1
      this.#version += 1
    }
  }

  /** What was kept, right or not. */
  get(action: Action): KeptReply | undefined {
    const kept = this.#entries.get(action)
    if (kept === undefined) this.counts.misses += 1
    else this.counts.hits += 1
    return kept
  }

  get size(): number {
    return this.#entries.size
  }

  /** What all entries cost, in bytes. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether no write has come since: the entry can be sent without a look at the store. */
  isCurrent(kept: KeptReply): boolean {
    return this.#writing === 0 && kept.version === this.#version
  }

  set(action: Action, kept: KeptReply): void {
    if (kept.bytes > replyBytesMax) return
    this.delete(action)
    this.#entries.set(action, kept)
    this.#bytes += kept.bytes + entryOverheadBytes
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.bytesMax) break
      this.counts.evictions += 1
      this.#entries.delete(oldest)
      this.#bytes -= entry.bytes + entryOverheadBytes
    }
  }

  delete(action: Action): void {
    const entry = this.#entries.get(action)
    if (entry === undefined) return
    this.#entries.delete(action)
    this.#bytes -= entry.bytes + entryOverheadBytes
  }
}

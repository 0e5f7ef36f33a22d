// Ingest without a thread, for blobs that live in this process: same slabs, same order, no files.

import { createHash, type Hash } from 'node:crypto'
import type { IngestResult } from '../../workers/tasks.ts'
import type { DigestAlgorithm } from '../oci/digest.ts'
import type { IngestPlan } from './contract.ts'
import type { IngestSession, SessionEvents } from './ingest-session.ts'

/** Staged bytes by key. The memory blob store offers one. */
export interface MemoryStaging {
  /** Keep the first `length` bytes; false where there are fewer. A key without bytes has none. */
  truncate(key: string, length: number): boolean
  /** Copies `bytes`. */
  append(key: string, bytes: Uint8Array): void
  /** In order; valid until the next change. */
  chunks(key: string): Iterable<Uint8Array>
}

const shorter: IngestResult = {
  ok: false,
  code: 'corrupt',
  detail: 'fewer bytes are staged than were committed',
}

export class MemorySession implements IngestSession {
  readonly #staging: MemoryStaging
  readonly #key: string
  readonly #plan: IngestPlan
  readonly #events: SessionEvents
  readonly #release: (slab: ArrayBuffer) => void
  #hash: Hash
  #hasBegun = false
  #isDone = false

  constructor(
    staging: MemoryStaging,
    key: string,
    plan: IngestPlan,
    events: SessionEvents,
    release: (slab: ArrayBuffer) => void,
  ) {
    this.#staging = staging
    this.#key = key
    this.#plan = plan
    this.#events = events
    this.#release = release
    this.#hash = createHash(plan.algorithm)
  }

  prepare(): void {
    this.#hasBegun = true
    const hash = hashOfMemory(this.#staging, this.#key, this.#plan.offset, this.#plan.algorithm)
    if (!hash) {
      this.#done(shorter)
      return
    }
    this.#hash = hash
    this.#staging.truncate(this.#key, this.#plan.offset)
    queueMicrotask(() => {
      if (!this.#isDone) this.#events.onReady()
    })
  }

  send(slab: ArrayBuffer | undefined, length: number, isLast: boolean): void {
    if (!this.#hasBegun) this.#staging.truncate(this.#key, 0)
    this.#hasBegun = true
    const bytes = new Uint8Array(slab ?? new ArrayBuffer(0), 0, length)
    this.#hash.update(bytes)
    this.#staging.append(this.#key, bytes)
    if (slab) {
      queueMicrotask(() => {
        this.#release(slab)
        this.#events.onReturned(slab.byteLength)
      })
    }
    if (isLast) this.#done({ ok: true, hex: this.#hash.digest('hex') })
  }

  abort(): void {
    this.#done({ ok: false, code: 'unavailable', detail: 'the body was aborted' })
  }

  #done(result: IngestResult): void {
    if (this.#isDone) return
    this.#isDone = true
    queueMicrotask(() => this.#events.onDone(result))
  }
}

/** Undefined where fewer than `length` bytes are staged. */
export function hashOfMemory(
  staging: MemoryStaging,
  key: string,
  length: number,
  algorithm: DigestAlgorithm,
): Hash | undefined {
  const hash = createHash(algorithm)
  let left = length
  for (const chunk of staging.chunks(key)) {
    hash.update(chunk.subarray(0, left))
    left -= Math.min(left, chunk.length)
  }
  return left === 0 ? hash : undefined
}

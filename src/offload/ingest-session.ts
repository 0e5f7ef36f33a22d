// What a body needs of the place its bytes go to: a thread of the pool, or memory.

import type { IngestResult } from '../../workers/tasks.ts'

/** Called by the session; never from within one of its own methods. */
export interface SessionEvents {
  /** What `prepare` asked for is done. */
  onReady(): void
  /** A slab of this size is free again, and back in the budget already. */
  onReturned(bytes: number): void
  /** Exactly once, also after `abort`. The staged file is closed. */
  onDone(result: IngestResult): void
}

export interface IngestSession {
  /** Cut off and hash what is staged; only for plans with an offset, before the first `send`. */
  prepare(): void
  /** Takes the slab over. `slab` is undefined where the body ends without more bytes. */
  send(slab: ArrayBuffer | undefined, length: number, isLast: boolean): void
  /** Only after `prepare` or `send`, and before the last `send` was answered. */
  abort(): void
}

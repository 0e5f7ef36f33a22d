// A body's session in the thread that has kept the hasher of its bytes so far, else in whichever has the
// least to do when its first bytes are at hand.

import type { BodyPlan } from '../../workers/tasks.ts'
import type { IngestSession } from './ingest-session.ts'
import type { ChannelSessionEvents, ThreadChannel } from './thread-channel.ts'

export interface ThreadPicker {
  /** For a body that is staged at `path`. Undefined while no thread runs. */
  pick(path: string): ThreadChannel | undefined
  /** A slab that no thread was there to take. */
  release(slab: ArrayBuffer): void
}

export class ThreadSession implements IngestSession {
  readonly #plan: BodyPlan
  readonly #events: ChannelSessionEvents
  readonly #picker: ThreadPicker
  #session: IngestSession | undefined
  #hasFailed = false

  constructor(plan: BodyPlan, events: ChannelSessionEvents, picker: ThreadPicker) {
    this.#plan = plan
    this.#events = events
    this.#picker = picker
  }

  prepare(): void {
    this.#begin()?.prepare()
  }

  send(slab: ArrayBuffer | undefined, length: number, isLast: boolean): void {
    const session = this.#begin()
    if (session) session.send(slab, length, isLast)
    else if (slab) this.#picker.release(slab)
  }

  abort(): void {
    this.#session?.abort()
  }

  #begin(): IngestSession | undefined {
    if (this.#session || this.#hasFailed) return this.#session
    this.#session = this.#picker.pick(this.#plan.path)?.openBody(this.#plan, this.#events)
    if (!this.#session) {
      this.#hasFailed = true
      const detail = 'no ingest thread is running'
      queueMicrotask(() => this.#events.onDone({ ok: false, code: 'unavailable', detail }))
    }
    return this.#session
  }
}

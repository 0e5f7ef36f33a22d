// The event loop's end of one ingest thread: sessions by number, and what dies with the thread.

import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type {
  BodyPlan,
  FromIngestThread,
  IngestResult,
  ToIngestThread,
} from '../../workers/tasks.ts'
import type { DigestAlgorithm } from '../oci/digest.ts'
import type { IngestSession, SessionEvents } from './ingest-session.ts'

export interface ChannelEvents {
  /** The thread listens; `threadId` is that of node:worker_threads. */
  onServing(channel: ThreadChannel, threadId: number): void
  onReturned(slab: ArrayBuffer): void
  /** The thread died with this many bytes of slabs. */
  onLost(bytes: number): void
}

export interface ChannelSessionEvents extends SessionEvents {
  /** Settles what `IngestResult.syncing` announced. */
  onSynced?(detail: string | undefined): void
}

const lostDetail = 'the ingest thread was lost'

// What a session weighs against bytes on their way, when the least loaded thread is looked for.
const sessionWeightBytes = 64 << 10

export class ThreadChannel {
  /** To be transferred to the thread. */
  readonly threadPort: MessagePort
  readonly #port: MessagePort
  readonly #events: ChannelEvents
  readonly #sessions = new Map<number, ChannelSessionEvents>()
  /** Sessions whose file is still being synced after their answer. */
  readonly #syncing = new Map<number, ChannelSessionEvents>()
  #lastSession = 0
  #bytesInThread = 0
  #isLost = false
  #isClosed = false
  #onIdle: (() => void) | undefined

  constructor(events: ChannelEvents) {
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    this.threadPort = port2
    this.#events = events
    port1.on('message', (message: FromIngestThread) => this.#take(message))
    // What the thread still writes is over when it has exited, not when its port closes.
    port1.on('close', () => {
      this.#isClosed = true
    })
  }

  /** Whether a new body can go there. */
  get isOpen(): boolean {
    return !this.#isClosed && !this.#isLost
  }

  get load(): number {
    return this.#bytesInThread + this.#sessions.size * sessionWeightBytes
  }

  /** Its first message must be `prepare` or `send`. */
  openBody(plan: BodyPlan, events: ChannelSessionEvents): IngestSession {
    const session = this.#register(events)
    let opening: { readonly plan?: BodyPlan } = { plan }
    return {
      prepare: () => {
        opening = {}
        this.#post({ kind: 'prepare', session, plan })
      },
      send: (slab, length, isLast) => {
        const message = { kind: 'slab', session, ...opening, length, isLast } as const
        opening = {}
        if (slab) {
          this.#bytesInThread += slab.byteLength
          this.#post({ ...message, takenSlab: slab }, slab)
        } else {
          this.#post(message)
        }
      },
      abort: () => this.#post({ kind: 'abort', session }),
    }
  }

  rehash(path: string, length: number, algorithm: DigestAlgorithm): Promise<IngestResult> {
    return new Promise((onDone) => {
      const session = this.#register({ onReady() {}, onReturned() {}, onDone })
      this.#post({ kind: 'rehash', session, path, length, algorithm })
    })
  }

  /** Tell the thread to leave, once nothing is open. */
  async leave(): Promise<void> {
    while (!this.#isLost && !this.#isIdle) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    if (!this.#isLost) this.#post({ kind: 'leave' })
  }

  /** The thread is gone, and nothing that it wrote can still arrive. Idempotent. */
  lose(): void {
    if (this.#isLost) return
    this.#isLost = true
    this.#port.close()
    this.#events.onLost(this.#bytesInThread)
    this.#bytesInThread = 0
    const sessions = [...this.#sessions.values()]
    const syncing = [...this.#syncing.values()]
    this.#sessions.clear()
    this.#syncing.clear()
    for (const session of sessions) {
      session.onDone({ ok: false, code: 'unavailable', detail: lostDetail })
    }
    for (const session of syncing) session.onSynced?.(lostDetail)
    this.#onIdle?.()
  }

  get #isIdle(): boolean {
    return this.#sessions.size === 0 && this.#syncing.size === 0 && this.#bytesInThread === 0
  }

  #register(events: ChannelSessionEvents): number {
    this.#lastSession += 1
    this.#sessions.set(this.#lastSession, events)
    return this.#lastSession
  }

  #take(message: FromIngestThread): void {
    if (this.#isLost) return
    switch (message.kind) {
      case 'returned': {
        const bytes = message.takenSlab.byteLength
        this.#bytesInThread -= bytes
        this.#events.onReturned(message.takenSlab)
        this.#sessions.get(message.session)?.onReturned(bytes)
        break
      }
      case 'done': {
        const session = this.#sessions.get(message.session)
        this.#sessions.delete(message.session)
        if (session && message.result.ok && message.result.syncing) {
          this.#syncing.set(message.session, session)
        }
        session?.onDone(message.result)
        break
      }
      case 'synced': {
        const session = this.#syncing.get(message.session)
        this.#syncing.delete(message.session)
        session?.onSynced?.(message.detail)
        break
      }
      case 'serving':
        this.#events.onServing(this, message.threadId)
        break
      case 'ready':
        this.#sessions.get(message.session)?.onReady()
        break
      default:
        message satisfies never
    }
    if (this.#isIdle) this.#onIdle?.()
  }

  #post(message: ToIngestThread, transferred?: ArrayBuffer): void {
    if (this.#isLost) {
      // Detached all the same, so that a sender cannot come to rely on it.
      if (transferred) this.#events.onLost(transferred.byteLength)
      return
    }
    if (transferred) this.#port.postMessage(message, [transferred])
    else this.#port.postMessage(message)
  }
}

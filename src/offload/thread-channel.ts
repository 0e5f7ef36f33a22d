// The event loop's end of one ingest thread: sessions by number, and what dies with the thread.

import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type {
  BodyPlan,
  FromIngestThread,
  IngestResult,
  StagedPlace,
  ToIngestThread,
} from '../../workers/tasks.ts'
import type { DigestAlgorithm } from '../oci/digest.ts'
import type { S3Attempt } from '../s3/contract.ts'
import { StorageError } from '../storage/error.ts'
import type { IngestSession, SessionEvents } from './ingest-session.ts'

export interface ChannelEvents {
  /** The thread listens; `threadId` is that of node:worker_threads. */
  onServing(channel: ThreadChannel, threadId: number): void
  onReturned(slab: ArrayBuffer): void
  /** The thread died with this many bytes of slabs. */
  onLost(bytes: number): void
  /** One attempt at a request of a bucket is over. */
  onS3?(attempt: S3Attempt): void
}

export interface ChannelSessionEvents extends SessionEvents {
  /** Settles what `IngestResult.syncing` announced. */
  onSynced?(detail: string | undefined): void
  /** A paced reread waits to read so many bytes more. */
  onAsked?(bytes: number): void
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
  readonly #keptMax: number
  /** Places whose hasher the thread has kept, those of the last bodies last. */
  readonly #kept = new Set<string>()
  #lastSession = 0
  #bytesInThread = 0
  #isLost = false
  #isClosed = false
  #onIdle: (() => void) | undefined

  /** `keptMax`: `IngestThreadTask.keptHashersMax`. */
  constructor(events: ChannelEvents, keptMax: number) {
    this.#keptMax = keptMax
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

  /** Bodies and rereads that are open in the thread. */
  get sessions(): number {
    return this.#sessions.size
  }

  /** Files whose sync goes on behind the answer to their body. */
  get syncing(): number {
    return this.#syncing.size
  }

  /** Of slabs that are on their way through it. */
  get bytesInThread(): number {
    return this.#bytesInThread
  }

  get load(): number {
    return this.#bytesInThread + this.#sessions.size * sessionWeightBytes
  }

  /** Whether the thread has kept a hasher for what is staged at `path`, as far as it has told. */
  keeps(path: string): boolean {
    return this.#kept.has(path)
  }

  forget(path: string): void {
    if (this.#kept.delete(path)) this.#post({ kind: 'forget', path })
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

  rehash(place: StagedPlace, length: number, algorithm: DigestAlgorithm): Promise<IngestResult> {
    return new Promise((onDone) => {
      const session = this.#register({ onReady() {}, onReturned() {}, onDone })
      this.#post({ kind: 'rehash', session, place, length, algorithm })
    })
  }

  /**
   * The same in the background: behind all bodies, and no faster than `pace` lets it.
   * Errors: those of `pace`, which end it.
   */
  async rehashPaced(
    place: StagedPlace,
    length: number,
    algorithm: DigestAlgorithm,
    pace: (bytes: number) => Promise<void>,
  ): Promise<IngestResult> {
    let fault: { readonly error: unknown } | undefined
    const result = await new Promise<IngestResult>((onDone) => {
      const onAsked = (bytes: number): void => {
        pace(bytes).then(
          () => this.#post({ kind: 'granted', session }),
          (error: unknown) => {
            fault = { error }
            this.#post({ kind: 'abort', session })
          },
        )
      }
      const session = this.#register({ onReady() {}, onReturned() {}, onDone, onAsked })
      this.#post({ kind: 'rehash', session, place, length, algorithm, isPaced: true })
    })
    if (fault !== undefined) throw fault.error
    return result
  }

  /** Errors: StorageError 'unavailable' where the thread is lost first. */
  async ping(): Promise<void> {
    const result = await new Promise<IngestResult>((onDone) => {
      const session = this.#register({ onReady() {}, onReturned() {}, onDone })
      this.#post({ kind: 'ping', session })
    })
    if (!result.ok) throw new StorageError(result.code, result.detail)
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
      case 'returned':
        this.#takeBack(message.session, message.takenSlab)
        break
      case 'done': {
        for (const slab of message.takenSlabs) this.#takeBack(message.session, slab)
        const session = this.#sessions.get(message.session)
        this.#sessions.delete(message.session)
        if (session && message.result.ok && message.result.syncing) {
          this.#syncing.set(message.session, session)
        }
        if (message.result.ok) this.#noteKept(message.result.keptPath)
        session?.onDone(message.result)
        break
      }
      case 'synced': {
        const session = this.#syncing.get(message.session)
        this.#syncing.delete(message.session)
        session?.onSynced?.(message.detail)
        break
      }
      case 'asked':
        this.#sessions.get(message.session)?.onAsked?.(message.bytes)
        break
      case 's3':
        this.#events.onS3?.(message.attempt)
        break
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

  // The thread lets go of the same ones, but for those that it finds too old.
  #noteKept(path: string | undefined): void {
    if (path === undefined) return
    this.#kept.delete(path)
    this.#kept.add(path)
    for (const first of this.#kept) {
      if (this.#kept.size <= this.#keptMax) return
      this.#kept.delete(first)
    }
  }

  #takeBack(session: number, slab: ArrayBuffer): void {
    // Asked first: whoever takes it over may transfer it on.
    const bytes = slab.byteLength
    this.#bytesInThread -= bytes
    this.#events.onReturned(slab)
    this.#sessions.get(session)?.onReturned(bytes)
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

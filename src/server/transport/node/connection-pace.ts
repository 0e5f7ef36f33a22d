// Judges one connection's pace: what has moved, and in doubt about a reply what the kernel knows.

import type { Socket } from 'node:net'
import type { PaceLimits } from '../exchange.ts'
import type { KernelQueues } from './kernel-queues.ts'
import { Progress, type SlowPhase, type Turn } from './progress.ts'
import { bytesAccepted, bytesReceived } from './socket-bytes.ts'

export interface Moment {
  readonly turn: Turn
  /** Of requests, in bytes, without TLS. */
  readonly heard: number
  /** The request that it is about. */
  readonly subject: unknown
  /** Some clients send their whole body before they look at the reply: then both count. */
  readonly isReceiving: boolean
}

/** A reply that seems to stand still; `takenBytes` once the kernel was asked. */
interface Doubt {
  readonly about: unknown
  takenBytes: number | undefined
  stop: (() => void) | undefined
}

export class ConnectionPace {
  readonly #raw: Socket
  readonly #queues: KernelQueues
  readonly #progress: Progress
  #doubt: Doubt | undefined

  constructor(raw: Socket, pace: PaceLimits, queues: KernelQueues) {
    this.#raw = raw
    this.#queues = queues
    this.#progress = new Progress(pace)
  }

  /** The phase in which the client is too slow; undefined while it may go on. Units: ms. */
  check(moment: Moment, elapsedMs: number): SlowPhase | undefined {
    const { turn, subject } = moment
    const isReply = turn === 'reply' || turn === 'ours'
    if (!isReply || this.#doubt?.about !== subject) this.end()
    const phase = this.#look(moment, elapsedMs)
    if (phase !== 'reply' || this.#doubt !== undefined) return phase
    return this.#beginDoubt(subject) ? undefined : phase
  }

  /** Called when nothing is to be judged any more. */
  end(): void {
    this.#doubt?.stop?.()
    this.#doubt = undefined
  }

  #look({ turn, subject, heard, isReceiving }: Moment, elapsedMs: number): SlowPhase | undefined {
    const doubt = this.#doubt
    // The clocks start anew with a doubt, and stand still until there is something to judge by.
    const about = doubt ?? subject
    const received = isReceiving ? bytesReceived(this.#raw) : 0
    if (turn !== 'reply') {
      const moved = turn === 'body' ? received : heard
      return this.#progress.look({ turn, subject: about, moved }, elapsedMs)
    }
    const taken = doubt === undefined ? bytesAccepted(this.#raw) : doubt.takenBytes
    const moved = received + (taken ?? 0)
    const known = taken === undefined ? 'ours' : 'reply'
    return this.#progress.look({ turn: known, subject: about, moved }, elapsedMs)
  }

  /** False where the kernel cannot be asked. */
  #beginDoubt(about: unknown): boolean {
    const doubt: Doubt = { about, takenBytes: undefined, stop: undefined }
    doubt.stop = this.#queues.watch(this.#raw, (queuedBytes) => {
      doubt.takenBytes = bytesAccepted(this.#raw) - queuedBytes
    })
    if (doubt.stop === undefined) return false
    this.#doubt = doubt
    return true
  }
}

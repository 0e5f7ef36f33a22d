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

/**
 * A reply that seems to stand still, or a connection that seems to be idle while the kernel may still
 * hold the end of its last reply.
 */
interface Doubt {
  readonly turn: 'reply' | 'idle'
  readonly subject: unknown
  readonly heard: number
  /** Undefined until the kernel was asked. */
  answer: { readonly queuedBytes: number; readonly takenBytes: number } | undefined
  stop: (() => void) | undefined
}

// So little the kernel may as well send when the connection is closed.
const littleBytes = 128 * 1024

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
    this.#review(moment)
    const phase = this.#look(moment, elapsedMs)
    if ((phase !== 'reply' && phase !== 'idle') || this.#doubt !== undefined) return phase
    if (phase === 'idle' && bytesAccepted(this.#raw) < littleBytes) return phase
    return this.#beginDoubt(phase, moment) ? undefined : phase
  }

  /** Called when nothing is to be judged any more. */
  end(): void {
    this.#doubt?.stop?.()
    this.#doubt = undefined
  }

  /** Ends a doubt that is about something else than this moment. */
  #review({ turn, subject, heard }: Moment): void {
    const doubt = this.#doubt
    if (doubt === undefined) return
    const isSame =
      doubt.turn === 'reply' ? turn === 'reply' || turn === 'ours' : turn === doubt.turn
    if (isSame && doubt.subject === subject && (turn !== 'idle' || doubt.heard === heard)) return
    this.end()
    // So that what was heard since then counts: it is where a head begins.
    if (turn === 'idle') this.#progress.look({ turn, subject, moved: doubt.heard }, 0)
  }

  #look(moment: Moment, elapsedMs: number): SlowPhase | undefined {
    const { turn, subject, heard, isReceiving } = moment
    const doubt = this.#doubt
    // The clocks start anew with a doubt, and stand still until there is something to judge by.
    const about = doubt ?? subject
    const received = isReceiving ? bytesReceived(this.#raw) : 0
    if (turn === 'idle' && doubt?.answer?.queuedBytes === 0) return 'idle'
    if (turn !== 'reply' && !(turn === 'idle' && doubt !== undefined)) {
      const moved = turn === 'body' ? received : heard
      return this.#progress.look({ turn, subject: about, moved }, elapsedMs)
    }
    const taken = doubt === undefined ? bytesAccepted(this.#raw) : doubt.answer?.takenBytes
    const moved = received + (taken ?? 0)
    const known = taken === undefined ? 'ours' : 'reply'
    return this.#progress.look({ turn: known, subject: about, moved }, elapsedMs)
  }

  /** False where the kernel cannot be asked. */
  #beginDoubt(turn: Doubt['turn'], { subject, heard }: Moment): boolean {
    const doubt: Doubt = { turn, subject, heard, answer: undefined, stop: undefined }
    doubt.stop = this.#queues.watch(this.#raw, (queuedBytes) => {
      doubt.answer = { queuedBytes, takenBytes: bytesAccepted(this.#raw) - queuedBytes }
    })
    if (doubt.stop === undefined) return false
    this.#doubt = doubt
    return true
  }
}

// Whether a client moves enough while it is its turn. Nothing here limits how long a transfer lasts.

import type { PaceLimits } from '../exchange.ts'

/**
 * Whose turn it is: `ours`, or the client's: to send its first request, or another (`idle`), or a body,
 * or to take a reply.
 */
export type Turn = 'ours' | 'first' | 'idle' | 'body' | 'reply'
export type SlowPhase = 'headers' | 'idle' | 'body' | 'reply'

export interface Observation {
  readonly turn: Turn
  /** Another one: what it is about has changed, and the clocks start anew. */
  readonly subject: unknown
  /** Bytes so far, of whatever counts as progress in this turn. */
  readonly moved: number
}

/** One per connection; looked at every few hundred milliseconds. */
export class Progress {
  readonly #pace: PaceLimits
  #last: Observation = { turn: 'ours', subject: undefined, moved: 0 }
  #silentMs = 0
  #headMs: number | undefined
  #creditMs = 0

  constructor(pace: PaceLimits) {
    this.#pace = pace
  }

  /**
   * The phase in which the client is too slow; undefined while it may go on. `elapsedMs` since the
   * last look counts only where it was the client's turn then, too.
   */
  look(now: Observation, elapsedMs: number): SlowPhase | undefined {
    const last = this.#last
    if (now.turn === 'ours') {
      // The clocks stand still, and what moves meanwhile is to the client's credit.
      if (now.subject === last.subject) this.#last = { ...now, moved: last.moved }
      else this.#restart(now)
      return undefined
    }
    const isNew = now.subject !== last.subject || (last.turn !== now.turn && last.turn !== 'ours')
    if (isNew) {
      this.#restart(now)
      return undefined
    }
    this.#last = now
    const movedBytes = now.moved - last.moved
    const countedMs = last.turn === now.turn ? elapsedMs : 0
    switch (now.turn) {
      case 'first':
        this.#silentMs += countedMs
        return this.#silentMs >= this.#pace.headersMs ? 'headers' : undefined
      case 'idle':
        return this.#slowToAsk(movedBytes, countedMs)
      default:
        return this.#isTooSlow(now.turn, movedBytes, countedMs) ? now.turn : undefined
    }
  }

  #restart(now: Observation): void {
    this.#last = now
    this.#silentMs = 0
    this.#headMs = undefined
    this.#creditMs = this.#pace.graceMs
  }

  // The first byte is where a head begins, though the parser skips empty lines before it without end.
  #slowToAsk(movedBytes: number, countedMs: number): 'headers' | 'idle' | undefined {
    const { keepAliveMs, headersMs } = this.#pace
    if (this.#headMs !== undefined) {
      this.#headMs += countedMs
      return this.#headMs >= headersMs ? 'headers' : undefined
    }
    if (movedBytes > 0) this.#headMs = 0
    this.#silentMs += countedMs
    return this.#headMs === undefined && this.#silentMs >= keepAliveMs ? 'idle' : undefined
  }

  // Every byte buys its share of a second at the least rate, up to the grace; so bytes that come in
  // bursts at exactly the least rate are enough.
  #isTooSlow(turn: 'body' | 'reply', movedBytes: number, countedMs: number): boolean {
    const { stallMs, graceMs, receiveRateMin, sendRateMin } = this.#pace
    this.#silentMs = movedBytes > 0 ? 0 : this.#silentMs + countedMs
    const rateMin = turn === 'body' ? receiveRateMin : sendRateMin
    const boughtMs = rateMin === 0 ? graceMs : (movedBytes / rateMin) * 1000
    this.#creditMs = Math.min(graceMs, this.#creditMs - countedMs + boughtMs)
    return this.#silentMs >= stallMs || this.#creditMs < 0
  }
}

/** How often to look, in ms: often enough for the shortest of the limits. */
export function lookEveryMs(pace: PaceLimits): number {
  const { handshakeMs, headersMs, keepAliveMs, stallMs, graceMs } = pace
  const shortest = Math.min(handshakeMs, headersMs, keepAliveMs, stallMs, graceMs)
  return Math.max(10, Math.min(1000, Math.ceil(shortest / 4)))
}

// Who may ask a directory now, and who waits: so many at a time, and no queue without an end.

import { LdapFault } from './session.ts'

export interface TurnsOptions {
  /** At a time. */
  readonly turns: number
  /** Beyond those that have a turn. */
  readonly waitingMax: number
}

export class Turns {
  readonly #options: TurnsOptions
  readonly #waiting = new Set<() => void>()
  #taken = 0

  constructor(options: TurnsOptions) {
    this.#options = options
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /**
   * Resolves with what ends the turn; those who come first go first.
   * Errors: rejects with a LdapFault at once where too many wait, with the reason of `signal` after it.
   */
  take(signal: AbortSignal): Promise<() => void> {
    if (signal.aborted) return Promise.reject(signal.reason)
    if (this.#taken < this.#options.turns) {
      this.#taken += 1
      return Promise.resolve(this.#ender())
    }
    if (this.#waiting.size >= this.#options.waitingMax) {
      return Promise.reject(new LdapFault('too many logins wait for the directory'))
    }
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#waiting.delete(begin)
        reject(signal.reason)
      }
      const begin = (): void => {
        signal.removeEventListener('abort', giveUp)
        resolve(this.#ender())
      }
      signal.addEventListener('abort', giveUp)
      this.#waiting.add(begin)
    })
  }

  #ender(): () => void {
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      const [next] = this.#waiting
      if (next === undefined) {
        this.#taken -= 1
        return
      }
      this.#waiting.delete(next)
      next()
    }
  }
}

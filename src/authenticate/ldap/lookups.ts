// Connections that search, kept for the next login. They are bound as who searches, or as nobody, when
// they are opened, and as nobody else ever.

import type { SearchAnswer, SearchQuestion, Session } from './session.ts'

export interface LookupsOptions {
  /** Connected, and bound as who searches. Errors: rejects with an Error fit for the log. */
  readonly open: (signal: AbortSignal) => Promise<Session>
  /** Monotonic, in ms. */
  readonly elapsed: () => number
}

// Firewalls forget silent connections, and a login should not be what finds that out.
const idleMaxMs = 30_000
// Names, certificates and passwords change; an old connection would not notice.
const ageMaxMs = 10 * 60_000

export class Lookups {
  readonly #options: LookupsOptions
  /** With what ends each. */
  readonly #idle = new Map<Session, NodeJS.Timeout>()
  readonly #openedMs = new WeakMap<Session, number>()

  constructor(options: LookupsOptions) {
    this.#options = options
  }

  /** The caller gives the session back, or closes it. Errors: as `Session.search`, and as `open`. */
  async search(
    question: SearchQuestion,
    signal: AbortSignal,
  ): Promise<{ readonly session: Session; readonly answer: SearchAnswer }> {
    const kept = this.#takeIdle()
    if (kept !== undefined) {
      try {
        return { session: kept, answer: await kept.search(question, signal) }
      } catch (error) {
        kept.destroy()
        if (signal.aborted) throw error
        // The directory may end connections that are idle, and just did.
      }
    }
    const session = await this.#options.open(signal)
    this.#openedMs.set(session, this.#options.elapsed())
    session.onClose(() => this.#forget(session))
    try {
      return { session, answer: await session.search(question, signal) }
    } catch (error) {
      session.destroy()
      throw error
    }
  }

  /** It has answered everything that it was asked. */
  giveBack(session: Session): void {
    const openedMs = this.#openedMs.get(session)
    const isOld = openedMs === undefined || this.#options.elapsed() - openedMs > ageMaxMs
    if (isOld || !session.isOpen) {
      void session.close()
      return
    }
    const timer = setTimeout(() => this.#drop(session), idleMaxMs)
    timer.unref()
    this.#idle.set(session, timer)
  }

  close(): void {
    for (const session of [...this.#idle.keys()]) this.#drop(session)
  }

  #takeIdle(): Session | undefined {
    // The one used last: it is the likeliest to be there still, and the others may end.
    const session = [...this.#idle.keys()].at(-1)
    if (session === undefined) return undefined
    this.#forget(session)
    return session.isOpen ? session : this.#takeIdle()
  }

  #drop(session: Session): void {
    this.#forget(session)
    void session.close()
  }

  #forget(session: Session): void {
    clearTimeout(this.#idle.get(session))
    this.#idle.delete(session)
  }
}

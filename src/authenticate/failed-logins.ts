// Slows down those who guess: failed logins, counted for each address and each user name.

export interface FailedLoginsOptions {
  /** Monotonic, in ms. */
  readonly now: () => number
  /** Addresses and user names remembered, of each. */
  readonly entriesMax: number
}

interface Count {
  failures: number
  lastMs: number
  /** Until then further guesses are refused. */
  untilMs: number
}

// So many wrong guesses are free, as typing errors are; then each doubles the pause.
const freeFailures = 5
const firstPauseMs = 1000
// A user name can be held up by strangers, hence less than an address.
const longestPauseMs = { address: 60_000, username: 15_000 }
const forgottenAfterMs = 15 * 60_000

class Counts {
  readonly #options: FailedLoginsOptions
  readonly #longestMs: number
  readonly #counts = new Map<string, Count>()

  constructor(options: FailedLoginsOptions, longestMs: number) {
    this.#options = options
    this.#longestMs = longestMs
  }

  waitMs(name: string): number {
    const count = this.#counts.get(name)
    return count === undefined ? 0 : Math.max(0, count.untilMs - this.#options.now())
  }

  add(name: string): void {
    const now = this.#options.now()
    const before = this.#counts.get(name)
    const isStale = before === undefined || now - before.lastMs > forgottenAfterMs
    const failures = isStale ? 1 : before.failures + 1
    const pauseMs =
      failures < freeFailures ? 0 : firstPauseMs * 2 ** Math.min(failures - freeFailures, 30)
    this.#counts.delete(name)
    this.#counts.set(name, {
      failures,
      lastMs: now,
      untilMs: now + Math.min(pauseMs, this.#longestMs),
    })
    if (this.#counts.size <= this.#options.entriesMax) return
    const [oldest] = this.#counts.keys()
    if (oldest !== undefined) this.#counts.delete(oldest)
  }

  /** Takes back one `add`. */
  forgive(name: string): void {
    const count = this.#counts.get(name)
    if (count === undefined) return
    if (count.failures <= 1) this.#counts.delete(name)
    else this.#counts.set(name, { ...count, failures: count.failures - 1, untilMs: 0 })
  }

  clear(name: string): void {
    this.#counts.delete(name)
  }
}

/**
 * Only new guesses count: a client that repeats one wrong password does not make it worse. Credentials
 * that were verified before are not asked about here, so that nobody can lock out who is at work.
 */
export class FailedLogins {
  readonly #addresses: Counts
  readonly #usernames: Counts

  constructor(options: FailedLoginsOptions) {
    this.#addresses = new Counts(options, longestPauseMs.address)
    this.#usernames = new Counts(options, longestPauseMs.username)
  }

  /** How long this guess has to wait, in ms; 0 where it may be tried now. An address of '' has no count. */
  waitMs(address: string, username: string): number {
    const forAddress = address === '' ? 0 : this.#addresses.waitMs(address)
    return Math.max(forAddress, this.#usernames.waitMs(username))
  }

  add(address: string, username: string): void {
    if (address !== '') this.#addresses.add(address)
    this.#usernames.add(username)
  }

  /** Takes back one `add` that turned out to be none. */
  forgive(address: string, username: string): void {
    if (address !== '') this.#addresses.forgive(address)
    this.#usernames.forgive(username)
  }

  /** After a success. The address keeps its count: who guesses may also own an account. */
  clear(username: string): void {
    this.#usernames.clear(username)
  }
}

// One lane for each address, or for each user name: who of it may be checked now, who waits for the
// outcome of those before, and who is refused since there were too many failures.

export interface GuessLanesOptions {
  /** Monotonic, in ms. */
  readonly now: () => number
  /** Names whose failures are remembered. */
  readonly entriesMax: number
  readonly longestPauseMs: number
}

/** `paused`: after too many failures. `crowded`: too many wait, or one waited for too long. */
export type Entry =
  | { readonly result: 'entered' }
  | { readonly result: 'paused'; readonly waitMs: number }
  | { readonly result: 'crowded' }

interface Failures {
  readonly count: number
  readonly lastMs: number
  /** Until then further guesses are refused. */
  readonly untilMs: number
}

interface Lane {
  /** Entered, and not left yet. */
  underWay: number
  /** In the order in which they came. */
  readonly waiting: Set<(entry: Entry) => void>
}

// So many wrong guesses are free, as typing errors are; then each doubles the pause.
const freeFailures = 5
const firstPauseMs = 1000
const forgottenAfterMs = 15 * 60_000
// As many as may wait for a thread that hashes: at 20 ms each, about the time that a client waits.
const waitingMax = 256
const longestWaitMs = 30_000

const entered: Entry = { result: 'entered' }
const crowded: Entry = { result: 'crowded' }

/**
 * Guesses at once are as few as guesses one after another: each that is under way is taken for a wrong
 * one when another wants to enter, which then waits for the outcome in place of being refused.
 */
export class GuessLanes {
  readonly #options: GuessLanesOptions
  readonly #failures = new Map<string, Failures>()
  // Only those with somebody in them.
  readonly #lanes = new Map<string, Lane>()

  constructor(options: GuessLanesOptions) {
    this.#options = options
  }

  /** For how long further guesses are refused. Units: ms. */
  pauseMs(name: string): number {
    const failures = this.#failures.get(name)
    return failures === undefined ? 0 : Math.max(0, failures.untilMs - this.#options.now())
  }

  /** Who entered has to `leave`. Limits: 256 wait in a lane, each for 30 s at most. */
  enter(name: string): Entry | Promise<Entry> {
    const waitMs = this.pauseMs(name)
    if (waitMs > 0) return { result: 'paused', waitMs }
    const lane = this.#lanes.get(name) ?? { underWay: 0, waiting: new Set() }
    this.#lanes.set(name, lane)
    if (lane.waiting.size === 0 && lane.underWay < this.#room(name)) {
      lane.underWay += 1
      return entered
    }
    return lane.waiting.size < waitingMax ? this.#wait(lane) : crowded
  }

  /** `failed`: it was a wrong guess, and one that counts. */
  leave(name: string, failed: boolean): void {
    if (failed) this.#add(name)
    const lane = this.#lanes.get(name)
    if (lane === undefined) return
    lane.underWay -= 1
    const waitMs = this.pauseMs(name)
    for (const answer of lane.waiting) {
      if (waitMs > 0) answer({ result: 'paused', waitMs })
      else if (lane.underWay < this.#room(name)) {
        lane.underWay += 1
        answer(entered)
      } else break
    }
    if (lane.underWay === 0) this.#lanes.delete(name)
  }

  /** After a success. */
  forget(name: string): void {
    this.#failures.delete(name)
  }

  // Where some are under way, or the lane would not have been full: the last to leave lets all go.
  #wait({ waiting }: Lane): Promise<Entry> {
    return new Promise((resolve) => {
      const answer = (entry: Entry): void => {
        clearTimeout(timer)
        waiting.delete(answer)
        resolve(entry)
      }
      const timer = setTimeout(() => answer(crowded), longestWaitMs).unref()
      waiting.add(answer)
    })
  }

  /** How many may be under way: would all of them fail, none has had more than its turn. */
  #room(name: string): number {
    return Math.max(1, freeFailures - (this.#known(name)?.count ?? 0))
  }

  #known(name: string): Failures | undefined {
    const failures = this.#failures.get(name)
    if (failures === undefined) return undefined
    return this.#options.now() - failures.lastMs > forgottenAfterMs ? undefined : failures
  }

  #add(name: string): void {
    const { now, entriesMax, longestPauseMs } = this.#options
    const lastMs = now()
    const count = (this.#known(name)?.count ?? 0) + 1
    const pauseMs =
      count < freeFailures ? 0 : firstPauseMs * 2 ** Math.min(count - freeFailures, 30)
    const untilMs = lastMs + Math.min(pauseMs, longestPauseMs)
    this.#failures.delete(name)
    this.#failures.set(name, { count, lastMs, untilMs })
    if (this.#failures.size <= entriesMax) return
    const [oldest] = this.#failures.keys()
    if (oldest !== undefined) this.#failures.delete(oldest)
  }
}

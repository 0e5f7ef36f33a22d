// When requests begin. To read the clock twice costs as much as a reply out of memory may cost more, so
// of very many requests only some are timed.

const timedPerSecond = 2000
// Beyond these one in so many. A prime, so that a client with a rhythm does not hide from it.
const period = 17

/** One per process. */
export class RequestClock {
  readonly #timer: NodeJS.Timeout
  #left = timedPerSecond
  #untilNext = period

  constructor() {
    this.#timer = setInterval(() => {
      this.#left = timedPerSecond
    }, 1000).unref()
  }

  /** Monotonic, in ms; undefined for a request that is not timed, unless it turns out to take a while. */
  startMs(): number | undefined {
    if (this.#left > 0) {
      this.#left -= 1
      return performance.now()
    }
    this.#untilNext -= 1
    if (this.#untilNext > 0) return undefined
    this.#untilNext = period
    return performance.now()
  }

  close(): void {
    clearInterval(this.#timer)
  }
}

// Leaves a service alone that failed several times in a row, and tries it again with a single call.

import type { BreakerOptions, BreakerState } from './contract.ts'

/** The right to one call; it ends in `succeed`, `fail` or `leave`, of which only the first counts. */
export type Pass = number & { readonly __pass: true }

/**
 * `elapsed`: ms of a clock that only goes forward. `onChange` is told each new state. `random`: from 0 to 1; a cooldown
 * is half of the configured one up to one and a half, by default just that.
 */
export class CircuitBreaker {
  readonly #options: BreakerOptions
  readonly #elapsed: () => number
  readonly #onChange: (state: BreakerState) => void
  readonly #random: () => number
  #state: BreakerState = 'closed'
  #failuresInRow = 0
  #openUntilMs = 0
  // What began before a change says nothing about the service since.
  #era = 0

  constructor(
    options: BreakerOptions,
    elapsed: () => number,
    onChange: (state: BreakerState) => void,
    random: () => number = () => 0.5,
  ) {
    this.#random = random
    this.#options = options
    this.#elapsed = elapsed
    this.#onChange = onChange
  }

  get state(): BreakerState {
    return this.#state
  }

  /** True where `enter` would give nothing. */
  get refuses(): boolean {
    return this.#state !== 'closed' && this.#elapsed() < this.#openUntilMs
  }

  /** Undefined: do not call. After the cooldown the first to come is the one that tries. */
  enter(): Pass | undefined {
    if (this.refuses) return undefined
    if (this.#state === 'open') this.#become('half-open')
    // One that tries may take long, and so may its failure: after a further cooldown another one tries as well.
    if (this.#state === 'half-open') this.#openUntilMs = this.#elapsed() + this.#cooldownMs()
    return this.#era as Pass
  }

  succeed(pass: Pass): void {
    if (pass !== this.#era) return
    this.#failuresInRow = 0
    if (this.#state === 'half-open') this.#become('closed')
  }

  fail(pass: Pass): void {
    if (pass !== this.#era) return
    this.#failuresInRow += 1
    if (this.#state === 'closed' && this.#failuresInRow < this.#options.failures) return
    this.#openUntilMs = this.#elapsed() + this.#cooldownMs()
    this.#become('open')
  }

  /** It ended for another reason than what was called: nothing is known, and the next to come may try. */
  leave(pass: Pass): void {
    if (pass !== this.#era || this.#state !== 'half-open') return
    this.#openUntilMs = this.#elapsed()
    this.#become('open')
  }

  #cooldownMs(): number {
    return this.#options.cooldownMs * (0.5 + this.#random())
  }

  #become(state: BreakerState): void {
    this.#state = state
    this.#era += 1
    this.#failuresInRow = 0
    this.#onChange(state)
  }
}

// What is remembered for each identity, and forgotten with it.

import type { Identity } from '../authenticate/identity.ts'

/** For the hot path: nothing is built to find what is there. */
export class ByIdentity<Known extends WeakKey> {
  readonly #sizeMax: number
  readonly #make: () => Known
  #known = new WeakMap<Identity, Known>()
  #size = 0
  // A busy connection keeps its identity, and comparing is cheaper than looking up.
  #lastIdentity: Identity | undefined
  #last: Known | undefined

  /** `sizeMax`: entries of all identities together, as `grow` is told of them. */
  constructor(sizeMax: number, make: () => Known) {
    this.#sizeMax = sizeMax
    this.#make = make
  }

  of(identity: Identity): Known | undefined {
    if (identity === this.#lastIdentity) return this.#last
    this.#lastIdentity = identity
    this.#last = this.#known.get(identity)
    return this.#last
  }

  /** Where one more entry of the identity goes. Beyond `sizeMax` everything is forgotten first. */
  grow(identity: Identity): Known {
    if (this.#size >= this.#sizeMax) this.#forget()
    this.#size += 1
    const before = this.of(identity)
    if (before !== undefined) return before
    const made = this.#make()
    this.#known.set(identity, made)
    this.#last = made
    return made
  }

  #forget(): void {
    this.#known = new WeakMap()
    this.#size = 0
    this.#lastIdentity = undefined
    this.#last = undefined
  }
}

// Remembers the Action of targets that are asked for again and again. Bounded; actions are immutable.

import type { Action } from './action.ts'
import { route } from './route.ts'

const generationSize = 4096
// Longer ones are made up by their client: kept, they would fill the memory before anybody logs in.
const targetLengthMax = 512

/**
 * Route with a memory of the last 4,096 to 8,192 targets of one method, of up to 512 characters each. One Action object per target
 * lets later stages keep what they know of it beside it, without building a key.
 */
export class RouteMemo {
  readonly #method: string
  #young = new Map<string, Action>()
  #old = new Map<string, Action>()

  constructor(method: string) {
    this.#method = method
  }

  /** Errors: as `route`. A refusal is not remembered. */
  route(path: string, query: string): Action {
    if (path.length + query.length > targetLengthMax) {
      return route({ method: this.#method, path, query })
    }
    const key = query === '' ? path : `${path}?${query}`
    const known = this.#young.get(key)
    if (known !== undefined) return known
    const action = this.#old.get(key) ?? route({ method: this.#method, path, query })
    this.#young.set(key, action)
    if (this.#young.size >= generationSize) {
      this.#old = this.#young
      this.#young = new Map()
    }
    return action
  }
}

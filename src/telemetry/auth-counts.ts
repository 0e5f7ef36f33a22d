// How attempts to log in ended: plain numbers, since most of them are remembered credentials on the
// hot path.

export type AuthResult = 'success' | 'failure' | 'refused' | 'unavailable'

/** `refused`: not even tried, for the moment. `unavailable`: whoever should have checked could not. */
export class AuthCounts {
  readonly #counts = new Map<string, Map<AuthResult, number>>()

  add(method: string, result: AuthResult): void {
    let results = this.#counts.get(method)
    if (results === undefined) {
      results = new Map()
      this.#counts.set(method, results)
    }
    results.set(result, (results.get(result) ?? 0) + 1)
  }

  *entries(): IterableIterator<readonly [method: string, result: AuthResult, count: number]> {
    for (const [method, results] of this.#counts) {
      for (const [result, count] of results) yield [method, result, count]
    }
  }
}

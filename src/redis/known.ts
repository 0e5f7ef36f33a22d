// The revocations that Redis is known to hold, so that nobody is told again what all of them know.

import type { Revocation } from '../storage/metadata/token-store.ts'
import { fieldOf } from './message.ts'

export class KnownRevocations {
  /** By their fields. */
  readonly #all = new Map<string, Revocation>()

  get size(): number {
    return this.#all.size
  }

  /** When the last one ends, in ms since 1970. */
  get latestEndMs(): number {
    let latest = 0
    for (const { forgetAtMs } of this.#all.values()) latest = Math.max(latest, forgetAtMs)
    return latest
  }

  /** Whether the same one is known, or one that refuses more. */
  covers(revocation: Revocation): boolean {
    const known = this.#all.get(fieldOf(revocation))
    if (known === undefined) return false
    return known.atMs >= revocation.atMs && known.forgetAtMs >= revocation.forgetAtMs
  }

  /** What refuses all that both do: entries only ever grow stricter, whoever comes last. */
  merged({ of, subject, atMs, forgetAtMs }: Revocation): Revocation {
    const known = this.#all.get(fieldOf({ of, subject }))
    return {
      ...{ of, subject },
      atMs: Math.max(atMs, known?.atMs ?? 0),
      forgetAtMs: Math.max(forgetAtMs, known?.forgetAtMs ?? 0),
    }
  }

  /** Answers what makes them as unknown as before. */
  addAll(revocations: readonly Revocation[]): () => void {
    const before = revocations.map((each) => [fieldOf(each), this.#all.get(fieldOf(each))] as const)
    for (const each of revocations) this.#all.set(fieldOf(each), this.merged(each))
    return () => {
      for (const [field, was] of before) {
        if (was === undefined) this.#all.delete(field)
        else this.#all.set(field, was)
      }
    }
  }

  /** This is what Redis holds, no more and no stricter. */
  replace(revocations: Iterable<Revocation>): void {
    this.#all.clear()
    for (const each of revocations) this.#all.set(fieldOf(each), each)
  }
}

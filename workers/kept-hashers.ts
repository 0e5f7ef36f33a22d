// The hashers that an ingest thread keeps for the next request of a session. What node:crypto has taken
// cannot be exported, only copied, so none of them is ever updated: each body works on a copy.

import type { DigestAlgorithm } from '../src/oci/digest.ts'
import type { Hasher } from './hasher.ts'

/** What a hasher has taken: the first `length` bytes that are staged at `path`. */
export interface HashedBytes {
  readonly path: string
  readonly algorithm: DigestAlgorithm
  readonly length: number
  /** Digest of these bytes, lower-case hex: the same length may be that of other bytes. */
  readonly hex: string
}

interface Kept {
  readonly bytes: HashedBytes
  readonly hasher: Hasher
  readonly usedAtMs: number
}

// A client that takes longer for its next piece can wait until the file is read again.
const keptMsMax = 10 * 60 * 1000

/** Limits: `countMax`, of about 1 KiB each; those that were used last stay. */
export class KeptHashers {
  readonly #countMax: number
  readonly #now: () => number
  // In the order of their last use.
  readonly #kept = new Map<string, Kept>()

  /** `now`: monotonic, in ms. */
  constructor(countMax: number, now: () => number = () => performance.now()) {
    this.#countMax = countMax
    this.#now = now
  }

  get size(): number {
    return this.#kept.size
  }

  /** In place of what is kept for this path. The hasher must not be updated any more. */
  keep(bytes: HashedBytes, hasher: Hasher): void {
    const usedAtMs = this.#now()
    this.#kept.delete(bytes.path)
    this.#kept.set(bytes.path, { bytes, hasher, usedAtMs })
    this.#forgetOld(usedAtMs)
  }

  /** A hasher that has taken just these bytes. What took others is forgotten: the session stands elsewhere. */
  copyFor(bytes: HashedBytes): Hasher | undefined {
    this.#forgetOld(this.#now())
    const kept = this.#kept.get(bytes.path)
    if (kept === undefined) return undefined
    if (isSame(kept.bytes, bytes)) return kept.hasher.copy?.()
    this.#kept.delete(bytes.path)
    return undefined
  }

  drop(path: string): void {
    this.#kept.delete(path)
  }

  #forgetOld(nowMs: number): void {
    for (const [path, { usedAtMs }] of this.#kept) {
      if (this.#kept.size <= this.#countMax && nowMs - usedAtMs <= keptMsMax) return
      this.#kept.delete(path)
    }
  }
}

function isSame(kept: HashedBytes, asked: HashedBytes): boolean {
  return (
    kept.path === asked.path &&
    kept.algorithm === asked.algorithm &&
    kept.length === asked.length &&
    kept.hex === asked.hex
  )
}

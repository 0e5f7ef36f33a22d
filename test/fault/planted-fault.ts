// A fault at the n-th call of a storage: before the call does anything, or after all that it does.

import type { BlobReader } from '../../src/storage/blob/contract.ts'
import { StorageError } from '../../src/storage/error.ts'
import type { Stores } from './in-process.ts'

/** `after`: the work is done, but its answer is lost, as with a commit whose sync fails. */
export type Moment = 'before' | 'after'

/** Never to be seen outside. */
export const secret = 'planted in /secret/path'

/** The faults that a storage may have; the last one is none that its contract knows. */
export const faultKinds = {
  unavailable: (): Error => new StorageError('unavailable', secret),
  full: (): Error => new StorageError('full', secret),
  unexpected: (): Error => new TypeError(secret),
} as const

export type FaultKind = keyof typeof faultKinds

export interface FaultPlan {
  /** From 1 on; 0 for none. */
  readonly call: number
  readonly kind: FaultKind
  readonly moment: Moment
}

// Those that have no fault to report, by their contracts.
const faultless = new Set(['stagedTarget', 'readingTarget', 'forget', 'refresh', 'close'])
const answersAtOnce =
  /^(metadata\.(read|list|repositories)|reader\.(readNow|fateNow)|blobs\.(isThereNow|staging)$)/

export class PlantedFault {
  #plan: FaultPlan = { call: 0, kind: 'unavailable', moment: 'before' }
  #calls = 0
  #isPaused = false
  #struck: string | undefined

  arm(plan: FaultPlan): void {
    this.#plan = plan
    this.#calls = 0
    this.#struck = undefined
  }

  /** Name of the call that has failed. */
  get struck(): string | undefined {
    return this.#struck
  }

  /** Calls that `look` makes are not counted and never fail. */
  async pausedFor<T>(look: () => Promise<T>): Promise<T> {
    this.#isPaused = true
    return look().finally(() => {
      this.#isPaused = false
    })
  }

  wrap({ blobs, metadata, ingest }: Stores): Stores {
    return {
      blobs: this.#wrapped('blobs', blobs),
      metadata: this.#wrapped('metadata', metadata),
      ingest: this.#wrapped('ingest', ingest),
    }
  }

  #wrapped<T extends object>(name: string, target: T): T {
    return new Proxy(target, {
      get: (_, key) => {
        const value: unknown = Reflect.get(target, key, target)
        if (typeof value !== 'function' || typeof key !== 'string') return value
        const call = (...args: unknown[]): unknown => Reflect.apply(value, target, args)
        if (faultless.has(key)) return call
        return (...args: unknown[]) => this.#around(`${name}.${key}`, () => call(...args))
      },
    })
  }

  #around(name: string, call: () => unknown): unknown {
    if (!this.#isPaused) this.#calls += 1
    if (this.#isPaused || this.#calls !== this.#plan.call) return this.#wrapReader(name, call())
    this.#struck = name
    const error = faultKinds[this.#plan.kind]()
    // As synchronous as what it stands for: LMDB's reads throw, its writes reject.
    if (answersAtOnce.test(name)) throw error
    const work = this.#plan.moment === 'after' ? call() : undefined
    return Promise.resolve(work).then((result) => {
      // The answer that is lost was the only way to what it opened.
      if (name === 'blobs.open') (result as BlobReader | undefined)?.close()
      throw error
    })
  }

  /** What reads a blob fails like what opened it. */
  #wrapReader(name: string, result: unknown): unknown {
    if (name !== 'blobs.open') return result
    return (result as Promise<BlobReader | undefined>).then((reader) => {
      return reader && this.#wrapped('reader', reader)
    })
  }
}

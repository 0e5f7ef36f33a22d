// Answers for the buckets that hosts share, in memory: as the script of Redis has them, with a way there
// and a way back that take as long as the test says, and faults on demand.
import type { SharedCounts, Spending } from '../../src/limit/contract.ts'
import type { FakeTime } from './fake-time.ts'

interface Known {
  readonly missing: number
  readonly atMs: number
}

/** What all hosts see. */
export class FakeStore {
  readonly buckets: Map<string, Known> = new Map()
  readonly #time: FakeTime
  /** Instead of what is true. */
  lie: ((missing: readonly number[]) => readonly number[]) | undefined
  fault: string | undefined
  /** Neither way ends. */
  hangs = false

  constructor(time: FakeTime) {
    this.#time = time
  }

  missing(bucket: string, tokensPerMs: number): number {
    const known = this.buckets.get(bucket)
    if (known === undefined) return 0
    return Math.max(0, known.missing - (this.#time.now() - known.atMs) * tokensPerMs)
  }

  settle(spendings: readonly Spending[]): readonly number[] {
    if (this.fault !== undefined) throw new Error(this.fault)
    const all = spendings.map((each) => {
      const { bucket, tokensPerMs, spent, lacking, wasAlone, lackingMax } = each
      const known = this.buckets.has(bucket) ? this.missing(bucket, tokensPerMs) : undefined
      const before = known === undefined || wasAlone ? Math.max(known ?? 0, lacking) : known
      const missing = Math.min(before + spent, lackingMax)
      this.buckets.set(bucket, { missing, atMs: this.#time.now() })
      return missing
    })
    return this.lie?.(all) ?? all
  }
}

/** One host's way to it. */
export class FakeCounts implements SharedCounts {
  readonly #store: FakeStore
  readonly #time: FakeTime
  readonly #delayMs: () => number
  isReady = true
  rounds = 0
  resets = 0
  largest = 0

  constructor(store: FakeStore, time: FakeTime, delayMs: () => number) {
    this.#store = store
    this.#time = time
    this.#delayMs = delayMs
  }

  nameOf(limit: string, _rate: unknown, key: string): string {
    return `${limit} ${key}`
  }

  async settle(spendings: readonly Spending[]): Promise<readonly number[]> {
    this.rounds += 1
    this.largest = Math.max(this.largest, spendings.length)
    await this.#way()
    const missing = this.#store.settle(spendings)
    await this.#way()
    return missing
  }

  confirm(): void {}

  reset(): void {
    this.resets += 1
  }

  close(): void {
    this.isReady = false
  }

  #way(): Promise<void> {
    if (this.#store.hangs) return new Promise(() => {})
    return new Promise((resolve) => {
      this.#time.after(this.#delayMs(), resolve)
    })
  }
}

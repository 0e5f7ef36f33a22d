// One page of those items of a list that its caller may see, with a bound on how many are judged for it.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { MaybePromise } from '../storage/metadata/contract.ts'

export interface Judged {
  /** One answer for each item from the first on, as many as were judged. */
  readonly answers: readonly boolean[]
  /** Those of them that had to be waited for. */
  readonly waited: number
}

export interface VisiblePage<T> {
  readonly items: readonly T[]
  /** What the next page comes after; undefined where the list ends. */
  readonly next: { readonly item: T; readonly isSeen: boolean } | undefined
}

interface Listing<T> {
  /** Sorted. Undefined where there is no such list. */
  readonly read: (
    after: string | undefined,
    limit: number,
  ) => MaybePromise<readonly T[] | undefined>
  readonly after: string | undefined
  /** At least 1. */
  readonly limit: number
  readonly sees: (item: T) => MaybePromise<boolean>
}

/** Items that are judged for one page at most. */
export const judgedMax = 1_000
// Those of them that another service is asked about.
const waitedMax = 100
const atOnceMax = 16
const readMin = 64
// A rule may take milliseconds, and meanwhile nobody else is served.
const turnMs = 5

/**
 * Judge items in their order until `enough` are seen, or another service has been asked about
 * `waitedLeft`; 16 at a time.
 */
export async function judge<T>(
  items: readonly T[],
  sees: (item: T) => MaybePromise<boolean>,
  enough: number = items.length,
  waitedLeft: number = waitedMax,
  elapsed: () => number = () => performance.now(),
): Promise<Judged> {
  const answers: boolean[] = []
  let waited = 0
  let seen = 0
  let turnAt = elapsed()
  while (answers.length < items.length && seen < enough && waited < waitedLeft) {
    const count = Math.min(atOnceMax, waitedLeft - waited)
    const told = items.slice(answers.length, answers.length + count).map(sees)
    const waits = told.filter((answer) => answer instanceof Promise).length
    waited += waits
    for (const answer of waits === 0 ? told : await Promise.all(told)) {
      answers.push(answer === true)
      if (answer === true) seen += 1
    }
    if (waits > 0) turnAt = elapsed()
    else if (elapsed() - turnAt > turnMs) {
      await nextTurn()
      turnAt = elapsed()
    }
  }
  return { answers, waited }
}

/**
 * Undefined where there is no such list. A page is short where `judgedMax` items, or 100 that another
 * service was asked about, did not fill it. Whether there is a next page tells nothing of what is
 * hidden, unless judging had to stop.
 */
export async function visiblePage<T extends string>(
  listing: Listing<T>,
): Promise<VisiblePage<T> | undefined> {
  const { read, limit, sees } = listing
  const items: T[] = []
  let { after } = listing
  let judged = 0
  let waited = 0
  for (;;) {
    const count = Math.min(Math.max(limit + 1 - items.length, readMin), judgedMax - judged)
    // One more than is judged tells whether the list ends here.
    const found = await read(after, count + 1)
    if (found === undefined) return undefined
    const candidates = found.slice(0, count)
    const told = await judge(candidates, sees, limit + 1 - items.length, waitedMax - waited)
    judged += told.answers.length
    waited += told.waited
    for (const [index, isSeen] of told.answers.entries()) {
      const item = candidates[index]
      if (!isSeen || item === undefined) continue
      const last = items.at(-1)
      if (items.length === limit && last !== undefined) {
        return { items, next: { item: last, isSeen: true } }
      }
      items.push(item)
    }
    const isLastSeen = told.answers.at(-1) === true
    const last = candidates[told.answers.length - 1]
    if (told.answers.length === found.length || last === undefined)
      return { items, next: undefined }
    if (judged >= judgedMax || waited >= waitedMax) {
      return { items, next: { item: last, isSeen: isLastSeen } }
    }
    after = last
  }
}

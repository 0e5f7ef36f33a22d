// Notes which manifests are pulled, so that retention can ask when. What is pulled ten thousand times in
// an interval is one note, and one row of the store.

import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/tag.ts'
import type { Action } from '../route/action.ts'
import type { Pull, TagTimesStore } from '../storage/metadata/tag-times.ts'

type PullManifest = Extract<Action, { kind: 'get-manifest' }>

/** What a pull leaves behind beside its reply. */
export interface Noted {
  /** The interval in which it was last noted; 0: none. */
  notedIn: number
}

interface Options {
  readonly store: Pick<TagTimesStore, 'recordPulls'>
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly isOn: boolean
  /** Nobody waits for it, and what it could not store is tried again. */
  readonly onFault: (error: unknown) => void
}

const notesMax = 65_536
// A transaction of this many takes a few milliseconds of the loop.
const rowsPerWrite = 512

/** One per process: with several, each tells the store its own. */
export class PullTimes {
  /** Number of the interval under way. What was noted in it need not be noted again; 0: nothing is. */
  interval = 0
  /** Pulls of which the store will not hear: it failed for so long that there was no room for more. */
  lost = 0
  readonly #store: Options['store']
  readonly #now: () => number
  readonly #onFault: Options['onFault']
  #notes = new Map<PullManifest, number>()
  #intervals = 0
  #flushing: Promise<void> | undefined

  constructor({ store, now, isOn, onFault }: Options) {
    this.#store = store
    this.#now = now
    this.#onFault = onFault
    this.turn(isOn)
  }

  /** What is noted so far is still told. */
  turn(isOn: boolean): void {
    if (isOn === this.interval > 0) return
    this.#intervals += 1
    this.interval = isOn ? this.#intervals : 0
  }

  /** Callers spare themselves the call where `noted.notedIn` is the interval under way. */
  note(action: PullManifest, noted: Noted): void {
    noted.notedIn = this.interval
    if (this.interval === 0) return
    if (this.#notes.size >= notesMax && !this.#notes.has(action)) {
      if (this.#flushing !== undefined) {
        this.lost += 1
        return
      }
      this.flush().catch(this.#onFault)
      // That has begun another interval.
      noted.notedIn = this.interval
    }
    this.#notes.set(action, this.#now())
  }

  /** Resolves when the store has every pull from before the call. Errors: StorageError; they are kept. */
  async flush(): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing.catch(() => undefined)
    if (this.#notes.size === 0) return
    const notes = this.#notes
    this.#notes = new Map()
    if (this.interval > 0) {
      this.#intervals += 1
      this.interval = this.#intervals
    }
    this.#flushing = this.#write(notes)
    try {
      await this.#flushing
    } finally {
      this.#flushing = undefined
    }
  }

  async #write(notes: Map<PullManifest, number>): Promise<void> {
    const pulls = latest(notes)
    try {
      for (let at = 0; at < pulls.length; at += rowsPerWrite) {
        await this.#store.recordPulls(pulls.slice(at, at + rowsPerWrite))
      }
    } catch (error) {
      this.#putBack(notes)
      throw error
    }
  }

  // The store takes only what is later, so that telling it twice does no harm.
  #putBack(notes: ReadonlyMap<PullManifest, number>): void {
    for (const [action, atMs] of notes) {
      if (this.#notes.has(action)) continue
      if (this.#notes.size < notesMax) this.#notes.set(action, atMs)
      else this.lost += 1
    }
  }
}

/** GET and HEAD, and every query, are actions of their own, and one pull. */
function latest(notes: ReadonlyMap<PullManifest, number>): readonly Pull[] {
  const pulls = new Map<string, Pull>()
  for (const [{ repository, reference }, atMs] of notes) {
    const named: Tag | Digest = reference.kind === 'tag' ? reference.tag : reference.digest
    const key = `${repository}@${named}`
    const before = pulls.get(key)
    if (before === undefined || before.atMs < atMs) {
      pulls.set(key, { repository, reference: named, atMs })
    }
  }
  return [...pulls.values()]
}

/** Tell the store every `intervalMs`; `end` tells it once more. */
export function startPullTimes(
  pulls: PullTimes,
  { intervalMs, onFault }: { readonly intervalMs: number; readonly onFault: Options['onFault'] },
): { end: () => Promise<void> } {
  const timer = setInterval(() => void pulls.flush().catch(onFault), intervalMs).unref()
  return {
    end: async () => {
      clearInterval(timer)
      await pulls.flush().catch(onFault)
    },
  }
}

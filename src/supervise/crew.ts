// All processes together: they start one after the other, are replaced when they end, and end together.

import type { Logger } from '../telemetry/log.ts'
import type { Clock, Exit, Fork } from './contract.ts'
import type { AdminPaths, Answer, Question, ServedPlace, Welcome } from './messages.ts'
import { Slot } from './slot.ts'

export interface CrewOptions {
  readonly count: number
  /** One that was prepared, where there is one. */
  readonly fork: Fork
  /** All serve: there is time to prepare for the next end. */
  readonly onComplete: () => void
  readonly clock: Clock
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
  readonly welcome: (index: number) => Welcome
  /** What a process may ask of all. */
  readonly answer: (question: Question) => Promise<Answer>
  /** A process serves, maybe as the successor of another one. */
  readonly onServing: (slot: Slot) => void
  /** A process of this place has ended. */
  readonly onEnd: (slot: Slot) => void
}

/** What the first process to serve has told. */
export interface Served {
  readonly places: readonly ServedPlace[]
  readonly admin: AdminPaths
}

// Of each process, where none serves.
const vainStartsMax = 5
// A process that does not even say that it stops is not going to.
const stopAnswerMs = 10_000
// What comes after the last request: records and the store are written to their ends.
const closingMs = 20_000

export class Crew {
  readonly slots: readonly Slot[]
  /** Resolves when nothing can be served any more: the processes end whenever they start. */
  readonly lost: Promise<void>
  readonly #options: CrewOptions
  #isStopping = false
  #vainStarts = 0
  #served: Served | undefined
  #lose: () => void = () => {}
  #onFirst: (served: Served) => void = () => {}
  #onSlotEnd: () => void = () => {}

  constructor(options: CrewOptions) {
    this.#options = options
    const { count, fork, clock, welcome, answer } = options
    this.lost = new Promise((resolve) => {
      this.#lose = resolve
    })
    const events = {
      answer,
      onServing: (slot: Slot, places: readonly ServedPlace[], admin: AdminPaths) =>
        this.#onServing(slot, { places, admin }),
      onSilent: (slot: Slot, isEnded: boolean) => this.#onSilent(slot, isEnded),
      onEnd: (slot: Slot, exit: Exit, hasFailed: boolean) => this.#onEnd(slot, exit, hasFailed),
    }
    this.slots = Array.from(
      { length: count },
      (_, position) => new Slot({ index: position + 1, fork, clock, welcome, events }),
    )
  }

  /**
   * Start the first process, which finds out whether the configuration is any good, then the others.
   * Resolves when the first one serves; never where `lost` resolves before that.
   */
  start(): Promise<Served> {
    const first = new Promise<Served>((resolve) => {
      this.#onFirst = resolve
    })
    this.slots[0]?.start()
    return first
  }

  /** Resolves when all have served, or may never do so. */
  async allServed(): Promise<void> {
    while (!this.#isStopping && this.slots.some((slot) => !slot.hasServed)) {
      await new Promise<void>((resolve) => this.#options.clock.after(20, resolve))
    }
  }

  /** Those that take requests and answer. */
  serving(): readonly Slot[] {
    return this.slots.filter(({ state }) => state === 'serving')
  }

  /** Resolves when no process is left; true where none had to be killed. Units: ms. */
  async stop(timeoutMs: number): Promise<boolean> {
    this.#isStopping = true
    const { clock } = this.#options
    let isClean = true
    const killRest = (which: (slot: Slot) => boolean): void => {
      for (const slot of this.#left().filter(which)) {
        isClean = false
        this.#options.log.warn({ child: slot.index, pid: slot.pid }, 'killed: it does not stop')
        slot.kill()
      }
    }
    const gone = new Promise<void>((resolve) => {
      this.#onSlotEnd = () => {
        if (this.#left().length === 0) resolve()
      }
    })
    for (const slot of this.slots) {
      slot.close()
      slot.tell({ kind: 'stop' })
    }
    this.#onSlotEnd()
    const cancels = [
      clock.after(stopAnswerMs, () => killRest(({ state }) => state !== 'stopping')),
      clock.after(timeoutMs + closingMs, () => killRest(() => true)),
    ]
    await gone
    for (const cancel of cancels) cancel()
    return isClean
  }

  /** Kill them all, at once. */
  abandon(): void {
    this.#isStopping = true
    for (const slot of this.slots) {
      slot.close()
      slot.kill()
    }
  }

  #left(): readonly Slot[] {
    return this.slots.filter(({ pid }) => pid !== undefined)
  }

  #onServing(slot: Slot, served: Served): void {
    this.#vainStarts = 0
    const { index, pid, restarts } = slot
    if (restarts > 0) this.#options.log.info({ child: index, pid }, 'a process serves again')
    this.#options.onServing(slot)
    if (this.slots.every(({ state }) => state === 'serving')) this.#options.onComplete()
    if (this.#served !== undefined) return
    this.#served = served
    this.#onFirst(served)
    for (const other of this.slots.slice(1)) if (!this.#isStopping) other.start()
  }

  #onSilent({ index, pid }: Slot, isEnded: boolean): void {
    const { log } = this.#options
    if (isEnded) log.error({ child: index, pid }, 'a process is killed: it does not answer')
    else log.warn({ child: index, pid }, 'a process does not answer')
  }

  #onEnd(slot: Slot, exit: Exit, hasFailed: boolean): void {
    const { log, onEnd } = this.#options
    onEnd(slot)
    this.#onSlotEnd()
    if (this.#isStopping) return
    if (this.#isVain(hasFailed)) {
      this.#lose()
      return
    }
    const afterMs = slot.restart()
    const ended = { child: slot.index, ...exit, afterMs }
    const isAsked = exit.code === 0 && slot.hasServed
    if (isAsked) log.info(ended, 'a process has stopped, and is replaced')
    else log.error(ended, 'a process has ended, and is replaced')
  }

  /** Whether there is no use in another attempt. Others that serve make each attempt worth while. */
  #isVain(hasFailed: boolean): boolean {
    if (this.slots.some(({ state }) => state !== 'waiting' && state !== 'starting')) return false
    this.#vainStarts += 1
    // What keeps the very first one from starting is the operator's to mend.
    if (this.#served === undefined) return hasFailed || this.#vainStarts >= vainStartsMax
    return this.#vainStarts >= vainStartsMax * this.slots.length
  }
}

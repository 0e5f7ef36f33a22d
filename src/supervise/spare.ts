// One process in reserve, with everything loaded: who takes the place of another one serves in a fraction
// of the time that a start takes.

import type { Child, ChildEvents, Fork } from './contract.ts'
import type { FromChild } from './messages.ts'

interface Waiting {
  readonly child: Child
  /** What it has said before it had a place. */
  readonly said: FromChild[]
  /** Undefined while it waits. */
  events: ChildEvents | undefined
}

export class Spare {
  readonly #fork: Fork
  #waiting: Waiting | undefined

  constructor(fork: Fork) {
    this.#fork = fork
  }

  /** Start one that waits, where there is none. */
  prepare(): void {
    if (this.#waiting !== undefined) return
    const said: FromChild[] = []
    const child = this.#fork({
      onMessage: (message) => {
        if (waiting.events === undefined) said.push(message)
        else waiting.events.onMessage(message)
      },
      onExit: (exit) => {
        if (this.#waiting === waiting) this.#waiting = undefined
        waiting.events?.onExit(exit)
      },
    })
    const waiting: Waiting = { child, said, events: undefined }
    this.#waiting = waiting
  }

  /** As the `Fork` that it was made of, but with the one that waits, if any. */
  readonly fork: Fork = (events) => {
    const waiting = this.#waiting
    if (waiting === undefined) return this.#fork(events)
    this.#waiting = undefined
    waiting.events = events
    // As a new one would: after this has returned.
    queueMicrotask(() => {
      for (const message of waiting.said) events.onMessage(message)
    })
    return waiting.child
  }

  /** It has nothing to end. */
  close(): void {
    this.#waiting?.child.kill()
    this.#waiting = undefined
  }
}

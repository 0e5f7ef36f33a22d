// The place of one process: who has it now, how that one is, and when the next one comes.

import { BackOff } from './back-off.ts'
import type { Child, Clock, Exit, Fork } from './contract.ts'
import type {
  AdminPaths,
  Answer,
  FromChild,
  Order,
  Question,
  ServedPlace,
  ToChild,
  Welcome,
} from './messages.ts'
import { Questions } from './questions.ts'

/**
 * `starting`: it does not serve yet. `silent`: it runs and does not answer. `stopping`: it ends by itself.
 * `waiting`: there is none, the next one starts later.
 */
export type SlotState = 'starting' | 'serving' | 'silent' | 'stopping' | 'waiting'

export interface SlotEvents {
  /** It takes requests from now on. */
  onServing(slot: Slot, places: readonly ServedPlace[], admin: AdminPaths): void
  /** The first time that it does not answer, and again when it is ended for that. */
  onSilent(slot: Slot, isEnded: boolean): void
  /** `hasFailed`: it has said that it cannot start. */
  onEnd(slot: Slot, exit: Exit, hasFailed: boolean): void
  /** A process asks for what all of them know. */
  answer(question: Question): Promise<Answer>
}

export interface SlotOptions {
  readonly index: number
  readonly fork: Fork
  readonly clock: Clock
  readonly welcome: (index: number) => Welcome
  readonly events: SlotEvents
}

const pingEveryMs = 1_000
// Looks, not time: a supervisor that was stopped itself must not blame its children.
const silentAfterPings = 5
const endedAfterPings = 30

export class Slot {
  readonly index: number
  /** Processes after the first. */
  restarts = 0
  readonly #options: SlotOptions
  readonly #backOff: BackOff
  readonly #questions = new Questions()
  #state: SlotState = 'waiting'
  #child: Child | undefined
  #hasFailed = false
  #hasServed = false
  #isClosed = false
  #unanswered = 0
  #welcome: Welcome | undefined
  #cancelPing: (() => void) | undefined
  #cancelStart: (() => void) | undefined

  constructor(options: SlotOptions) {
    this.#options = options
    this.index = options.index
    this.#backOff = new BackOff(() => options.clock.now())
  }

  get state(): SlotState {
    return this.#state
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Whether any process of this place has served. */
  get hasServed(): boolean {
    return this.#hasServed
  }

  /** What the present process was told at its start. */
  get welcome(): Welcome | undefined {
    return this.#welcome
  }

  start(): void {
    const { fork, clock } = this.#options
    this.#state = 'starting'
    this.#hasFailed = false
    this.#unanswered = 0
    this.#child = fork({
      onMessage: (message) => this.#take(message),
      onExit: (exit) => this.#end(exit),
    })
    this.#cancelPing = clock.every(pingEveryMs, () => this.#ping())
  }

  /** Start another one when it is time. Answers in how many ms. */
  restart(): number {
    const delayMs = this.#backOff.next()
    this.restarts += 1
    this.#state = 'waiting'
    this.#cancelStart = this.#options.clock.after(delayMs, () => this.start())
    return delayMs
  }

  /** Undefined where it does not answer in time. One that is silent is not asked. */
  async order(order: Order, timeoutMs: number): Promise<unknown> {
    if (this.#child === undefined || this.#state === 'silent') return undefined
    const { id, replied } = this.#questions.ask(timeoutMs)
    this.#child.send({ kind: 'order', id, order })
    return replied
  }

  tell(message: ToChild): void {
    this.#child?.send(message)
  }

  kill(): void {
    this.#child?.kill()
  }

  /** Nothing is started here any more. */
  close(): void {
    this.#isClosed = true
    this.#cancelStart?.()
  }

  #take(message: FromChild): void {
    switch (message.kind) {
      case 'hello':
        this.#greet()
        break
      case 'serving':
        if (this.#state === 'starting') this.#state = 'serving'
        this.#hasServed = true
        this.#options.events.onServing(this, message.places, message.admin)
        break
      case 'failed':
        this.#hasFailed = true
        break
      case 'stopping':
        this.#state = 'stopping'
        break
      case 'reply':
        this.#questions.take(message)
        break
      case 'ask':
        void this.#answer(message.id, message.question)
        break
      default:
        message satisfies never
    }
  }

  #greet(): void {
    this.#welcome = this.#options.welcome(this.index)
    this.tell(this.#welcome)
    if (this.#isClosed) this.tell({ kind: 'stop' })
  }

  async #answer(id: number, question: Question): Promise<void> {
    const child = this.#child
    child?.send({ kind: 'reply', id, value: await this.#options.events.answer(question) })
  }

  #ping(): void {
    this.#unanswered += 1
    const { id, replied } = this.#questions.ask(endedAfterPings * pingEveryMs)
    void replied.then((value) => {
      if (value === true) this.#hear()
    })
    this.#child?.send({ kind: 'order', id, order: { kind: 'ping' } })
    if (this.#unanswered === silentAfterPings && this.#state === 'serving') {
      this.#state = 'silent'
      this.#options.events.onSilent(this, false)
    }
    if (this.#unanswered === endedAfterPings) {
      this.#options.events.onSilent(this, true)
      this.kill()
    }
  }

  #hear(): void {
    this.#unanswered = 0
    if (this.#state === 'silent') this.#state = 'serving'
  }

  #end(exit: Exit): void {
    this.#cancelPing?.()
    this.#child = undefined
    this.#state = 'waiting'
    this.#questions.abandon()
    this.#options.events.onEnd(this, exit, this.#hasFailed)
  }
}

// Answers for processes that a test plays itself, and for time that it turns on.
import assert from 'node:assert/strict'
import type { Child, ChildEvents, Clock, Fork } from '../../src/supervise/contract.ts'
import type { AdminPaths, Answer, ToChild, Welcome } from '../../src/supervise/messages.ts'

const paths: AdminPaths = { socket: '/run/admin.sock', routes: ['/status'], calls: ['/do'] }

/** One process, as the supervisor has started it. */
export class FakeChild implements Child {
  readonly pid: number
  readonly told: ToChild[] = []
  isKilled = false
  /** What it answers to an order; undefined: nothing. */
  obey: (order: Extract<ToChild, { kind: 'order' }>['order']) => unknown = ({ kind }) =>
    kind === 'ping' ? true : undefined
  readonly #events: ChildEvents

  constructor(pid: number, events: ChildEvents) {
    this.pid = pid
    this.#events = events
  }

  send(message: ToChild): void {
    this.told.push(message)
    if (message.kind !== 'order') return
    const value = this.obey(message.order)
    if (value !== undefined) this.#events.onMessage({ kind: 'reply', id: message.id, value })
  }

  kill(): void {
    this.isKilled = true
    this.end(null, 'SIGKILL')
  }

  hello(): void {
    this.#events.onMessage({ kind: 'hello' })
  }

  serve(): void {
    this.hello()
    this.servedAlready()
  }

  /** It was greeted before. */
  servedAlready(): void {
    const places = [{ address: '127.0.0.1', port: 8000, transport: 'uws', tls: false }]
    this.#events.onMessage({ kind: 'serving', places, admin: paths })
  }

  fail(): void {
    this.hello()
    this.#events.onMessage({ kind: 'failed' })
    this.end(1)
  }

  stopping(): void {
    this.#events.onMessage({ kind: 'stopping' })
  }

  end(code: number | null, signal: string | null = null): void {
    this.#events.onExit({ code, signal })
  }

  get welcome(): Welcome | undefined {
    return this.told.find((message) => message.kind === 'welcome')
  }

  count(kind: ToChild['kind']): number {
    return this.told.filter((message) => message.kind === kind).length
  }
}

export function createFakeFork(): { readonly fork: Fork; readonly children: FakeChild[] } {
  const children: FakeChild[] = []
  return {
    children,
    fork: (events) => {
      const child = new FakeChild(100 + children.length, events)
      children.push(child)
      return child
    },
  }
}

interface Timer {
  atMs: number
  readonly everyMs: number | undefined
  readonly action: () => void
}

/** Time stands still but for `turn`. */
export class FakeClock implements Clock {
  #nowMs = 0
  readonly #timers = new Set<Timer>()

  now(): number {
    return this.#nowMs
  }

  after(delayMs: number, action: () => void): () => void {
    return this.#add({ atMs: this.#nowMs + delayMs, everyMs: undefined, action })
  }

  every(everyMs: number, action: () => void): () => void {
    return this.#add({ atMs: this.#nowMs + everyMs, everyMs, action })
  }

  async turn(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms
    for (;;) {
      // What the last timer has begun comes before the next one.
      await new Promise((resolve) => setImmediate(resolve))
      const [next] = [...this.#timers].toSorted((a, b) => a.atMs - b.atMs)
      if (next === undefined || next.atMs > untilMs) break
      this.#nowMs = next.atMs
      if (next.everyMs === undefined) this.#timers.delete(next)
      else next.atMs += next.everyMs
      next.action()
    }
    this.#nowMs = untilMs
  }

  #add(timer: Timer): () => void {
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }
}

export function jsonAnswer(body: object, status = 200): Answer {
  return { status, contentType: 'application/json', text: JSON.stringify(body) }
}

export function found<T>(value: T | undefined): T {
  assert.ok(value !== undefined)
  return value
}

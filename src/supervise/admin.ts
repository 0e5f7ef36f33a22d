// What the admin interface answers where several processes serve: what all of them say, or what one of
// them does for all. No process that hangs holds an answer up.

import type { AdminCalls, AdminRoutes, StatusAnswer } from '../server/admin.ts'
import { answerRoute } from '../server/admin.ts'
import { ProcessMetrics } from '../telemetry/process-metrics.ts'
import type { AdminPaths, Answer, Question } from './messages.ts'
import type { Slot, SlotState } from './slot.ts'

export interface AdminParts {
  readonly slots: readonly Slot[]
  /** Since the supervisor was started. */
  readonly uptimeMs: () => number
}

// All are asked at the same time, and Prometheus waits for ten seconds.
const askAllMs = 5_000
// Of one process; then the next one is asked.
const askOneMs = 8_000
// Commands wait for thirty seconds.
const callMs = 25_000
const refreshMs = 2_000

interface SlotAnswer {
  readonly slot: Slot
  /** When it was asked. */
  readonly state: SlotState
  readonly answer: Answer | undefined
}

type Body = Readonly<Record<string, unknown>>

export class AdminOfAll {
  readonly #parts: AdminParts
  readonly #metrics: ProcessMetrics
  #routes: AdminRoutes = {}

  constructor(parts: AdminParts) {
    this.#parts = parts
    this.#metrics = new ProcessMetrics(() =>
      parts.slots.map(({ index, state, restarts }) => {
        return { index, restarts, isUp: state === 'serving' }
      }),
    )
  }

  /** What a process knows, all together know. */
  serve({ routes, calls }: AdminPaths): {
    readonly routes: AdminRoutes
    readonly calls: AdminCalls
  } {
    this.#routes = Object.fromEntries(routes.map((path) => [path, this.#route(path)]))
    return {
      routes: this.#routes,
      calls: Object.fromEntries(
        calls.map((path) => [path, (input: unknown) => this.#call(path, input)]),
      ),
    }
  }

  /** For a process that is asked on a public listener. */
  async answer({ path, query }: Question): Promise<Answer> {
    const route = Object.hasOwn(this.#routes, path) ? this.#routes[path] : undefined
    if (route === undefined) return { status: 404, contentType: 'text/plain', text: '' }
    return answerRoute(route, new URLSearchParams(query))
  }

  /** The process of this place has ended; what it has counted stays. */
  ended({ index }: Slot): Promise<void> {
    return this.#metrics.end(index)
  }

  #route(path: string): AdminRoutes[string] {
    switch (path) {
      case '/metrics':
        return () => this.#renderMetrics()
      case '/healthz':
        return () => this.#health(path)
      case '/readyz':
        return () => this.#readiness(path)
      case '/status':
        return () => this.#status(path)
      case '/decisions':
        return (query) =>
          this.#first({ path, query: String(query) }, ({ status }) => status === 200)
      default:
        return (query) => this.#first({ path, query: String(query) }, () => true)
    }
  }

  async #renderMetrics(): Promise<unknown> {
    const answers = await this.#askAll({ path: '/metrics', query: 'figures' })
    for (const { slot, answer } of answers) {
      if (answer?.status === 200) this.#metrics.note(slot.index, JSON.parse(answer.text))
    }
    return this.#metrics.render()
  }

  /** Alive while one process is: it takes the connections of the others, too. */
  async #health(path: string): Promise<StatusAnswer> {
    const answers = await this.#askAll({ path, query: '' })
    const isAlive = answers.some(({ answer }) => answer?.status === 200)
    const processes = answers.map(({ slot: { index }, state, answer }) => {
      return { process: index, state, ok: answer?.status === 200 }
    })
    return { status: isAlive ? 200 : 503, body: { status: isAlive ? 'ok' : 'failed', processes } }
  }

  /**
   * Ready while one process is, unless another one takes connections without being ready. One that has
   * ended takes none: the others get them until its successor serves.
   */
  async #readiness(path: string): Promise<StatusAnswer> {
    const answers = await this.#askAll({ path, query: '' })
    const takes: readonly SlotState[] = ['serving', 'silent']
    const taking = answers.filter(({ state }) => takes.includes(state))
    const isReady = taking.length > 0 && taking.every(({ answer }) => answer?.status === 200)
    const processes = answers.map(({ slot: { index }, state, answer }) => {
      return { process: index, state, ...bodyOf(answer) }
    })
    const status = isReady ? 'ready' : 'not ready'
    return { status: isReady ? 200 : 503, body: { status, processes } }
  }

  async #status(path: string): Promise<Body> {
    const answers = await this.#askAll({ path, query: '' })
    const processes = answers.map(({ slot: { index, pid, restarts }, state, answer }) => {
      return { process: index, pid: pid ?? null, state, restarts, ...bodyOf(answer) } as Body
    })
    const sum = (name: string): number =>
      processes.reduce((total, each) => total + (Number(each[name]) || 0), 0)
    return {
      pid: process.pid,
      uptimeSeconds: Math.round(this.#parts.uptimeMs() / 1000),
      listening: processes.find(({ listening }) => listening !== undefined)?.['listening'],
      requestsInFlight: sum('requestsInFlight'),
      uploadsOpen: sum('uploadsOpen'),
      processes,
    }
  }

  #askAll(question: Question): Promise<readonly SlotAnswer[]> {
    return Promise.all(
      this.#parts.slots.map(async (slot) => {
        const { state } = slot
        const isAsked = state === 'serving'
        return { slot, state, answer: isAsked ? await ask(slot, question, askAllMs) : undefined }
      }),
    )
  }

  /** The first answer that will do, else the last one. */
  async #first(question: Question, willDo: (answer: Answer) => boolean): Promise<StatusAnswer> {
    let last: Answer | undefined
    for (const slot of this.#serving()) {
      const answer = await ask(slot, question, askOneMs)
      if (answer !== undefined && willDo(answer)) return asAnswer(answer)
      last = answer ?? last
    }
    return last === undefined ? nobody : asAnswer(last)
  }

  /** Once: a call that nobody answers may have been done. */
  async #call(path: string, value: unknown): Promise<StatusAnswer> {
    const [slot, ...others] = this.#serving()
    if (slot === undefined) return nobody
    const answer = await ask(slot, { path, query: '', input: { value } }, callMs)
    if (answer === undefined) {
      const error = 'the process that was asked did not answer: look whether it is done'
      return { status: 503, body: { error } }
    }
    // What was issued or revoked is in force everywhere when the operator hears of it.
    await Promise.all(others.map((other) => other.order({ kind: 'refresh' }, refreshMs)))
    return { status: answer.status, body: bodyOf(answer) }
  }

  #serving(): readonly Slot[] {
    return this.#parts.slots.filter(({ state }) => state === 'serving')
  }
}

const nobody: StatusAnswer = { status: 503, body: { error: 'no process answers at the moment' } }

async function ask(slot: Slot, question: Question, timeoutMs: number): Promise<Answer | undefined> {
  return (await slot.order({ kind: 'ask', question }, timeoutMs)) as Answer | undefined
}

function asAnswer({ status, contentType, text }: Answer): StatusAnswer {
  return { status, body: { contentType, text } }
}

function bodyOf(answer: Answer | undefined): Body {
  try {
    return answer === undefined ? {} : (JSON.parse(answer.text) as Body)
  } catch {
    return {}
  }
}

// Which failures a client may see, and when: anything that says "not now" while something is broken and until it has
// recovered, and nothing at all in calm weather.

import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import { type Answer, assertStatus, type RegistryClient } from '../support/registry-client.ts'
import { within } from '../support/until.ts'

/** After a heal everything works again within that time. */
export const recoveryMsMax = 60_000
// The balancer gives up before.
const answerMsMax = 60_000
const betweenTriesMs = 100
/** Set by the balancer: address and port of the host. */
export const servedBy = 'x-served-by'

/** Whom a fault is an excuse for: everybody, nobody, or the host at this port. */
export type Scope = 'all' | 'none' | number

interface Period {
  readonly name: string
  readonly scope: Scope
  readonly from: number
  /** All worked again; undefined until then. */
  until: number | undefined
}

export class Weather {
  /** By fault and kind of failure. */
  readonly failures: Map<string, number> = new Map()
  /** Operations that have ended, by kind. */
  readonly operations: Map<string, number> = new Map()
  requests = 0
  readonly #periods: Period[] = []
  #heldUntil = 0
  #ended = 0

  /** Of operations. */
  get ended(): number {
    return this.#ended
  }

  begin(name: string, scope: Scope): void {
    this.#periods.push({ name, scope, from: performance.now(), until: undefined })
  }

  /** What a dead or a sleeping one held is free again only some time after. */
  healed(): void {
    this.#heldUntil = performance.now() + recoveryMsMax
  }

  calm(): void {
    const last = this.#periods.at(-1)
    if (last !== undefined) last.until = performance.now()
  }

  /** Whether a request that began then may fail now. `port`: of the host that answered, where that is known. */
  isRough(begunAt: number, port?: number): boolean {
    return this.#periods.some(({ scope, until }) => {
      if (until !== undefined && until < begunAt) return false
      return scope === 'all' || (scope !== 'none' && (port === undefined || port === scope))
    })
  }

  mayBeHeld(begunAt: number): boolean {
    return this.isRough(begunAt) || begunAt < this.#heldUntil
  }

  /** For people. */
  get now(): string {
    const last = this.#periods.at(-1)
    const when = last === undefined ? 'at first' : last.until === undefined ? '' : 'after '
    return `${when}${last?.name ?? ''}`
  }

  count(failure: string): void {
    const name = `${this.now}: ${failure}`
    this.failures.set(name, (this.failures.get(name) ?? 0) + 1)
  }

  operation(kind: string): void {
    this.#ended += 1
    this.operations.set(kind, (this.operations.get(kind) ?? 0) + 1)
  }
}

export interface AskOptions {
  /** 503 tells that the registry still waits for a removal of the same bytes. */
  readonly mayBeBusy?: boolean
  /** The client itself breaks off. */
  readonly breaksOff?: boolean
}

/** Requests of clients, by way of the balancer. */
export class Caller {
  readonly weather: Weather
  readonly #client: RegistryClient

  constructor(client: RegistryClient, weather: Weather) {
    this.#client = client
    this.weather = weather
  }

  /**
   * The answer; undefined where there was none that tells whether it was carried out.
   * Limits: 60 s. Errors: AssertionError for a failure in calm weather, and for 500 in any.
   */
  async ask(
    what: string,
    send: (client: RegistryClient) => Promise<Answer>,
    { mayBeBusy = false, breaksOff = false }: AskOptions = {},
  ): Promise<Answer | undefined> {
    const begunAt = performance.now()
    this.weather.requests += 1
    let answer: Answer
    try {
      answer = await within(`an answer to ${what}`, send(this.#client), answerMsMax)
    } catch (error) {
      const tookMs = performance.now() - begunAt
      assert.ok(tookMs < answerMsMax, String(error))
      if (breaksOff) return undefined
      this.weather.count('broken connection')
      assert.ok(this.weather.isRough(begunAt), `${what}: ${String(error)} in calm weather`)
      return undefined
    }
    const { status } = answer
    if (status < 500) return answer
    this.weather.count(`${status}${codeOf(answer)}`)
    assert.notEqual(status, 500, `${what}: ${answer.body}`)
    const port = Number(/:(\d+)$/.exec(answer.headers[servedBy] ?? '')?.[1])
    const isBusy = mayBeBusy && (status === 503 || status === 504)
    const isExcused = this.weather.isRough(begunAt, port) || isBusy
    if (!isExcused) assertStatus(answer, 200, `${what} by a host that has no excuse:`)
    return undefined
  }

  /** As clients wait before they try again. */
  backOff(): Promise<void> {
    return pause(betweenTriesMs)
  }
}

/** Those of the registry have a code, those of the balancer none. */
function codeOf({ headers, body }: Answer): string {
  if (headers['content-type'] !== 'application/json') return ' of the balancer'
  // To a HEAD.
  if (body.length === 0) return ''
  const { errors } = JSON.parse(body.toString()) as { errors: { code: string }[] }
  return ` ${errors[0]?.code}`
}

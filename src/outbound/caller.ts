// Calls to one other service: bounded in time, number and length, over connections that are kept.

import { Pool } from 'undici'
import { CircuitBreaker, type Pass } from './circuit-breaker.ts'
import type {
  Call,
  Caller,
  CallerOptions,
  CallerStatus,
  CallerTls,
  CallResult,
} from './contract.ts'
import { AnswerReader, describe, failed, type Outcome } from './exchange.ts'
import { requestProblem } from './request-problem.ts'
import { authorizationOf, parseServiceUrl } from './service-url.ts'
import { Turns, type Waiter } from './turns.ts'

const bodyBytesDefault = 64 * 1024
const waitingPerTurn = 16
// Of a call's time: what is left then would mostly be too short, so that all the work was for nothing.
const waitShareMax = 0.5
// Up to here a call had its whole time for the service alone.
const waitShareNegligible = 0.1
// Of a connection that nobody uses; what the other side says of it comes first.
const keepMs = { usual: 30_000, longest: 300_000 } as const

/** Errors: an Error that says which option is wrong, and shows no secret. */
export function openCaller(options: CallerOptions): Caller {
  return new PoolCaller(options)
}

class PoolCaller implements Caller {
  readonly #options: CallerOptions
  readonly #pool: Pool
  readonly #path: string
  readonly #headers: Readonly<Record<string, string>>
  readonly #turns: Turns
  readonly #breaker: CircuitBreaker | undefined
  readonly #underWay = new Set<UnderWay>()
  #isClosed = false
  #hasAnswered = false

  constructor(options: CallerOptions) {
    const { name, auth, breaker, concurrencyMax, elapsed } = options
    const url = parseServiceUrl(name, options.url, auth !== undefined)
    this.#options = options
    this.#path = `${url.pathname}${url.search}`
    this.#headers = {
      // A body that is packed could unpack to any size.
      'accept-encoding': 'identity',
      ...(auth === undefined ? {} : { authorization: authorizationOf(name, auth) }),
    }
    this.#turns = new Turns(concurrencyMax, options.waitingMax ?? concurrencyMax * waitingPerTurn)
    const onChange = options.onBreaker ?? (() => undefined)
    this.#breaker = breaker && new CircuitBreaker(breaker, elapsed, onChange)
    this.#pool = openPool(url.origin, options)
  }

  call(call: Call): Promise<CallResult> {
    if (this.#isClosed) return Promise.resolve(closed)
    const problem = requestProblem(call)
    if (problem !== undefined) return Promise.resolve(failed('transport', problem))
    if (this.#breaker?.refuses === true) return Promise.resolve(refusedByBreaker)
    return new Promise((resolve) => {
      let hasTurn = false
      const askedAtMs = this.#options.elapsed()
      const underWay = new UnderWay(this.#options.timeoutMs, (result) => {
        this.#underWay.delete(underWay)
        if (hasTurn) this.#turns.end()
        else this.#turns.leave(waiter)
        resolve(result)
      })
      const busy = (): void =>
        underWay.end(failed('busy', `${this.#turns.waiting} calls wait already`))
      const waiter: Waiter = {
        who: call.who ?? '',
        begin: () => {
          hasTurn = true
          this.#begin(call, underWay, askedAtMs)
        },
        giveUp: busy,
      }
      this.#underWay.add(underWay)
      if (!this.#turns.take(waiter)) busy()
    })
  }

  status(): CallerStatus {
    const { running, waiting } = this.#turns
    return { breaker: this.#breaker?.state ?? 'closed', running, waiting }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const underWay of this.#underWay) {
      underWay.onEnd = undefined
      underWay.end(closed)
    }
    await this.#pool.destroy()
  }

  // It has its turn. What waited meanwhile may be too late for a service that has gone.
  #begin(call: Call, underWay: UnderWay, askedAtMs: number): void {
    if (this.#isClosed) {
      underWay.endSoon(closed)
      return
    }
    const waitedMs = this.#options.elapsed() - askedAtMs
    if (waitedMs > this.#options.timeoutMs * waitShareMax) {
      underWay.endSoon(failed('timeout', `its turn came after ${Math.round(waitedMs)} ms`))
      return
    }
    const pass = this.#breaker?.enter()
    if (this.#breaker !== undefined && pass === undefined) {
      underWay.endSoon(refusedByBreaker)
      return
    }
    // One that tries whether the service is back has to come to an end for the breaker.
    const isTrial = this.#breaker?.state === 'half-open'
    const hadTime = waitedMs <= this.#options.timeoutMs * waitShareNegligible
    underWay.onEnd = (result) => {
      // Too many calls are no fault of the service.
      const isOurs = result.kind === 'failed' && result.problem === 'timeout' && !hadTime
      if (isTrial || !isOurs) this.#judge(pass, result)
    }
    this.#send(call, underWay, this.#hasAnswered)
  }

  #send(call: Call, underWay: UnderWay, mayBeStale: boolean): void {
    const reader = new AnswerReader(
      this.#options.bodyBytesMax ?? bodyBytesDefault,
      (outcome: Outcome) => {
        if (outcome.kind !== 'stale') {
          if (outcome.kind === 'answer') this.#hasAnswered = true
          underWay.end(outcome)
        } else if (mayBeStale) this.#send(call, underWay, false)
        else underWay.end(outcome.error)
      },
    )
    underWay.reader = reader
    const { method, path = this.#path, headers, body = null } = call
    const all = { ...ourName, ...headers, ...this.#headers }
    try {
      this.#pool.dispatch({ method, path, headers: all, body }, reader)
    } catch (error) {
      underWay.end(failed('transport', describe(error)))
    }
  }

  #judge(pass: Pass | undefined, result: CallResult): void {
    if (pass === undefined) return
    const { isFailure = isServerError } = this.#options
    const isGood = result.kind === 'answer' && !isFailure(result.status)
    if (isGood) this.#breaker?.succeed(pass)
    else this.#breaker?.fail(pass)
  }
}

const ourName = { 'user-agent': 'keelson' } as const
const closed = failed('transport', 'closed')
const refusedByBreaker = failed('open', 'it failed too often just now, and is not asked')

function isServerError(status: number): boolean {
  return status >= 500
}

/** A call from its beginning to its end, which comes once. */
class UnderWay {
  /** Of the request, once it is on its way. */
  reader: AnswerReader | undefined
  onEnd: ((result: CallResult) => void) | undefined
  readonly #settle: (result: CallResult) => void
  readonly #timer: NodeJS.Timeout
  #isOver = false

  constructor(timeoutMs: number, settle: (result: CallResult) => void) {
    this.#settle = settle
    this.#timer = setTimeout(() => {
      const where = this.reader === undefined ? 'its turn did not come' : 'no whole answer'
      this.end(failed('timeout', `${where} in ${timeoutMs} ms`))
    }, timeoutMs)
  }

  end(result: CallResult): void {
    if (this.#isOver) return
    this.forget()
    this.reader?.abandon()
    this.onEnd?.(result)
    this.#settle(result)
  }

  // Not within the turn that it would end: a long line would be one deep stack.
  endSoon(result: CallResult): void {
    queueMicrotask(() => this.end(result))
  }

  forget(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
  }
}

function openPool(origin: string, options: CallerOptions): Pool {
  const { concurrencyMax, timeoutMs, tls } = options
  return new Pool(origin, {
    connections: concurrencyMax,
    pipelining: 1,
    connect: {
      timeout: timeoutMs,
      // Whatever the environment says of it.
      rejectUnauthorized: true,
      ...(tls === undefined ? {} : secureOptions(tls)),
    },
    // A call has a clock of its own, which is finer.
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: keepMs.usual,
    keepAliveMaxTimeout: keepMs.longest,
    allowH2: false,
  })
}

function secureOptions({ ca, cert, key, passphrase }: CallerTls): Record<string, string> {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(passphrase === undefined ? {} : { passphrase: passphrase.reveal() }),
  }
}

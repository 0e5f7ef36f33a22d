// A service that is asked about requests: 2xx allows, 401 and 403 deny, and nothing else is an answer.

import type { Caller, CallResult } from '../../outbound/contract.ts'
import type { GuardCounts, GuardResult, GuardTally } from '../../telemetry/guard-counts.ts'
import { askerOf } from '../asker.ts'
import type { Guard, Question, Verdict, VerdictResult } from '../guard.ts'
import { type Remembered, type Told, VerdictCache } from '../verdict-cache.ts'
import { WarmVerdicts } from '../warm-verdicts.ts'
import { questionText, sentHeaders, Unsendable } from './sent-question.ts'

export interface WebhookOptions {
  /** As in `auth.webhook.<name>`. */
  readonly name: string
  readonly caller: Pick<Caller, 'call'>
  /** Lower case. */
  readonly forwardHeaders: readonly string[]
  /** 0: nothing is remembered or shared. */
  readonly cacheTtlMs: number
  readonly counts: GuardCounts
  readonly elapsed: () => number
}

interface Counted extends Told {
  readonly counted: GuardResult
}

const entriesMax = 16_384

export function createWebhook(options: WebhookOptions): Guard {
  return new Webhook(options)
}

class Webhook implements Guard {
  readonly name: string
  readonly #options: WebhookOptions
  readonly #cache: VerdictCache<Counted>
  readonly #warm = new WarmVerdicts()
  readonly #isWarm: boolean
  readonly #tally: GuardTally

  constructor(options: WebhookOptions) {
    const { name, cacheTtlMs: ttlMs, elapsed, counts, forwardHeaders } = options
    this.name = `auth.webhook.${name}`
    this.#options = options
    this.#cache = new VerdictCache({ ttlMs, entriesMax, elapsed })
    // Values of headers may be secrets, and those are not kept in clear.
    this.#isWarm = ttlMs > 0 && forwardHeaders.length === 0
    this.#tally = counts.tally(name)
  }

  ask(question: Question): Verdict | Promise<Verdict> {
    try {
      const clientIp = question.asked.clientIp()
      const warm = this.#isWarm ? this.#warm.find(question, clientIp) : undefined
      if (warm === undefined || warm.untilMs <= this.#options.elapsed()) {
        return this.#ask(question, clientIp)
      }
      return this.#again(warm)
    } catch (error) {
      // What a client sends must not look like trouble of the service.
      const isQuestion = error instanceof Unsendable
      const result = isQuestion ? 'deny' : 'unavailable'
      this.#tally[result] += 1
      return verdictOf(result, `the question cannot be sent: ${reasonOf(error)}`)
    }
  }

  #ask(question: Question, clientIp: string): Verdict | Promise<Verdict> {
    const { cacheTtlMs, forwardHeaders } = this.#options
    const text = questionText(question, clientIp, forwardHeaders)
    // Who wants each request to be asked about would not have one answer for two of them.
    if (cacheTtlMs === 0)
      return this.#put(text, askerOf(question)).then((told) => this.#count(told))
    const key = this.#cache.keyOf(text)
    const known = this.#cache.find(key)
    if (known !== undefined) {
      if (this.#isWarm) this.#warm.add(question, clientIp, known)
      return this.#again(known)
    }
    const who = askerOf(question)
    return this.#cache.share(key, () => this.#put(text, who)).then((told) => this.#count(told))
  }

  #again({ verdict }: Remembered): Verdict {
    this.#tally[verdict.result === 'allow' ? 'cached_allow' : 'cached_deny'] += 1
    return verdict
  }

  #count({ verdict, counted }: Counted): Verdict {
    this.#tally[counted] += 1
    return verdict
  }

  async #put(text: string, who: string): Promise<Counted> {
    const { name, caller, counts, elapsed } = this.#options
    const startMs = elapsed()
    const result = await caller.call({ method: 'GET', headers: sentHeaders(text), who })
    if (wasAsked(result)) counts.observe(name, elapsed() - startMs)
    return judge(result)
  }
}

function wasAsked(result: CallResult): boolean {
  return result.kind === 'answer' || (result.problem !== 'open' && result.problem !== 'busy')
}

function judge(result: CallResult): Counted {
  if (result.kind === 'failed') {
    const verdict = verdictOf('unavailable', `${result.problem}: ${result.detail}`)
    const counted = wasAsked(result) ? 'transport_error' : 'unavailable'
    return { verdict, counted, holds: false }
  }
  const { status } = result
  if (status >= 200 && status < 300)
    return { verdict: verdictOf('allow', null), counted: 'allow', holds: true }
  const denies = status === 401 || status === 403
  const counted = denies ? 'deny' : 'unavailable'
  return { verdict: verdictOf(counted, `it answered ${status}`), counted, holds: denies }
}

function verdictOf(result: VerdictResult, reason: string | null): Verdict {
  return { result, isCached: false, reason, decisionId: null }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

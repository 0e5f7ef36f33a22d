// An Open Policy Agent that is asked about requests: what is not `true` does not allow.

import type { Call, Caller } from '../../outbound/contract.ts'
import type { GuardCounts, GuardTally } from '../../telemetry/guard-counts.ts'
import { askerOf } from '../asker.ts'
import type { Guard, Question, Verdict } from '../guard.ts'
import { type Remembered, VerdictCache } from '../verdict-cache.ts'
import { type ReadAnswer, readAnswer, unavailable } from './answer.ts'
import { type OpaInput, opaInput } from './input.ts'

export interface OpaOptions {
  /** As in `auth.opa.<name>`. */
  readonly name: string
  readonly caller: Pick<Caller, 'call'>
  /** Of the document that decides, at the service. */
  readonly path: string
  /** The same as the configuration has it, for messages. */
  readonly document: string
  /** 0: nothing is remembered or shared. */
  readonly cacheTtlMs: number
  readonly counts: GuardCounts
  readonly elapsed: () => number
}

const entriesMax = 16_384
const headers = { accept: 'application/json', 'content-type': 'application/json' } as const

export function createOpa(options: OpaOptions): Guard {
  return new Opa(options)
}

class Opa implements Guard {
  readonly name: string
  readonly #options: OpaOptions
  readonly #cache: VerdictCache<ReadAnswer>
  readonly #tally: GuardTally

  constructor(options: OpaOptions) {
    const { name, cacheTtlMs: ttlMs, elapsed, counts } = options
    this.name = `auth.opa.${name}`
    this.#options = options
    this.#cache = new VerdictCache({ ttlMs, entriesMax, elapsed })
    this.#tally = counts.tally(name)
  }

  ask(question: Question): Verdict | Promise<Verdict> {
    const input = readInput(question)
    if (!input.ok) {
      this.#tally.unavailable += 1
      return unavailable(input.reason)
    }
    const { json } = input
    // Who wants each request to be asked about would not have one answer for two of them.
    if (this.#options.cacheTtlMs === 0)
      return this.#post(json, askerOf(question)).then((told) => this.#count(told))
    const key = this.#cache.keyOf(json)
    const known = this.#cache.find(key)
    if (known !== undefined) return this.#again(known)
    const who = askerOf(question)
    return this.#cache.share(key, () => this.#post(json, who)).then((told) => this.#count(told))
  }

  #again({ verdict }: Remembered): Verdict {
    this.#tally[verdict.result === 'allow' ? 'cached_allow' : 'cached_deny'] += 1
    return verdict
  }

  #count({ verdict, counted }: ReadAnswer): Verdict {
    this.#tally[counted] += 1
    return verdict
  }

  async #post(body: string, who: string): Promise<ReadAnswer> {
    const { name, caller, path, document, counts, elapsed } = this.#options
    const startMs = elapsed()
    const call: Call = { method: 'POST', path, headers, body, who }
    const told = readAnswer(await caller.call(call), document)
    counts.observe(name, elapsed() - startMs)
    return told
  }
}

function readInput(question: Question): OpaInput {
  try {
    return opaInput(question)
  } catch (error) {
    return { ok: false, reason: `no input can be made: ${String(error)}` }
  }
}

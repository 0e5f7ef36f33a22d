// How many requests there may be in a time: for each address, each identity, and in all.

import type { Identity } from '../authenticate/identity.ts'
import type { RateLimitConfig } from '../config/schema.ts'
import { addressGroup } from '../http/address-group.ts'
import type { Action } from '../route/action.ts'
import type { LimitCounts } from '../telemetry/limit-counts.ts'
import { callerKey } from './caller.ts'
import type { Buckets, OpenBuckets } from './contract.ts'
import { Refusals } from './refusal.ts'

// How long one request waits for other hosts, in all.
const settlingMaxMs = 100

interface Rule {
  readonly config: RateLimitConfig
  /** As refusals and metrics call it. */
  readonly limit: string
  readonly refusals: Refusals
  readonly buckets: Buckets
}

export interface RateLimitOptions {
  readonly open: OpenBuckets
  /** Monotonic, in ms. */
  readonly now: () => number
  readonly counts: LimitCounts
}

type Kind = Action['kind']

/** Rules by the action that they count; made for an action when it is first asked for. */
class RulesByAction {
  readonly #rules: readonly Rule[]
  readonly #byKind = new Map<Kind, readonly Rule[]>()

  constructor(rules: readonly Rule[]) {
    this.#rules = rules
  }

  for(kind: Kind): readonly Rule[] {
    const known = this.#byKind.get(kind)
    if (known !== undefined) return known
    const rules = this.#rules.filter(
      ({ config: { actions } }) => actions.length === 0 || actions.includes(kind),
    )
    this.#byKind.set(kind, rules)
    return rules
  }
}

/** One per runtime. Requests count when they are made, whatever becomes of them. */
export class RateLimits {
  readonly #counts: LimitCounts
  readonly #now: () => number
  readonly #ofAddresses: RulesByAction
  readonly #ofIdentities: RulesByAction

  constructor(configs: readonly RateLimitConfig[], { open, now, counts }: RateLimitOptions) {
    const rules = configs.map((config): Rule => {
      const { name, per, requests, periodMs, burst, shared } = config
      const limit = `rate.${name}`
      const message = `too many requests: limit "${name}" per ${per} is used up`
      const rate = { capacity: burst ?? requests, tokensPerMs: requests / periodMs }
      return {
        config,
        limit,
        refusals: new Refusals(limit, message),
        buckets: open(rate, { name, shared }),
      }
    })
    const per = (what: RateLimitConfig['per']): readonly Rule[] =>
      rules.filter(({ config }) => config.per === what)
    this.#counts = counts
    this.#now = now
    this.#ofAddresses = new RulesByAction(per('address'))
    // What all share comes last: who is beyond a limit of its own takes nothing from the others.
    this.#ofIdentities = new RulesByAction([...per('identity'), ...per('registry')])
    counts.watchKeys(() => rules.map(({ limit, buckets }) => [limit, buckets.size]))
  }

  /**
   * Who asks, as `login` finds out, if its limits allow the request: those of the address are asked
   * before anything is spent on its credentials. A caller whom `login` refuses counts as anonymous.
   * Errors: OciError TOOMANYREQUESTS; those of `login`.
   */
  admit(
    action: Action,
    address: () => string,
    login: () => Identity | Promise<Identity>,
  ): Identity | Promise<Identity> {
    const early = this.#ofAddresses.for(action.kind)
    const late = this.#ofIdentities.for(action.kind)
    if (early.length === 0) return this.#admitAfter(late, address, login)
    const known = address()
    const group = addressGroup(known)
    const settling = this.#settling(early, group)
    if (settling === undefined) {
      this.#take(early, group)
      return this.#admitAfter(late, address, login)
    }
    return this.#takeLater(early, group, settling).then(() =>
      this.#admitAfter(late, () => known, login),
    )
  }

  #admitAfter(
    rules: readonly Rule[],
    address: () => string,
    login: () => Identity | Promise<Identity>,
  ): Identity | Promise<Identity> {
    if (rules.length === 0) return login()
    let identity: Identity | Promise<Identity>
    try {
      identity = login()
    } catch (error) {
      return this.#refuseAs(error, rules, addressGroup(address()))
    }
    if (!(identity instanceof Promise)) return this.#admitAs(identity, rules, address)
    // A transport may not know it any more when the login has ended.
    const group = address()
    return this.#admitLater(identity, rules, () => group)
  }

  async #admitLater(
    login: Promise<Identity>,
    rules: readonly Rule[],
    address: () => string,
  ): Promise<Identity> {
    let identity: Identity
    try {
      identity = await login
    } catch (error) {
      return this.#refuseAs(error, rules, addressGroup(address()))
    }
    return this.#admitAs(identity, rules, address)
  }

  #admitAs(
    identity: Identity,
    rules: readonly Rule[],
    address: () => string,
  ): Identity | Promise<Identity> {
    const key = callerKey(identity, address)
    const settling = this.#settling(rules, key)
    if (settling !== undefined) {
      return this.#takeLater(rules, key, settling).then(() => identity)
    }
    this.#take(rules, key)
    return identity
  }

  // A login that is refused counts for the address.
  #refuseAs(error: unknown, rules: readonly Rule[], group: string): Promise<never> {
    const settling = this.#settling(rules, group)
    if (settling !== undefined) {
      return this.#takeLater(rules, group, settling).then(() => {
        throw error
      })
    }
    this.#take(rules, group)
    throw error
  }

  /** Undefined where what is known here is enough to decide. */
  #settling(rules: readonly Rule[], caller: string): Promise<void> | undefined {
    for (const rule of rules) {
      if (!rule.config.shared) continue
      const key = keyFor(rule, caller)
      const settling = key === '' ? undefined : rule.buckets.settling(key, this.#now())
      if (settling !== undefined) return settling
    }
    return undefined
  }

  async #takeLater(
    rules: readonly Rule[],
    key: string,
    settling: Promise<void> | undefined,
  ): Promise<void> {
    const end = this.#now() + settlingMaxMs
    for (let next = settling; next !== undefined; next = this.#settling(rules, key)) {
      await next
      if (this.#now() >= end) break
    }
    this.#take(rules, key)
  }

  // All of them, or none: a request that is refused takes nothing.
  #take(rules: readonly Rule[], key: string): void {
    const now = this.#now()
    if (rules.length > 1) {
      for (const rule of rules) this.#refuseAfter(rule, waitMs(rule, key, now))
    }
    for (const rule of rules) this.#refuseAfter(rule, take(rule, key, now))
  }

  #refuseAfter({ limit, refusals }: Rule, wait: number): void {
    if (wait === 0) return
    this.#counts.addRefusal(limit)
    throw refusals.after(wait)
  }
}

// '' is nobody, who has no count.
function keyFor({ config }: Rule, caller: string): string {
  return config.per === 'registry' ? 'all' : caller
}

function waitMs(rule: Rule, caller: string, now: number): number {
  const key = keyFor(rule, caller)
  return key === '' ? 0 : rule.buckets.waitMs(key, now)
}

function take(rule: Rule, caller: string, now: number): number {
  const key = keyFor(rule, caller)
  return key === '' ? 0 : rule.buckets.take(key, now)
}

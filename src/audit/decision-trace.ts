// The trace behind a decision id: the last denials with every rule that was asked, for the operator.

import type { PolicyStep } from '../authorize/policy/decide.ts'
import type { DecisionFacts } from './decision-facts.ts'
import { guardFields, identityFields, targetOf } from './decision-record.ts'
import { bounded, type RecordBody } from './record.ts'

/** What the admin interface answers. */
export interface TraceAnswer {
  readonly status: 200 | 400 | 404
  readonly body: object
}

interface RingOptions {
  readonly countMax: number
  readonly bytesMax: number
}

// Who shows nothing is refused all day, and must not push the others out.
const known: RingOptions = { countMax: 4_096, bytesMax: 16 * 1024 * 1024 }
const bare: RingOptions = { countMax: 1_024, bytesMax: 4 * 1024 * 1024 }

const idForm = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const gone =
  'this process knows no such decision: it remembers the last 4,096 denials, and another process or an earlier one may have made it; the audit log keeps them all'

/** Limits: 4,096 denials and 16 MiB, and for those who showed no credentials 1,024 and 4 MiB. */
export class DecisionTrace {
  readonly #known = new Ring(known)
  readonly #bare = new Ring(bare)

  add(facts: DecisionFacts): void {
    const ring = facts.isBare ? this.#bare : this.#known
    ring.add(facts)
  }

  /** To `id` of the admin interface's query. */
  answer(id: string | null): TraceAnswer {
    if (id === null || !idForm.test(id)) {
      return { status: 400, body: { error: 'expected the id of a decision, a UUID' } }
    }
    const facts = this.#known.find(id) ?? this.#bare.find(id)
    if (facts === undefined) return { status: 404, body: { error: gone } }
    return { status: 200, body: traceOf(facts) }
  }
}

class Ring {
  readonly #options: RingOptions
  readonly #facts = new Map<string, DecisionFacts>()
  #bytes = 0

  constructor(options: RingOptions) {
    this.#options = options
  }

  find(id: string): DecisionFacts | undefined {
    return this.#facts.get(id)
  }

  add(facts: DecisionFacts): void {
    const { countMax, bytesMax } = this.#options
    this.#facts.set(facts.decisionId, facts)
    this.#bytes += weightOf(facts)
    for (const [id, oldest] of this.#facts) {
      if (this.#facts.size <= countMax && this.#bytes <= bytesMax) return
      this.#facts.delete(id)
      this.#bytes -= weightOf(oldest)
    }
  }
}

// About what it holds in memory; policies and their texts are there anyway.
function weightOf({ who, path, userAgent, steps, guards, message }: DecisionFacts): number {
  let bytes = 512 + path.length + userAgent.length + (message?.length ?? 0)
  for (const group of who?.groups ?? []) bytes += 16 + group.length
  for (const { rules } of steps) {
    for (const { error } of rules) bytes += 48 + (error?.length ?? 0)
  }
  for (const { verdict } of guards) bytes += 128 + (verdict.reason?.length ?? 0)
  return bytes
}

function traceOf(facts: DecisionFacts): RecordBody {
  return {
    decision_id: facts.decisionId,
    time: new Date(facts.timeMs).toISOString(),
    allowed: facts.allowed,
    action: facts.action?.kind ?? null,
    ...(facts.action === undefined ? { repository: null } : targetOf(facts.action)),
    identity: facts.who === undefined ? null : identityFields(facts.who),
    client_ip: facts.clientIp,
    method: bounded(facts.method),
    path: bounded(facts.path),
    user_agent: bounded(facts.userAgent),
    policies: facts.steps.map(policyFields),
    guards: facts.guards.map(guardFields),
    reason: facts.reason,
    message: facts.message,
  }
}

function policyFields(step: PolicyStep): RecordBody {
  return {
    policy: step.policy,
    default: step.default,
    allowed: step.allowed,
    rules: step.rules.map(({ rule, outcome, error }) => ({
      text: rule.text,
      file: rule.place.file,
      line: rule.place.line,
      outcome,
      error: error ?? null,
      decides: step.decidedBy === rule,
    })),
  }
}

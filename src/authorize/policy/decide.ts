// Policies + who asks for what → allowed or not, with every step that led there.

import type { Action } from '../../route/action.ts'
import { matching } from '../prefixes.ts'
import type { CompiledPolicies, CompiledPolicy, CompiledRule } from './compile.ts'
import { Frame, RuleFault, type Subject } from './frame.ts'
import { typeName } from './value.ts'

/** `error`: could not be evaluated. `unreached`: an earlier rule had decided. */
export type RuleOutcome = 'true' | 'false' | 'error' | 'unreached'

export interface RuleStep {
  readonly rule: CompiledRule
  readonly outcome: RuleOutcome
  /** Set where the outcome is `error`. */
  readonly error?: string
}

export interface PolicyStep {
  /** `global` or the repository prefix. */
  readonly policy: string
  readonly default: 'deny' | 'allow'
  readonly rules: readonly RuleStep[]
  readonly allowed: boolean
  /** The rule that decided; undefined where the default did. */
  readonly decidedBy: CompiledRule | undefined
}

/** Without a global policy there are no steps, and nothing is allowed. */
export interface Decision {
  readonly allowed: boolean
  readonly steps: readonly PolicyStep[]
}

export type OnRuleError = (rule: CompiledRule, error: string) => void

/**
 * Source: DESIGN §6 as issue 5 refines it: the global policy, then every repository policy whose
 * prefix holds the repository; each must allow.
 */
export function decide(
  policies: readonly CompiledPolicy[],
  subject: Subject,
  onRuleError: OnRuleError,
): Decision {
  const steps: PolicyStep[] = []
  for (const policy of policies) {
    const step = ask(policy, subject, onRuleError)
    steps.push(step)
    if (!step.allowed) return { allowed: false, steps }
  }
  return { allowed: policies.length > 0, steps }
}

/** The policies that an action must pass, the global one first; empty where everything is denied. */
export function policiesFor(
  { global, repositories }: CompiledPolicies,
  action: Action,
): readonly CompiledPolicy[] {
  if (global === undefined) return []
  if (repositories.size === 0 || !('repository' in action)) return [global]
  return [global, ...matching(repositories, action.repository)]
}

function ask(policy: CompiledPolicy, subject: Subject, onRuleError: OnRuleError): PolicyStep {
  const frame = new Frame(subject)
  const rules: RuleStep[] = []
  let decidedBy: CompiledRule | undefined
  for (const rule of policy.rules) {
    if (decidedBy !== undefined) {
      rules.push({ rule, outcome: 'unreached' })
      continue
    }
    const step = evaluate(rule, frame)
    rules.push(step)
    if (step.error !== undefined) onRuleError(rule, step.error)
    // A rule that failed may have meant to deny, so in an allow policy it does.
    const denies = policy.default === 'allow' && step.outcome === 'error'
    if (step.outcome === 'true' || denies) decidedBy = rule
  }
  const allowed = (policy.default === 'allow') === (decidedBy === undefined)
  return {
    policy: policy.prefix ?? 'global',
    default: policy.default,
    rules,
    allowed,
    decidedBy,
  }
}

/** Whatever goes wrong in a rule stays in it. */
export function evaluate(rule: CompiledRule, frame: Frame<Subject>): RuleStep {
  try {
    frame.begin(rule.nodes)
    const value = rule.evaluate(frame)
    if (typeof value === 'boolean') return { rule, outcome: value ? 'true' : 'false' }
    return { rule, outcome: 'error', error: `expected a bool, not ${typeName(value)}` }
  } catch (error) {
    return { rule, outcome: 'error', error: reasonOf(error) }
  }
}

/** What an evaluation threw, in words. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof RuleFault || thrown instanceof Error ? thrown.message : String(thrown)
}

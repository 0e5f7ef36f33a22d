// What is legal in policies and yet seldom meant: rules that decide nothing, and doors that stand open.

import type { Identity } from '../../authenticate/identity.ts'
import type { Place } from '../../config/source.ts'
import type { CompiledPolicies, CompiledPolicy, CompiledRule } from './compile.ts'
import { decide, evaluate, type RuleOutcome } from './decide.ts'
import { Frame } from './frame.ts'
import { sampleAction, sampleActions } from './sample-action.ts'

export interface LintFinding {
  /** `note` for what may well be meant. */
  readonly severity: 'warning' | 'note'
  /** `global` or the repository prefix. */
  readonly policy: string
  /** Of the rule, where it is about one. */
  readonly place: Place | undefined
  readonly message: string
}

// Written out, since this stage knows only the type of identities.
const nobody: Identity = Object.freeze({
  id: null,
  username: null,
  groups: [],
  certificate: null,
  oidc: null,
  authMethod: 'anonymous',
  scopes: null,
  tokenId: null,
})

/** Findings in the order of the policies, the global one first. */
export function lintPolicies(policies: CompiledPolicies): readonly LintFinding[] {
  const { global, repositories } = policies
  if (global === undefined) {
    const unasked = repositories.size === 0 ? '' : ', and no repository policy is ever asked'
    const message = `there is no global policy: everything is denied${unasked}`
    return [{ severity: 'warning', policy: 'global', place: undefined, message }]
  }
  return [
    ...lintPolicy(global),
    ...anonymousRights(global),
    ...[...repositories.values()].flatMap(lintPolicy),
  ]
}

function lintPolicy(policy: CompiledPolicy): readonly LintFinding[] {
  const name = policy.prefix ?? 'global'
  if (policy.rules.length === 0) {
    return [{ severity: 'warning', policy: name, place: undefined, message: withoutRules(policy) }]
  }
  const findings: LintFinding[] = []
  const seen = new Map<string, CompiledRule>()
  let decided: CompiledRule | undefined
  let isUseful = false
  for (const rule of policy.rules) {
    const outcome = constantOutcome(rule)
    const twin = seen.get(rule.text.trim())
    seen.set(rule.text.trim(), rule)
    const message =
      decided !== undefined
        ? `is never reached: the rule of line ${decided.place.line} always decides`
        : twin !== undefined
          ? `repeats the rule of line ${twin.place.line}`
          : outcome && constantRule(policy, outcome)
    if (message !== undefined) {
      findings.push({ severity: 'warning', policy: name, place: rule.place, message })
    }
    if (outcome === undefined) isUseful = true
    if (isDecisive(policy, outcome)) decided ??= rule
  }
  if (!isUseful && decided === undefined) {
    const message = `no rule can ever hold: ${withoutRules(policy)}`
    findings.push({ severity: 'warning', policy: name, place: undefined, message })
  }
  return findings
}

function withoutRules({ prefix, default: decision }: CompiledPolicy): string {
  if (decision === 'deny') return 'the policy denies everything'
  return prefix === undefined
    ? 'the policy allows everything to everybody, deletions included'
    : 'the policy narrows nothing'
}

function isDecisive({ default: decision }: CompiledPolicy, outcome: RuleOutcome | undefined) {
  return outcome === 'true' || (outcome === 'error' && decision === 'allow')
}

function constantRule(policy: CompiledPolicy, outcome: RuleOutcome): string {
  if (outcome === 'error') return 'always fails'
  if (outcome === 'false') return 'is always false: it decides nothing'
  const all = policy.default === 'deny' ? 'allows' : 'denies'
  return `is always true: the policy ${all} everything`
}

/** The outcome of a rule that reads no variable, or undefined. */
function constantOutcome(rule: CompiledRule): RuleOutcome | undefined {
  if (rule.reads.size > 0) return undefined
  const action = sampleAction('get-api-version', {})
  return evaluate(rule, new Frame({ identity: nobody, action, clientIp: () => '' })).outcome
}

// A name that no policy is likely to single out. `nobody` has no address, so rules about one fail.
const sampleRepository = 'a/b'

function anonymousRights(global: CompiledPolicy): readonly LintFinding[] {
  if (global.rules.length === 0) return []
  const clientIp = (): string => {
    throw new Error('no address')
  }
  const kinds = sampleActions(sampleRepository)
    .filter((action) => decide([global], { identity: nobody, action, clientIp }, () => {}).allowed)
    .map(({ kind }) => kind)
  if (kinds.length === 0) return []
  const isReading = kinds.every((kind) => /^(?:get-|list-|metrics$|healthz$|readyz$)/.test(kind))
  return [
    {
      severity: isReading ? 'note' : 'warning',
      policy: 'global',
      place: undefined,
      message: `whoever has not logged in may: ${kinds.join(', ')} (tried on ${sampleRepository})`,
    },
  ]
}

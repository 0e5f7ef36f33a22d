// The access policies of a configuration → compiled policies, or everything that is wrong with them.

import type { ConfigProblem } from '../../config/problem.ts'
import type { AccessPolicy, RepositoryConfig, Rule } from '../../config/schema.ts'
import { checkRule } from './check.ts'
import { compileRules, policyTable, refusePrefix } from './compile-rules.ts'
import type { Expression } from './expression.ts'
import type { Subject } from './frame.ts'

export interface CompiledRule extends Rule, Expression<Subject> {}

export interface CompiledPolicy {
  /** The repository prefix; undefined for the policy that is global. */
  readonly prefix: string | undefined
  readonly default: 'deny' | 'allow'
  readonly rules: readonly CompiledRule[]
}

/** Immutable: another configuration makes another one, which is what decisions are remembered by. */
export interface CompiledPolicies {
  readonly global: CompiledPolicy | undefined
  readonly repositories: ReadonlyMap<string, CompiledPolicy>
}

export interface Compiled {
  /** Undefined where there are problems. */
  readonly policies: CompiledPolicies | undefined
  readonly problems: readonly ConfigProblem[]
}

/**
 * Parse, type-check and compile every rule. Limits: `policy/limits.ts`.
 */
export function compilePolicies(
  global: AccessPolicy | undefined,
  repositories: readonly Pick<RepositoryConfig, 'prefix' | 'accessPolicy'>[],
): Compiled {
  const problems: ConfigProblem[] = []
  const compiled = new Map<string, CompiledPolicy>()
  const compiledGlobal = global && compilePolicy(undefined, global, problems)
  for (const { prefix, accessPolicy } of repositories) {
    if (accessPolicy === undefined) continue
    refusePrefix(prefix, accessPolicy.rules, problems)
    compiled.set(prefix, compilePolicy(prefix, accessPolicy, problems))
  }
  if (problems.length > 0) return { policies: undefined, problems }
  return { policies: { global: compiledGlobal, repositories: compiled }, problems }
}

function compilePolicy(
  prefix: string | undefined,
  policy: AccessPolicy,
  problems: ConfigProblem[],
): CompiledPolicy {
  const key = `${policyTable(prefix)}.access_policy.rules`
  const rules = compileRules(policy.rules, { key, check: checkRule, problems })
  return { prefix, default: policy.default, rules }
}

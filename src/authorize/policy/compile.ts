// The access policies of a configuration → compiled policies, or everything that is wrong with them.

import type { ConfigProblem } from '../../config/problem.ts'
import type { AccessPolicy, RepositoryConfig, Rule } from '../../config/schema.ts'
import { parseRepositoryName } from '../../oci/name.ts'
import { checkRule } from './check.ts'
import type { Evaluate } from './frame.ts'
import { limits } from './limits.ts'
import { Refusal } from './refusal.ts'

export interface CompiledRule extends Rule {
  readonly evaluate: Evaluate
  readonly nodes: number
  /** The variables that it may read, such as `request.repository`. */
  readonly reads: ReadonlySet<string>
}

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
    // A prefix that no name can have would be a policy that narrows nothing.
    if (parseRepositoryName(prefix) === undefined) {
      const place = accessPolicy.rules[0]?.place ?? { file: '', line: 1 }
      const message = 'expected a repository name, such as prod or team/prod'
      problems.push({ ...place, key: `repository.${JSON.stringify(prefix)}`, message })
    }
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
  const table = prefix === undefined ? 'global' : `repository.${JSON.stringify(prefix)}`
  const key = `${table}.access_policy.rules`
  const [surplus] = policy.rules.slice(limits.rulesMax)
  if (surplus !== undefined) {
    const message = `expected at most ${limits.rulesMax} rules; found ${policy.rules.length}`
    problems.push({ ...surplus.place, key, message })
  }
  const rules = policy.rules.flatMap((rule): readonly CompiledRule[] => {
    try {
      return [{ ...rule, ...checkRule(rule.text) }]
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      problems.push({ ...rule.place, key, message: describe(error, rule.text) })
      return []
    }
  })
  return { prefix, default: policy.default, rules }
}

// A rule may have several lines of its own; its text shows which one is meant.
function describe({ message, start }: Refusal, text: string): string {
  const before = text.slice(0, start)
  const from = before.lastIndexOf('\n') + 1
  const to = text.indexOf('\n', start)
  const line = text.slice(from, to === -1 ? undefined : to)
  const column = start - from
  const shownFrom = Math.max(0, column - 40)
  const shown = line.slice(shownFrom, column + 60)
  return `${message}: at character ${column + 1} of ${shownFrom > 0 ? '…' : ''}${shown}${
    line.length > column + 60 ? '…' : ''
  }`
}

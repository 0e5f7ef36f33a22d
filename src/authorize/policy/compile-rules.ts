// The rules of one table → expressions, or everything that is wrong with them, each with its place.

import type { ConfigProblem } from '../../config/problem.ts'
import type { Rule } from '../../config/schema.ts'
import { parseRepositoryName } from '../../oci/name.ts'
import type { Expression } from './expression.ts'
import { limits } from './limits.ts'
import { Refusal } from './refusal.ts'
import type { CheckRule } from './rule-check.ts'

interface Around<About> {
  /** The dotted name of the key. */
  readonly key: string
  readonly check: CheckRule<About>
  /** Added to. */
  readonly problems: ConfigProblem[]
}

/** Those that are right. Limits: `policy/limits.ts`. */
export function compileRules<About>(
  rules: readonly Rule[],
  { key, check, problems }: Around<About>,
): readonly (Rule & Expression<About>)[] {
  const [surplus] = rules.slice(limits.rulesMax)
  if (surplus !== undefined) {
    const message = `expected at most ${limits.rulesMax} rules; found ${rules.length}`
    problems.push({ ...surplus.place, key, message })
  }
  return rules.flatMap((rule): readonly (Rule & Expression<About>)[] => {
    try {
      return [{ ...rule, ...check(rule.text) }]
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      problems.push({ ...rule.place, key, message: describe(error, rule.text) })
      return []
    }
  })
}

/** Of the tables for one prefix; undefined: of those for all. */
export function policyTable(prefix: string | undefined): string {
  return prefix === undefined ? 'global' : `repository.${JSON.stringify(prefix)}`
}

/** A prefix that no name can have would be a policy that is about nothing. */
export function refusePrefix(
  prefix: string,
  rules: readonly Rule[],
  problems: ConfigProblem[],
): void {
  if (parseRepositoryName(prefix) !== undefined) return
  const place = rules[0]?.place ?? { file: '', line: 1 }
  const message = 'expected a repository name, such as prod or team/prod'
  problems.push({ ...place, key: policyTable(prefix), message })
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

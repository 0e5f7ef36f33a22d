// Retention rules: what they can name, and what one comes to for one tag.

import type { ConfigProblem } from '../../config/problem.ts'
import type { RepositoryConfig, RetentionPolicy, Rule } from '../../config/schema.ts'
import type { RepositoryName } from '../../oci/name.ts'
import { matching } from '../prefixes.ts'
import { compileRules, policyTable, refusePrefix } from './compile-rules.ts'
import { reasonOf } from './decide.ts'
import type { Expression } from './expression.ts'
import { Frame } from './frame.ts'
import { binaryOperators } from './operators.ts'
import { createRuleCheck } from './rule-check.ts'
import { typeName } from './value.ts'
import type { LeafOf, OwnFunction, Vocabulary } from './vocabulary.ts'

/** A tag, as rules see it. Units: seconds since 1970. */
export interface RetainedTag {
  readonly tag: string
  readonly repository: string
  /** Now, where it is not known. */
  readonly pushedAt: number
  /** 0 where it never was. */
  readonly pulledAt: number
  readonly now: number
  /** Whether it is among the so many last pushed tags of its repository. */
  isTopPushed(count: number): boolean
  isTopPulled(count: number): boolean
}

/** `error`: what went wrong; such a rule keeps, too. */
export type RetentionAnswer =
  | { readonly keeps: boolean }
  | { readonly keeps: true; readonly error: string }

export interface RetentionRule extends Rule {
  /** `global` or the repository prefix. */
  readonly policy: string
  /** Whether it asks when, or how lately, something was pulled. */
  readonly usesPullTimes: boolean
  /** Whether it asks for the tag or the repository by name. */
  readonly usesNames: boolean
  /** False where it comes to the same for every tag. */
  readonly isVariable: boolean
  /** The largest numbers of `top_pushed` and `top_pulled`; 0 where it does not ask. */
  readonly topPushedMax: number
  readonly topPulledMax: number
  judge(tag: RetainedTag): RetentionAnswer
}

/** Immutable: another configuration makes another one. */
export interface RetentionRules {
  readonly all: readonly RetentionRule[]
  /** Every one that may keep a tag there; without any, all tags stay. */
  rulesFor(repository: RepositoryName): readonly RetentionRule[]
}

/** Undefined rules where there are problems. */
export interface CompiledRetention {
  readonly rules: RetentionRules | undefined
  readonly problems: readonly ConfigProblem[]
}

// More would say the same as no rule.
const topMax = 1_000_000

export const retentionVocabulary: Vocabulary<RetainedTag> = {
  variables: {
    image: {
      type: 'Image',
      isPresent: () => true,
      fields: {
        tag: text('The tag.', ({ tag }) => tag),
        repository: text('The repository that has it.', ({ repository }) => repository),
        pushed_at: time('When it was last pushed; now, where that is not known.', (tag) => {
          return tag.pushedAt
        }),
        last_pulled_at: time('When it, or its digest, was last pulled; 0: never.', (tag) => {
          return tag.pulledAt
        }),
      },
    },
  },
  functions: {
    'now/0': {
      declaration: 'now(): int',
      doc: 'The time of the run.',
      call: (_values, { subject }) => BigInt(subject.now),
    },
    'days/1': span('days', 86_400n),
    'hours/1': span('hours', 3600n),
    'minutes/1': span('minutes', 60n),
    'top_pushed/1': top('pushed', (tag, count) => tag.isTopPushed(count)),
    'top_pulled/1': top('pulled', (tag, count) => tag.isTopPulled(count)),
  },
  checkTree: () => {},
}

const checkRule = createRuleCheck(retentionVocabulary)

/** Parse, type-check and compile every rule. Limits: `policy/limits.ts`. */
export function compileRetention(
  global: RetentionPolicy | undefined,
  repositories: readonly Pick<RepositoryConfig, 'prefix' | 'retentionPolicy'>[],
): CompiledRetention {
  const problems: ConfigProblem[] = []
  const compile = (policy: RetentionPolicy, prefix?: string): readonly RetentionRule[] => {
    const key = `${policyTable(prefix)}.retention_policy.rules`
    const rules = compileRules(policy.rules, { key, check: checkRule, problems })
    return rules.map((rule) => ruleOf(rule, prefix ?? 'global'))
  }
  const everywhere = global === undefined ? [] : compile(global)
  const byPrefix = new Map<string, readonly RetentionRule[]>()
  for (const { prefix, retentionPolicy } of repositories) {
    if (retentionPolicy === undefined) continue
    refusePrefix(prefix, retentionPolicy.rules, problems)
    byPrefix.set(prefix, compile(retentionPolicy, prefix))
  }
  if (problems.length > 0) return { rules: undefined, problems }
  const rules: RetentionRules = {
    all: [everywhere, ...byPrefix.values()].flat(),
    rulesFor: (name) => [everywhere, ...matching(byPrefix, name)].flat(),
  }
  return { rules, problems }
}

function ruleOf(rule: Rule & Expression<RetainedTag>, policy: string): RetentionRule {
  const { text, place, reads, calls } = rule
  const largest = (name: string): number =>
    calls.reduce((max, call) => (call.name === name ? Math.max(max, call.literal ?? 0) : max), 0)
  const topPulledMax = largest('top_pulled')
  return {
    ...{ text, place, policy, topPulledMax },
    topPushedMax: largest('top_pushed'),
    usesPullTimes: topPulledMax > 0 || reads.has('image.last_pulled_at'),
    usesNames: reads.has('image.tag') || reads.has('image.repository'),
    isVariable: reads.size + calls.length > 0,
    judge: (tag) => judge(rule, tag),
  }
}

/** Whatever goes wrong in a rule keeps the tag. */
function judge(rule: Expression<RetainedTag>, tag: RetainedTag): RetentionAnswer {
  const frame = new Frame(tag)
  try {
    frame.begin(rule.nodes)
    const value = rule.evaluate(frame)
    if (typeof value === 'boolean') return { keeps: value }
    return { keeps: true, error: `expected a bool, not ${typeName(value)}` }
  } catch (error) {
    return { keeps: true, error: reasonOf(error) }
  }
}

function text(doc: string, read: (tag: RetainedTag) => string): LeafOf<RetainedTag> {
  return { type: 'string', doc, read }
}

function time(doc: string, read: (tag: RetainedTag) => number): LeafOf<RetainedTag> {
  return { type: 'int', doc: `${doc} Seconds since 1970.`, read: (tag) => BigInt(read(tag)) }
}

function span(unit: string, seconds: bigint): OwnFunction<RetainedTag> {
  return {
    declaration: `${unit}(int): int`,
    doc: `So many ${unit}, in seconds.`,
    call: ([count], frame) => binaryOperators['*']?.(count, seconds, frame),
  }
}

function top(
  what: 'pushed' | 'pulled',
  holds: (tag: RetainedTag, count: number) => boolean,
): OwnFunction<RetainedTag> {
  return {
    declaration: `top_${what}(int): bool`,
    doc: `Whether the tag is one of the so many of its repository that were last ${what}.`,
    literal: { min: 1, max: topMax },
    call: ([count], { subject }) => holds(subject, Number(count)),
  }
}

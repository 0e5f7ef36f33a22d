// What is legal in retention policies and yet seldom meant: rules that keep everything, nothing, or
// nothing that is fresh.

import type { RepositoryConfig, RetentionPolicy } from '../../config/schema.ts'
import type { LintFinding } from './lint.ts'
import type { RetainedTag, RetentionRule, RetentionRules } from './retention.ts'

export interface RetentionSettings {
  readonly global: { readonly retentionPolicy: RetentionPolicy | undefined }
  readonly repositories: readonly Pick<RepositoryConfig, 'prefix' | 'retentionPolicy'>[]
  readonly retention: { readonly pullTimes: boolean }
}

/** Findings in the order of the policies, the global one first. */
export function lintRetention(
  rules: RetentionRules,
  { global, repositories, retention }: RetentionSettings,
): readonly LintFinding[] {
  const policies = [
    { policy: 'global', table: global.retentionPolicy },
    ...repositories.map(({ prefix, retentionPolicy }) => {
      return { policy: prefix, table: retentionPolicy }
    }),
  ]
  const inherited = rules.all.filter(({ policy }) => policy === 'global')
  return policies.flatMap(({ policy, table }) => {
    if (table === undefined) return []
    const own = rules.all.filter((rule) => rule.policy === policy)
    const all = policy === 'global' ? own : [...inherited, ...own]
    return [...lintRules(own, retention.pullTimes), ...lintWhole({ policy, own, all })]
  })
}

/** Why the policies cannot be applied, or undefined: times that nobody notes are not 'never'. */
export function retentionRefusal(
  { all }: RetentionRules,
  { pullTimes }: RetentionSettings['retention'],
): string | undefined {
  const asking = all.find(({ usesPullTimes }) => usesPullTimes)
  if (pullTimes || asking === undefined) return undefined
  const { file, line } = asking.place
  return `${file}:${line}: the rule asks for pull times, and retention.pull_times is false`
}

function lintRules(rules: readonly RetentionRule[], pullTimes: boolean): readonly LintFinding[] {
  const seen = new Map<string, RetentionRule>()
  return rules.flatMap((rule): readonly LintFinding[] => {
    const twin = seen.get(rule.text.trim())
    seen.set(rule.text.trim(), rule)
    const message =
      twin === undefined
        ? (constantRule(rule) ?? (pullTimes ? undefined : pullTimesRule(rule)))
        : `repeats the rule of line ${twin.place.line}`
    if (message === undefined) return []
    return [{ severity: 'warning', policy: rule.policy, place: rule.place, message }]
  })
}

function constantRule(rule: RetentionRule): string | undefined {
  if (rule.isVariable) return undefined
  const answer = rule.judge(fresh)
  if ('error' in answer) return 'always fails: it keeps every tag'
  return answer.keeps ? 'is always true: it keeps every tag' : 'is always false: it keeps nothing'
}

function pullTimesRule({ usesPullTimes }: RetentionRule): string | undefined {
  if (!usesPullTimes) return undefined
  return 'asks for pull times, and retention.pull_times is false: prune refuses'
}

interface Whole {
  readonly policy: string
  readonly own: readonly RetentionRule[]
  /** With those that hold there, too. */
  readonly all: readonly RetentionRule[]
}

function lintWhole({ policy, own, all }: Whole): readonly LintFinding[] {
  const warn = (message: string): readonly LintFinding[] => [
    { severity: 'warning', policy, place: undefined, message },
  ]
  if (own.length === 0) return warn('has no rules: it neither keeps nor frees anything')
  // What a name decides is not known here.
  const mayKeepFresh = all.some((rule) => rule.usesNames || rule.judge(fresh).keeps)
  if (mayKeepFresh) return []
  return warn('no rule keeps a tag that was just pushed, before somebody has pulled it')
}

// A tag that was pushed a moment ago, and that nobody had the time to pull.
const now = 1_800_000_000
const fresh: RetainedTag = {
  ...{ tag: 'latest', repository: 'a/b', pushedAt: now, pulledAt: 0, now },
  isTopPushed: () => true,
  isTopPulled: () => false,
}

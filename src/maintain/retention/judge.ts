// Whether a tag stays, and which rule or what else keeps it.

import type { TagTimes } from '../../storage/metadata/tag-times.ts'
import type { IsImmutable } from '../../storage/metadata/usage.ts'
import { isAccompanying } from './companion.ts'
import type { RetentionRule } from './contract.ts'
import type { TagRanks, TagSource } from './ranks.ts'

/**
 * `failed`: no rule that could be evaluated keeps it, and this one could not. `immutable`, `companion`: no
 * rule does, but the tag may not go, or belongs to an image that is there.
 */
export type Verdict =
  | { readonly kind: 'kept'; readonly rule: RetentionRule }
  | { readonly kind: 'failed'; readonly rule: RetentionRule; readonly error: string }
  | { readonly kind: 'immutable' | 'companion' | 'freed' }

export interface Judge {
  readonly rules: readonly RetentionRule[]
  readonly ranks: TagRanks
  readonly isImmutable: IsImmutable
  readonly metadata: TagSource['metadata']
  /** A rule that cannot be evaluated is told of once for each tag. */
  readonly onRuleError: (rule: RetentionRule, error: string) => void
}

/** Errors: StorageError. */
export async function judgeTag(judge: Judge, times: TagTimes): Promise<Verdict> {
  const { rules, ranks, isImmutable, metadata, onRuleError } = judge
  const { tag } = times
  const seen = ranks.seen(times)
  let failed: Extract<Verdict, { kind: 'failed' }> | undefined
  for (const rule of rules) {
    const answer = rule.judge(seen)
    if ('error' in answer) {
      const { error } = answer
      onRuleError(rule, error)
      failed ??= { kind: 'failed', rule, error }
    } else if (answer.keeps) return { kind: 'kept', rule }
  }
  if (failed !== undefined) return failed
  if (isImmutable(tag)) return { kind: 'immutable' }
  if (await isAccompanying(metadata, ranks.repository, tag)) return { kind: 'companion' }
  return { kind: 'freed' }
}

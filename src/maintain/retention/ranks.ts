// How the tags of one repository rank by their times, for `top_pushed` and `top_pulled`.

import type { RepositoryName } from '../../oci/name.ts'
import type { StorageError } from '../../storage/error.ts'
import type { TagTimes } from '../../storage/metadata/tag-times.ts'
import type { JobContext } from '../job/contract.ts'
import { subjectOf } from './companion.ts'
import type { RetainedTag, RetentionRule } from './contract.ts'
import { TopTimes } from './top-times.ts'

/** What reading the tags of a repository takes. */
export interface TagSource {
  readonly metadata: Pick<
    JobContext['metadata'],
    'listManifests' | 'listTagTimes' | 'readManifest' | 'refresh'
  >
  readonly shared: boolean
  /** Waited for before each page. Errors: those that end the run. */
  readonly pace: (tags: number) => Promise<void>
  readonly onCorrupt: (error: StorageError) => void
}

export interface TagRanks {
  readonly repository: RepositoryName
  /** The time of the run. */
  readonly nowMs: number
  /** As rules see it. */
  seen(times: TagTimes): RetainedTag
}

// A page is read without a break: two or three milliseconds.
export const tagsPerPage = 100

/** Reads every tag once, where a rule asks how they rank. Errors: as `pace`; StorageError. */
export async function rankTags(
  source: TagSource,
  repository: RepositoryName,
  rules: readonly RetentionRule[],
  nowMs: number,
): Promise<TagRanks> {
  const pushed = new TopTimes(largest(rules, ({ topPushedMax }) => topPushedMax))
  const pulled = new TopTimes(largest(rules, ({ topPulledMax }) => topPulledMax))
  if (rules.some(({ topPushedMax, topPulledMax }) => topPushedMax + topPulledMax > 0)) {
    for await (const page of pagesOfTags(source, repository)) {
      for (const { tag, pushedAtMs, pulledAtMs } of page) {
        // They come and go with what they are about.
        if (subjectOf(tag) !== undefined) continue
        if (pushedAtMs !== undefined) pushed.add(pushedAtMs)
        if (pulledAtMs !== undefined) pulled.add(pulledAtMs)
      }
    }
  }
  const now = seconds(nowMs)
  return {
    ...{ repository, nowMs },
    seen: ({ tag, pushedAtMs, pulledAtMs }) => {
      const isRanked = subjectOf(tag) === undefined
      return {
        ...{ tag, repository, now },
        pushedAt: pushedAtMs === undefined ? now : seconds(pushedAtMs),
        pulledAt: pulledAtMs === undefined ? 0 : seconds(pulledAtMs),
        // What is not known may have been a moment ago.
        isTopPushed: (count) =>
          isRanked && (pushedAtMs === undefined || pushed.has(pushedAtMs, count)),
        isTopPulled: (count) =>
          isRanked && pulledAtMs !== undefined && pulled.has(pulledAtMs, count),
      }
    },
  }
}

/** Sorted by tag; those after `after`. */
export async function* pagesOfTags(
  source: TagSource,
  repository: RepositoryName,
  after?: string,
): AsyncGenerator<readonly TagTimes[]> {
  const { metadata, shared, pace, onCorrupt } = source
  for (let last = after; ; ) {
    await pace(tagsPerPage)
    if (shared) metadata.refresh()
    const page = await metadata.listTagTimes(repository, {
      ...{ limit: tagsPerPage, onCorrupt },
      ...(last === undefined ? {} : { after: last }),
    })
    if (page.length > 0) yield page
    last = page.at(-1)?.tag
    if (last === undefined || page.length < tagsPerPage) return
  }
}

function largest(rules: readonly RetentionRule[], of: (rule: RetentionRule) => number): number {
  return rules.reduce((max, rule) => Math.max(max, of(rule)), 0)
}

function seconds(timeMs: number): number {
  return Math.floor(timeMs / 1000)
}

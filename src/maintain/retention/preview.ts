// What a run would come to, tag by tag, and why; nothing is written.

import { setImmediate as otherTurn } from 'node:timers/promises'
import { parseRepositoryName, type RepositoryName } from '../../oci/name.ts'
import { StorageError } from '../../storage/error.ts'
import type { TagTimes } from '../../storage/metadata/tag-times.ts'
import type { JobParts } from '../job/contract.ts'
import { type RoomAnswer, refusal, shownTime } from './answer.ts'
import type { PruneParts, PruneSettings, RetentionRule } from './contract.ts'
import { type Judge, judgeTag, type Verdict } from './judge.ts'
import { pagesOfTags, rankTags, type TagRanks, type TagSource } from './ranks.ts'

export interface PreviewSource extends PruneParts {
  readonly parts: Pick<JobParts, 'metadata' | 'now' | 'shared'>
}

/** `by` is `none` where the tag would go. `unruled` stands for all tags of a repository. */
export interface ShownVerdict {
  readonly repository: string
  readonly tag?: string
  readonly digest?: string
  readonly pushedAt?: string
  readonly lastPulledAt?: string
  readonly by: 'rule' | 'failed rule' | 'immutable' | 'companion' | 'none' | 'unruled'
  readonly policy?: string
  readonly rule?: string
  readonly file?: string
  readonly line?: number
  readonly error?: string
}

/** `next`: to be asked for with these as the query; absent at the end. */
export interface Preview {
  readonly tags: readonly ShownVerdict[]
  /** What was passed over, since it cannot be read. */
  readonly faults: readonly string[]
  readonly next?: Readonly<Record<string, string>>
}

const limitDefault = 2000
const limitMax = 1_000_000

/** By path, of a GET: `?repository=`, `?limit=`, and what `next` of the page before says. */
export function previewRoutes(
  source: PreviewSource,
): Readonly<Record<string, (query: URLSearchParams) => Promise<RoomAnswer>>> {
  // Of the last page: the next one most often goes on in the same repository.
  const memory: Memory = { ranks: undefined, rules: undefined }
  return { '/prune/preview': (query) => preview(source, query, memory) }
}

interface Memory {
  ranks: TagRanks | undefined
  rules: readonly RetentionRule[] | undefined
}

interface Asked {
  readonly repository: RepositoryName | undefined
  /** In the order of repositories and tags. */
  readonly from: { readonly repository: RepositoryName; readonly tag: string } | undefined
  readonly nowMs: number
  readonly limit: number
}

async function preview(
  source: PreviewSource,
  query: URLSearchParams,
  memory: Memory,
): Promise<RoomAnswer> {
  const asked = parseAsked(query, source.parts.now())
  if (typeof asked === 'string') return refusal(400, asked)
  const settings = source.settings()
  if (settings.refusal !== undefined) return refusal(409, settings.refusal)
  if (asked.from === undefined) await source.flushPulls()
  const page = new Page(source, settings, asked, memory)
  return { status: 200, body: await page.fill() }
}

function parseAsked(query: URLSearchParams, nowMs: number): Asked | string {
  const nameOf = (key: string): RepositoryName | undefined =>
    parseRepositoryName(query.get(key) ?? '')
  const numberOf = (key: string, otherwise: number): number => Number(query.get(key) ?? otherwise)
  const repository = nameOf('repository')
  if (query.has('repository') && repository === undefined) {
    return 'repository: expected the name of a repository'
  }
  const limit = numberOf('limit', limitDefault)
  if (!Number.isInteger(limit) || limit < 1 || limit > limitMax) {
    return `limit: expected a number from 1 to ${limitMax}`
  }
  const after = nameOf('after')
  const at = numberOf('at', nowMs)
  if ((query.has('after') && after === undefined) || !Number.isSafeInteger(at)) {
    return 'expected what next of an answer says'
  }
  const from = after && { repository: after, tag: query.get('tag') ?? '' }
  return { repository, from, nowMs: at, limit }
}

const repositoriesPerPage = 100

class Page {
  readonly #source: PreviewSource
  readonly #settings: PruneSettings
  readonly #asked: Asked
  readonly #memory: Memory
  readonly #tags: ShownVerdict[] = []
  readonly #faults = new Set<string>()
  #next: Readonly<Record<string, string>> | undefined

  constructor(source: PreviewSource, settings: PruneSettings, asked: Asked, memory: Memory) {
    this.#source = source
    this.#settings = settings
    this.#asked = asked
    this.#memory = memory
  }

  async fill(): Promise<Preview> {
    const { from, repository } = this.#asked
    if (from !== undefined && from.tag !== '') await this.#fillFrom(from.repository, from.tag)
    if (repository !== undefined && from === undefined) await this.#fillFrom(repository)
    if (repository === undefined) await this.#fillRest(from?.repository)
    const next = this.#next
    const page = { tags: this.#tags, faults: [...this.#faults] }
    return next === undefined ? page : { ...page, next }
  }

  async #fillRest(last: RepositoryName | undefined): Promise<void> {
    const { metadata, shared } = this.#source.parts
    for (let after = last; this.#next === undefined; ) {
      if (shared) metadata.refresh()
      const page = await metadata.listRepositories({
        limit: repositoriesPerPage,
        ...(after === undefined ? {} : { after }),
      })
      for (const repository of page) {
        if (this.#next !== undefined) return
        await this.#fillFrom(repository)
      }
      after = page.at(-1)
      if (page.length < repositoriesPerPage) return
    }
  }

  async #fillFrom(repository: RepositoryName, after?: string): Promise<void> {
    const rules = this.#settings.rulesFor(repository)
    if (rules.length === 0) {
      this.#add({ repository, by: 'unruled' }, { repository, tag: '' })
      return
    }
    const source = this.#tagSource()
    const ranks = await this.#ranksOf(source, repository, rules)
    const judge = {
      ...{ rules, ranks, metadata: source.metadata, onRuleError: () => undefined },
      isImmutable: this.#settings.isImmutable(repository),
    }
    for await (const page of pagesOfTags(source, repository, after)) {
      for (const times of page) {
        await this.#show(judge, times)
        if (this.#next !== undefined) return
      }
    }
  }

  async #show(judge: Judge, times: TagTimes): Promise<void> {
    const { repository } = judge.ranks
    try {
      const verdict = await judgeTag(judge, times)
      this.#add(shown(repository, times, verdict), { repository, tag: times.tag })
    } catch (error) {
      if (!(error instanceof StorageError && error.kind === 'corrupt')) throw error
      this.#faults.add(`${repository}:${times.tag}: ${error.message}`)
    }
  }

  #add(verdict: ShownVerdict, at: { readonly repository: string; readonly tag: string }): void {
    this.#tags.push(verdict)
    const { limit, nowMs, repository } = this.#asked
    if (this.#tags.length < limit) return
    this.#next = {
      ...{ after: at.repository, at: String(nowMs) },
      ...(at.tag === '' ? {} : { tag: at.tag }),
      ...(repository === undefined ? {} : { repository }),
    }
  }

  async #ranksOf(
    source: TagSource,
    repository: RepositoryName,
    rules: readonly RetentionRule[],
  ): Promise<TagRanks> {
    const { nowMs } = this.#asked
    const { ranks: known, rules: before } = this.#memory
    const isSame = known?.repository === repository && known.nowMs === nowMs
    if (isSame && rules.every((rule, i) => rule === before?.[i])) return known
    const ranks = await rankTags(source, repository, rules, nowMs)
    this.#memory.ranks = ranks
    this.#memory.rules = rules
    return ranks
  }

  #tagSource(): TagSource {
    const { metadata, shared } = this.#source.parts
    return {
      ...{ metadata, shared },
      pace: async () => {
        await otherTurn()
      },
      onCorrupt: (error) => this.#faults.add(error.message),
    }
  }
}

function shown(
  repository: RepositoryName,
  { tag, digest, pushedAtMs, pulledAtMs }: TagTimes,
  verdict: Verdict,
): ShownVerdict {
  return {
    ...{ repository, tag, digest },
    ...(pushedAtMs === undefined ? {} : { pushedAt: shownTime(pushedAtMs) }),
    ...(pulledAtMs === undefined ? {} : { lastPulledAt: shownTime(pulledAtMs) }),
    ...reasonOf(verdict),
  }
}

function reasonOf(verdict: Verdict): Pick<ShownVerdict, 'by'> & Partial<ShownVerdict> {
  if (verdict.kind === 'freed') return { by: 'none' }
  if (verdict.kind !== 'kept' && verdict.kind !== 'failed') return { by: verdict.kind }
  const { policy, text: rule, place } = verdict.rule
  const of = { policy, rule, file: place.file, line: place.line }
  return verdict.kind === 'kept'
    ? { by: 'rule', ...of }
    : { by: 'failed rule', ...of, error: verdict.error }
}

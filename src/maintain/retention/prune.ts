// Retention as a job: every repository, tag by tag; what no rule keeps goes.

import type { Digest } from '../../oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../oci/name.ts'
import type { RemovedManifest } from '../../storage/metadata/garbage.ts'
import type { TagTimes } from '../../storage/metadata/tag-times.ts'
import type { Job, JobContext, JobReport } from '../job/contract.ts'
import { type PruneCheckpoint, parseCheckpoint } from './checkpoint.ts'
import type { PruneParts, PruneSettings } from './contract.ts'
import { freeChildren, freeImages } from './free-images.ts'
import { type Judge, judgeTag } from './judge.ts'
import { pagesOfTags, rankTags, type TagSource } from './ranks.ts'
import { Tally } from './tally.ts'

export interface PruneInput {
  /** Look at the same tags, and change nothing. */
  readonly dryRun: boolean
  /** This one alone. */
  readonly repository?: RepositoryName
}

interface PruneRun {
  readonly input: PruneInput
  readonly context: JobContext
  readonly settings: PruneSettings
  readonly tally: Tally
  readonly checkpoint: PruneCheckpoint
}

const repositoriesPerPage = 100
// Of one repository: with all of them in hand the last tag of a manifest is known for it.
const freedInHandMax = 10_000
const repositoriesPerCheckpoint = 20

/** What is in force when a run begins holds to its end. */
export function createPruneJob({ settings, flushPulls }: PruneParts): Job<PruneInput> {
  return {
    kind: 'prune',
    parse: parseInput,
    rates: () => ({ itemsPerSecond: settings().tagsPerSecond, bytesPerSecond: 0 }),
    run: async (input, context) => {
      const inForce = settings()
      const { refusal } = inForce
      if (refusal !== undefined) return { ok: false, summary: [refusal], details: { refusal } }
      await flushPulls()
      const checkpoint = parseCheckpoint(context.resumed, context)
      const tally = new Tally(checkpoint.counts)
      return prune({ input, context, settings: inForce, tally, checkpoint })
    },
  }
}

function parseInput(input: unknown): { readonly input: PruneInput } | { readonly error: string } {
  if (typeof input !== 'object' || input === null) return { error: 'expected an object' }
  const { dryRun = false, repository, ...others }: Record<string, unknown> = { ...input }
  const [surplus] = Object.keys(others)
  if (surplus !== undefined) return { error: `${surplus} is not known` }
  if (typeof dryRun !== 'boolean') return { error: 'dryRun: expected true or false' }
  if (repository === undefined) return { input: { dryRun } }
  const name = typeof repository === 'string' ? parseRepositoryName(repository) : undefined
  if (name === undefined) return { error: 'repository: expected the name of a repository' }
  return { input: { dryRun, repository: name } }
}

async function prune(run: PruneRun): Promise<JobReport> {
  const { context, settings } = run
  if (settings.rules.length === 0) return reportOf(run, false)
  try {
    if (context.resumed !== undefined) await finishChildren(run)
    await remember(run, run.checkpoint.after)
    await pruneAll(run)
  } catch (error) {
    if (!isStopped(error, context)) throw error
    return reportOf(run, true)
  }
  return reportOf(run, false)
}

async function pruneAll(run: PruneRun): Promise<void> {
  const { context, tally } = run
  let sinceCheckpoint = 0
  for await (const repository of repositoriesOf(run)) {
    const { freed } = tally.counts
    await pruneRepository(run, repository)
    sinceCheckpoint += 1
    const isDue = sinceCheckpoint >= repositoriesPerCheckpoint || tally.counts.freed > freed
    if (!isDue) continue
    await remember(run, repository)
    sinceCheckpoint = 0
  }
  context.signal.throwIfAborted()
}

async function* repositoriesOf(run: PruneRun): AsyncGenerator<RepositoryName> {
  const { context, input } = run
  if (input.repository !== undefined) {
    yield input.repository
    return
  }
  for (let { after } = run.checkpoint; ; ) {
    await context.pace({ items: 1, bytes: 0 })
    if (context.shared) context.metadata.refresh()
    const page = await context.metadata.listRepositories({
      limit: repositoriesPerPage,
      ...(after === undefined ? {} : { after }),
    })
    yield* page
    after = page.at(-1)
    if (page.length < repositoriesPerPage) return
  }
}

async function pruneRepository(run: PruneRun, repository: RepositoryName): Promise<void> {
  const { context, settings, tally } = run
  const { counts } = tally
  counts.repositories += 1
  const rules = settings.rulesFor(repository)
  if (rules.length === 0) {
    counts.repositoriesWithoutRules += 1
    return
  }
  const source = sourceOf(run)
  const judge: Judge = {
    rules,
    ranks: await rankTags(source, repository, rules, context.now()),
    isImmutable: settings.isImmutable(repository),
    metadata: context.metadata,
    onRuleError: (rule, error) => tally.ruleError(rule, error),
  }
  const freed = new Map<Digest, TagTimes[]>()
  let inHand = 0
  const free = async (): Promise<void> => {
    if (!run.input.dryRun) await freeImages(run, repository, freed)
    else for (const { tag } of [...freed.values()].flat()) tally.freed(repository, tag)
    freed.clear()
    inHand = 0
  }
  for await (const page of pagesOfTags(source, repository)) {
    for (const times of page) {
      if (!(await isFree(run, judge, times))) continue
      const others = freed.get(times.digest)
      if (others === undefined) freed.set(times.digest, [times])
      else others.push(times)
      inHand += 1
    }
    context.progress({ phase: repository, done: counts.kept + counts.freed + inHand })
    if (inHand >= freedInHandMax) await free()
  }
  await free()
}

async function isFree({ tally }: PruneRun, judge: Judge, times: TagTimes): Promise<boolean> {
  const { repository } = judge.ranks
  const what = `${repository}:${times.tag}`
  const verdict = await tally.passingOver(what, () => judgeTag(judge, times))
  // What cannot be judged stays.
  if (verdict?.kind === 'freed') return true
  tally.kept(verdict?.kind ?? 'failed')
  return false
}

function sourceOf({ context, tally }: PruneRun): TagSource {
  return {
    ...{ metadata: context.metadata, shared: context.shared, onCorrupt: tally.onCorrupt },
    pace: (tags) => context.pace({ items: tags, bytes: 0 }),
  }
}

/** An index may have gone when the run before was cut short, and what it listed not. */
async function finishChildren(run: PruneRun): Promise<void> {
  const { context, tally, checkpoint, input } = run
  if (input.dryRun) return
  let after: RemovedManifest | undefined
  for (;;) {
    await context.pace({ items: repositoriesPerPage, bytes: 0 })
    const page = await context.metadata.listRemovedManifests({
      ...{ limit: repositoriesPerPage, onCorrupt: tally.onCorrupt },
      ...(after === undefined ? {} : { after }),
    })
    for (const { run: by, repository, children } of page) {
      if (by === undefined || !checkpoint.runs.includes(by)) continue
      await freeChildren(run, repository, children)
    }
    after = page.at(-1)
    if (page.length < repositoriesPerPage) return
  }
}

async function remember(run: PruneRun, after: string | undefined): Promise<void> {
  const { context, input, tally, checkpoint } = run
  if (input.dryRun) return
  const { runs } = checkpoint
  const value: PruneCheckpoint = {
    ...{ runs, counts: tally.counts },
    ...(after === undefined ? {} : { after }),
  }
  await context.checkpoint(value)
}

function reportOf({ context, input, settings, tally }: PruneRun, isCut: boolean): JobReport {
  const { rules, restoreWindowMs } = settings
  return tally.report({
    ...{ id: context.run, dryRun: input.dryRun, isCut },
    ...{ hasRules: rules.length > 0, restoreWindowMs },
  })
}

function isStopped(error: unknown, { signal }: JobContext): boolean {
  return signal.aborted && error instanceof Error && error.name === 'AbortError'
}

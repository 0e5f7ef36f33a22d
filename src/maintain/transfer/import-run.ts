// One import: all repositories of a source, several images at a time, what is wrong told and passed over.

import type { Digest } from '../../oci/digest.ts'
import { parseRepositoryName } from '../../oci/name.ts'
import type { JobContext, JobReport } from '../job/contract.ts'
import { BlobCarrier, ImageFault } from './blob-carrier.ts'
import {
  type ImportFault,
  type ImportRequest,
  type ImportRoot,
  type ImportSource,
  SourceGoneError,
} from './contract.ts'
import { type Brought, ImageBringer, type RepositoryPair, type TagPut } from './image-bringer.ts'
import { type ImportCounts, ImportTally } from './import-tally.ts'
import { DoneLine, Lanes } from './in-order.ts'
import { nameReason } from './source/distribution.ts'
import { shownName } from './source/tree.ts'
import { judgeTag } from './tag-verdict.ts'

export interface ImportRunSettings {
  readonly graceMs: number
  readonly manifestBytesMax: number
  readonly descriptorsMax: number
  readonly isInPlace: boolean
}

// So many share a sync of the disk.
const imagesAtOnce = 8
const repositoriesAtOnce = 4
// Tags of a repository that are sorted by their time, so that they are stored in the order of their pushes.
const batchMax = 10_000
const checkpointEvery = 32

interface Checkpoint {
  readonly after: string
  readonly counts: ImportCounts
  /** Roots, as progress counts them. */
  readonly done: number
}

export class ImportRun {
  readonly #context: JobContext
  readonly #source: ImportSource
  readonly #request: ImportRequest
  readonly #tally: ImportTally
  readonly #bringer: ImageBringer
  readonly #images = new Lanes(imagesAtOnce)
  readonly #line = new DoneLine()
  readonly #resumed: Checkpoint | undefined
  #total: number | undefined
  #done = 0
  #sinceCheckpoint = 0

  constructor(
    context: JobContext,
    source: ImportSource,
    request: ImportRequest,
    settings: ImportRunSettings,
  ) {
    this.#context = context
    this.#source = source
    this.#request = request
    this.#resumed = source.isSorted && !request.dryRun ? readCheckpoint(context.resumed) : undefined
    this.#tally = new ImportTally(context.log, this.#resumed?.counts)
    this.#done = this.#resumed?.done ?? 0
    const { dryRun } = request
    const carrier = new BlobCarrier(context, source, {
      ...{ graceMs: settings.graceMs, isInPlace: settings.isInPlace, dryRun },
      onPlaced: (placing, bytes) => {
        this.#tally.placed(placing, bytes)
        this.#tell()
      },
    })
    this.#bringer = new ImageBringer(context, source, carrier, {
      ...{ ...settings, dryRun },
      onNew: () => {
        this.#tally.counts.manifests += 1
      },
    })
  }

  /** Errors: SourceGoneError; StorageError of our own stores; AbortError. */
  async run(notes: readonly string[]): Promise<JobReport> {
    const repositories = new Lanes(repositoriesAtOnce)
    try {
      await this.#bringAll(repositories)
      await repositories.idle()
    } catch (error) {
      // What is under way still writes; nothing may after the run.
      await repositories.settled()
      await this.#images.settled()
      // The next run would only look at more again, and why this one ended is the news.
      await this.#checkpoint(true).catch(() => undefined)
      throw error
    }
    return this.#tally.report(this.#request, this.#source.title, notes)
  }

  async #bringAll(repositories: Lanes): Promise<void> {
    this.#context.progress({ phase: 'looking', done: 0 })
    this.#total = await this.#source.count?.(this.#context.signal)
    for await (const found of this.#source.repositories(this.#resumed?.after)) {
      this.#context.signal.throwIfAborted()
      if (typeof found !== 'string') {
        this.#tally.fault(found)
        continue
      }
      const target = this.#targetOf(found)
      if (target === undefined) continue
      const isDone = this.#line.begin(found)
      await repositories.start(async () => {
        await this.#bringRepository({ source: found, target })
        isDone()
        await this.#checkpoint(false)
      })
    }
  }

  #targetOf(name: string): RepositoryPair['target'] | undefined {
    const { repository } = this.#request
    const whole = [repository ?? '', name].filter((part) => part !== '').join('/')
    const target = parseRepositoryName(whole)
    if (target === undefined) {
      this.#tally.fault({ repository: shownName(whole), reason: nameReason(whole) })
    }
    return target
  }

  async #bringRepository(pair: RepositoryPair): Promise<void> {
    try {
      await this.#bringRoots(pair)
      await this.#countLayersLeft(pair)
    } catch (error) {
      this.#context.signal.throwIfAborted()
      if (!(error instanceof ImageFault)) throw error
      this.#fault(pair, undefined, error.message)
    }
    this.#tally.counts.repositories += 1
  }

  async #bringRoots(pair: RepositoryPair): Promise<void> {
    const tagged = new Set<Digest>()
    let batch: ImportRoot[] = []
    for await (const root of told(this.#source.roots(pair.source))) {
      if ('reason' in root) {
        this.#tally.fault({ repository: pair.source, ...root })
        this.#done += 1
        continue
      }
      batch.push(root)
      if (batch.length < batchMax) continue
      await this.#bringBatch(pair, batch, tagged)
      batch = []
    }
    await this.#bringBatch(pair, batch, tagged)
  }

  /** Tags first: what they name is no news among the manifests after them. */
  async #bringBatch(
    pair: RepositoryPair,
    batch: readonly ImportRoot[],
    tagged: Set<Digest>,
  ): Promise<void> {
    const tags = batch
      .filter(({ tag }) => tag !== undefined)
      .sort((a, b) => (a.pushedAtMs ?? 0) - (b.pushedAtMs ?? 0))
    const listedAtMs = this.#context.now()
    await this.#bringEach(tags.entries(), async ([at, root]) => {
      // A tag counts as pushed now, so that no rule finds it old at once; in the order of the real pushes.
      const nowMs = Math.max(0, listedAtMs - (tags.length - 1 - at))
      await this.#bringRoot(pair, root, () => this.#bringTag(pair, root, { nowMs, tagged }))
    })
    const others = batch.filter(({ tag }) => tag === undefined)
    await this.#bringEach(others, async (root) => {
      const { digest } = root
      const isKnown = digest === undefined || tagged.has(digest) || this.#bringer.has(pair, digest)
      if (isKnown) this.#done += 1
      else await this.#bringRoot(pair, root, () => this.#bringUntagged(pair, digest))
    })
  }

  async #bringEach<Item>(
    items: Iterable<Item>,
    bring: (item: Item) => Promise<void>,
  ): Promise<void> {
    const underWay: Promise<void>[] = []
    for (const item of items) {
      await this.#images.start(() => {
        const bringing = bring(item)
        underWay.push(bringing)
        return bringing
      })
    }
    await Promise.all(underWay)
  }

  async #bringRoot(
    pair: RepositoryPair,
    { tag, digest }: ImportRoot,
    bring: () => Promise<void>,
  ): Promise<void> {
    const { metadata, shared, signal } = this.#context
    signal.throwIfAborted()
    await this.#context.pace({ items: 1, bytes: 0 })
    // What other processes have pushed counts, too.
    if (shared) metadata.refresh()
    try {
      await bring()
    } catch (error) {
      if (!(error instanceof ImageFault)) throw error
      this.#fault(pair, tag ?? digest, error.message)
    }
    this.#done += 1
    this.#tell()
  }

  async #bringTag(
    pair: RepositoryPair,
    { tag, digest: told, pushedAtMs }: ImportRoot,
    { nowMs, tagged }: { readonly nowMs: number; readonly tagged: Set<Digest> },
  ): Promise<void> {
    if (tag === undefined) return
    const { metadata } = this.#context
    // Where only reading the tag tells, that is the one time it is read.
    const read = told === undefined ? await this.#bringer.load(pair, tag) : undefined
    const digest = told ?? read?.digest
    if (digest === undefined) throw new ImageFault('it is not there any more')
    const here = await metadata.readTag(pair.target, tag)
    const [last] = await metadata.readTagHistory(pair.target, tag, 1)
    const verdict = judgeTag({ here, last, there: digest, overwrite: this.#request.overwrite })
    if (verdict.kind === 'keep') {
      this.#tally.kept({ repository: pair.target, tag, reason: verdict.reason })
      return
    }
    tagged.add(digest)
    const movedAtMs = Math.min(pushedAtMs ?? nowMs, this.#context.now())
    const isNew = verdict.kind === 'new'
    const put = verdict.kind === 'same' ? undefined : { tag, nowMs, movedAtMs, isNew }
    const loaded = read ?? (await this.#bringer.load(pair, digest))
    if (loaded === undefined) throw new ImageFault('the manifest that it names was deleted there')
    const brought = await this.#bringer.bring(pair, loaded, put)
    if (brought.isTagTaken) {
      this.#tally.kept({ repository: pair.target, tag, reason: 'it was pushed here meanwhile' })
      return
    }
    this.#tellLacking(pair, tag, brought)
    this.#countTag(pair, verdict.kind, put, digest)
    await this.#bringReferrers(pair, digest)
  }

  #countTag(
    { target }: RepositoryPair,
    kind: 'new' | 'moves' | 'same',
    put: TagPut | undefined,
    digest: Digest,
  ): void {
    const { counts } = this.#tally
    if (kind === 'new') counts.tagsNew += 1
    else if (kind === 'moves') counts.tagsMoved += 1
    else counts.tagsSame += 1
    if (put === undefined || kind === 'same') return
    const { tag } = put
    if (this.#request.dryRun) {
      this.#tally.planned({ repository: target, tag, digest, what: kind })
      return
    }
    const reason = `imported from ${this.#source.title}`
    this.#context.record({ deed: 'import-tag', repository: target, tag, digest, reason })
  }

  async #bringUntagged(pair: RepositoryPair, digest: Digest): Promise<void> {
    const loaded = await this.#bringer.load(pair, digest)
    if (loaded === undefined) throw new ImageFault('the manifest is missing')
    const brought = await this.#bringer.bring(pair, loaded)
    this.#tellLacking(pair, digest, brought)
    await this.#bringReferrers(pair, digest)
  }

  async #bringReferrers(pair: RepositoryPair, subject: Digest): Promise<void> {
    if (this.#source.referrersOf === undefined) return
    const seen = new Set([subject])
    // Grows while it is gone through: a signature may be signed.
    for (const each of seen) {
      for await (const digest of told(this.#source.referrersOf(pair.source, each))) {
        if (seen.has(digest)) continue
        seen.add(digest)
        try {
          const loaded = await this.#bringer.load(pair, digest)
          if (loaded !== undefined) await this.#bringer.bring(pair, loaded)
        } catch (error) {
          if (!(error instanceof ImageFault)) throw error
          this.#fault(pair, digest, error.message)
        }
      }
    }
  }

  #tellLacking(pair: RepositoryPair, reference: string, { lacking }: Brought): void {
    if (lacking.some(({ reason }) => reason === undefined)) this.#tally.counts.sparse += 1
    for (const { digest, reason } of lacking) {
      if (reason !== undefined) this.#fault(pair, reference, `its image ${digest}: ${reason}`)
    }
  }

  #fault(pair: RepositoryPair, reference: string | undefined, reason: string): void {
    const shown: ImportFault = { repository: pair.source, reason }
    this.#tally.fault(reference === undefined ? shown : { ...shown, reference })
  }

  async #countLayersLeft({ source, target }: RepositoryPair): Promise<void> {
    if (this.#source.layersOf === undefined || this.#request.dryRun) return
    const { metadata } = this.#context
    for await (const digest of told(this.#source.layersOf(source))) {
      const isHere = (await metadata.readBlob(target, digest)) !== undefined
      if (!isHere) this.#tally.counts.layersLeft += 1
    }
  }

  async #checkpoint(now: boolean): Promise<void> {
    if (this.#request.dryRun || !this.#source.isSorted) return
    this.#sinceCheckpoint += 1
    const { last } = this.#line
    if (last === undefined || (!now && this.#sinceCheckpoint < checkpointEvery)) return
    this.#sinceCheckpoint = 0
    const { counts } = this.#tally
    const checkpoint: Checkpoint = { after: last, counts, done: this.#done }
    await this.#context.checkpoint(checkpoint)
  }

  #tell(): void {
    const { bytes } = this.#tally
    const total = this.#total
    const done = total === undefined ? this.#done : Math.min(total, this.#done)
    const news = { phase: this.#request.dryRun ? 'comparing' : 'importing', done, bytes }
    this.#context.progress(total === undefined ? news : { ...news, total })
  }
}

/** What the source tells; what keeps it from going on is a fault of this one repository. */
async function* told<Item>(items: AsyncIterable<Item>): AsyncGenerator<Item> {
  try {
    yield* items
  } catch (error) {
    if (error instanceof SourceGoneError) throw error
    throw new ImageFault(`it cannot be listed: ${(error as Error).message}`)
  }
}

function readCheckpoint(value: unknown): Checkpoint | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { after, counts, done = 0 } = value as Partial<Checkpoint>
  return typeof after === 'string' && counts !== undefined ? { after, counts, done } : undefined
}

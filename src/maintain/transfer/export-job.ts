// `export`: images of this registry as an OCI layout, which other tools read.

import { type Digest, digestAlgorithm, digestOfBytes } from '../../oci/digest.ts'
import { OciError } from '../../oci/error.ts'
import { defaultManifestLimits, type Manifest, parseManifest } from '../../oci/manifest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import type { StoredManifest } from '../../storage/metadata/contract.ts'
import { counted } from '../../telemetry/rough-units.ts'
import { BlobCopier } from '../backup/copy-blob.ts'
import type { Job, JobContext, JobReport } from '../job/contract.ts'
import { type ExportedName, type ExportInput, parseExport } from './export-input.ts'
import { type LayoutEntry, LayoutTarget } from './layout-target.ts'
import { ownRoot } from './own-root.ts'

/** Bounds as a push has them. */
export interface ExportSettings {
  readonly descriptorsMax: number
}

/** `settings` are asked at each run. */
export function createExportJob(settings: () => ExportSettings): Job<ExportInput> {
  return {
    kind: 'export',
    parse: parseExport,
    rates: ({ bytesPerSecond }) => ({ itemsPerSecond: 0, bytesPerSecond }),
    async run(input, context) {
      const { dryRun } = input
      const store = await ownRoot(context.blobs)
      const target = await LayoutTarget.open(input.path, { dryRun, store })
      return new ExportRun(input, context, target, settings()).run()
    },
  }
}

interface ExportRoot {
  readonly repository: RepositoryName
  readonly digest: Digest
  readonly refName?: string
}

interface ExportFault {
  readonly image: string
  readonly reason: string
}

/** What stands in the way of one image. */
class ExportRefusal extends Error {}

const pageMax = 1000
const faultsShownMax = 100
const depthMax = 16

class ExportRun {
  readonly #input: ExportInput
  readonly #context: JobContext
  readonly #target: LayoutTarget
  readonly #settings: ExportSettings
  readonly #copier: BlobCopier
  readonly #entries: LayoutEntry[] = []
  readonly #unnamed = new Set<Digest>()
  readonly #faults: ExportFault[] = []
  /** Digests that lie in the layout, verified. */
  readonly #there = new Set<Digest>()
  readonly #hasSeveral: boolean
  #bytes = 0
  #blobs = 0
  #sparse = 0

  constructor(
    input: ExportInput,
    context: JobContext,
    target: LayoutTarget,
    settings: ExportSettings,
  ) {
    this.#input = input
    this.#context = context
    this.#target = target
    this.#settings = settings
    this.#copier = new BlobCopier(target, context, target.names, input.link)
    this.#hasSeveral = new Set(input.images.map(({ repository }) => repository)).size > 1
  }

  async run(): Promise<JobReport> {
    const roots = await this.#roots()
    try {
      for (const [done, root] of roots.entries()) {
        this.#context.signal.throwIfAborted()
        this.#context.progress({
          ...{ phase: 'exporting', done, total: roots.length, bytes: this.#bytes },
        })
        await this.#exportRoot(root)
      }
    } finally {
      // What is whole is named, also where the run was asked to stop.
      if (!this.#input.dryRun) await this.#target.finish(this.#entries, this.#context.randomUuid())
    }
    return this.#report()
  }

  async #roots(): Promise<readonly ExportRoot[]> {
    const roots = new Map<string, ExportRoot>()
    for (const name of this.#input.images) {
      for await (const root of this.#rootsOf(name)) {
        roots.set(`${root.repository}@${root.digest} ${root.refName ?? ''}`, root)
      }
    }
    return [...roots.values()]
  }

  async *#rootsOf({ repository, reference }: ExportedName): AsyncGenerator<ExportRoot> {
    const { metadata } = this.#context
    if (reference?.kind === 'digest') {
      yield { repository, digest: reference.digest }
      return
    }
    const tags = reference === undefined ? this.#tagsOf(repository) : [reference.tag]
    let count = 0
    for await (const tag of tags) {
      const digest = await metadata.readTag(repository, tag)
      if (digest === undefined) continue
      count += 1
      yield { repository, digest, refName: this.#hasSeveral ? `${repository}:${tag}` : tag }
    }
    if (count > 0) return
    const image = reference === undefined ? repository : `${repository}:${reference.tag}`
    this.#fault(image, 'there is none')
  }

  async *#tagsOf(
    repository: RepositoryName,
  ): AsyncGenerator<Parameters<JobContext['metadata']['readTag']>[1]> {
    const { metadata } = this.#context
    for (let after: string | undefined; ; ) {
      const page = { limit: pageMax, ...(after === undefined ? {} : { after }) }
      const tags = (await metadata.listTags(repository, page)) ?? []
      yield* tags
      after = tags.at(-1)
      if (tags.length < pageMax) return
    }
  }

  async #exportRoot({ repository, digest, refName }: ExportRoot): Promise<void> {
    const image = refName ?? `${repository}@${digest}`
    try {
      const found = await this.#exportTree(repository, digest, 0)
      if (found === undefined) throw new ExportRefusal('its manifest is not there')
      this.#list(found, refName)
      if (this.#input.referrers) await this.#exportReferrers(repository, digest)
    } catch (error) {
      if (!(error instanceof ExportRefusal)) throw error
      this.#fault(image, error.message)
    }
  }

  #list({ mediaType, digest, bytes }: StoredManifest, refName: string | undefined): void {
    const entry = { mediaType, digest, size: bytes.length }
    if (refName !== undefined) this.#entries.push({ ...entry, refName })
    else if (!this.#unnamed.has(digest)) this.#entries.push(entry)
    if (refName === undefined) this.#unnamed.add(digest)
  }

  async #exportReferrers(repository: RepositoryName, subject: Digest): Promise<void> {
    const { metadata } = this.#context
    const subjects = new Set([subject])
    for (const each of subjects) {
      for (let after: Digest | undefined; ; ) {
        const page = { limit: pageMax, ...(after === undefined ? {} : { after }) }
        const referrers = await metadata.listReferrers(repository, each, page)
        for (const { digest } of referrers) {
          if (subjects.has(digest)) continue
          subjects.add(digest)
          const found = await this.#exportTree(repository, digest, 0)
          if (found !== undefined) this.#list(found, undefined)
        }
        after = referrers.at(-1)?.digest
        if (referrers.length < pageMax) break
      }
    }
  }

  /** Undefined where there is none. Errors: ExportRefusal. */
  async #exportTree(
    repository: RepositoryName,
    digest: Digest,
    depth: number,
  ): Promise<StoredManifest | undefined> {
    this.#context.signal.throwIfAborted()
    if (depth > depthMax) throw new ExportRefusal(`indexes are nested more than ${depthMax} deep`)
    const stored = await this.#context.metadata.readManifest(repository, digest)
    if (stored === undefined || this.#there.has(digest)) return stored
    const manifest = this.#parse(stored)
    for (const child of manifest.children) {
      const found = await this.#exportTree(repository, child.digest, depth + 1)
      if (found === undefined) this.#sparse += 1
    }
    for (const { digest: blob } of manifest.blobs) {
      if (!(await this.#exportBlob(repository, blob))) {
        throw new ExportRefusal(`its blob ${blob} is not there`)
      }
    }
    for (const { digest: blob } of manifest.foreign) await this.#exportBlob(repository, blob)
    await this.#exportManifest(stored)
    return stored
  }

  #parse({ bytes, mediaType, digest }: StoredManifest): Manifest {
    if (digestOfBytes(digestAlgorithm(digest), bytes) !== digest) {
      throw new ExportRefusal(
        `the bytes of ${digest} are not what the digest says: run keelson scrub`,
      )
    }
    const { descriptorsMax } = this.#settings
    try {
      return parseManifest(bytes, mediaType, { ...defaultManifestLimits, descriptorsMax })
    } catch (error) {
      if (error instanceof OciError) throw new ExportRefusal(error.message)
      throw error
    }
  }

  /** Whether the repository has it. Errors: ExportRefusal. */
  async #exportBlob(repository: RepositoryName, digest: Digest): Promise<boolean> {
    if (this.#there.has(digest)) return true
    const link = await this.#context.metadata.readBlob(repository, digest)
    if (link === undefined) return false
    const { size } = link
    if (!this.#input.dryRun && !(await this.#isThere(digest, size))) {
      const lack = await this.#copier.copy({ digest, size })
      if (lack !== undefined) throw new ExportRefusal(`its blob ${digest}: ${lack.reason}`)
    }
    this.#count(digest, size)
    return true
  }

  async #exportManifest({ digest, bytes }: StoredManifest): Promise<void> {
    if (!this.#input.dryRun && !(await this.#isThere(digest, bytes.length))) {
      await this.#target.write(this.#target.blob(digest), bytes, this.#context.randomUuid())
    }
    this.#count(digest, bytes.length)
  }

  /** Whether the layout has it whole already. */
  async #isThere(digest: Digest, size: number): Promise<boolean> {
    if ((await this.#target.size(digest)) !== size) return false
    const target = { kind: 'fs', path: this.#target.blob(digest) } as const
    const pace = (bytes: number): Promise<void> => this.#context.pace({ items: 0, bytes })
    const { ingest } = this.#context
    return (await ingest.rehash(target, size, digestAlgorithm(digest), pace)) === digest
  }

  #count(digest: Digest, size: number): void {
    this.#there.add(digest)
    this.#blobs += 1
    this.#bytes += size
  }

  #fault(image: string, reason: string): void {
    this.#faults.push({ image, reason })
    this.#context.log.warn({ image, reason }, 'not exported')
  }

  #report(): JobReport {
    const { path, dryRun } = this.#input
    const shown = this.#faults.slice(0, faultsShownMax)
    const images = counted(this.#entries.length, 'image')
    const counts = `${images}, ${counted(this.#blobs, 'file')} of ${counted(this.#bytes, 'byte')}`
    return {
      ok: this.#faults.length === 0,
      summary: [
        dryRun ? `Dry run: to be in ${path}: ${counts}.` : `In ${path}: ${counts}.`,
        ...(this.#sparse > 0
          ? [
              counted(
                this.#sparse,
                'image that an index lists is not here, either',
                'images that indexes list are not here, either',
              ),
            ]
          : []),
        ...shown.map(({ image, reason }) => `not exported ${image}: ${reason}`),
      ],
      details: {
        ...{ path, dryRun, images: this.#entries.length, files: this.#blobs, bytes: this.#bytes },
        ...{ sparse: this.#sparse, faults: this.#faults.length, faultList: shown },
      },
    }
  }
}

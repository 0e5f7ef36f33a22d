// Brings one image or index with all that it names: children first, then blobs, then the manifest and its tag.

import { type Digest, digestAlgorithm, digestOfBytes, parseDigest } from '../../oci/digest.ts'
import { OciError } from '../../oci/error.ts'
import {
  defaultManifestLimits,
  type Manifest,
  parseManifest,
  referrerDescriptor,
} from '../../oci/manifest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import type { Tag } from '../../oci/tag.ts'
import { StorageError } from '../../storage/error.ts'
import type { JobContext } from '../job/contract.ts'
import { type BlobCarrier, ImageFault } from './blob-carrier.ts'
import { type ImportSource, SourceGoneError } from './contract.ts'
import { manifestTypeOf } from './manifest-type.ts'

export interface BringerSettings {
  readonly manifestBytesMax: number
  readonly descriptorsMax: number
  readonly dryRun: boolean
  /** Of each manifest that was not here. */
  readonly onNew: () => void
}

/** A repository there and here. */
export interface RepositoryPair {
  readonly source: string
  readonly target: RepositoryName
}

/** When and by which run a tag moves. Units: ms since 1970. */
export interface TagPut {
  readonly tag: Tag
  readonly nowMs: number
  readonly movedAtMs: number
  /** Whether it must not be there yet. */
  readonly isNew: boolean
}

export interface Brought {
  /** Children that the source has not, or that could not be brought. */
  readonly lacking: readonly { readonly digest: Digest; readonly reason?: string }[]
  /** Somebody set the tag here at this very moment: it was left. */
  readonly isTagTaken: boolean
}

/** A manifest that was read, there or here. */
export interface LoadedImage {
  readonly digest: Digest
  readonly bytes: Uint8Array
  readonly manifest: Manifest
  readonly isHere: boolean
}

const depthMax = 16
const putAttemptsMax = 3
const broughtKeptMax = 100_000

export class ImageBringer {
  readonly #context: JobContext
  readonly #source: ImportSource
  readonly #carrier: BlobCarrier
  readonly #settings: BringerSettings
  /** The last ones, and why they could not be brought: indexes that share images are no tree to walk. */
  readonly #brought = new Map<string, Promise<string | undefined>>()

  constructor(
    context: JobContext,
    source: ImportSource,
    carrier: BlobCarrier,
    settings: BringerSettings,
  ) {
    this.#context = context
    this.#source = source
    this.#carrier = carrier
    this.#settings = settings
  }

  /** Read what a tag or digest names. Undefined where the source has none. Errors: ImageFault; SourceGoneError. */
  load(pair: RepositoryPair, reference: Digest | Tag): Promise<LoadedImage | undefined> {
    return this.#load(pair, reference, undefined)
  }

  /** Whether it was brought before, alone or with an index, or could not be. */
  has({ target }: RepositoryPair, digest: Digest): boolean {
    return this.#brought.has(`${target}@${digest}`)
  }

  /** Errors: ImageFault; SourceGoneError; StorageError of our own stores. */
  async bring(pair: RepositoryPair, loaded: LoadedImage, put?: TagPut): Promise<Brought> {
    const before = this.#brought.get(`${pair.target}@${loaded.digest}`)
    if (before !== undefined) {
      const reason = await before
      if (reason !== undefined) throw new ImageFault(reason)
      return this.#bringLoaded(pair, { ...loaded, isHere: true }, put, 0)
    }
    const bringing = this.#bringLoaded(pair, loaded, put, 0)
    void this.#remember(pair, loaded.digest, bringing.then(noReason, reasonOf))
    return bringing
  }

  async #bringLoaded(
    pair: RepositoryPair,
    loaded: LoadedImage,
    put: TagPut | undefined,
    depth: number,
  ): Promise<Brought> {
    const { manifest, isHere } = loaded
    this.#context.signal.throwIfAborted()
    const lacking = []
    for (const child of manifest.children) {
      const reason = await this.#bringChild(pair, child.digest, child.mediaType, depth + 1)
      if (reason !== undefined) {
        lacking.push(reason === '' ? { digest: child.digest } : { digest: child.digest, reason })
      }
    }
    for (let attempt = 1; ; attempt++) {
      await this.#bringBlobs(pair, manifest)
      if (this.#settings.dryRun || (isHere && put === undefined)) break
      const result = await this.#put(pair, loaded, put, lacking.length > 0)
      if (result === 'taken') return { lacking, isTagTaken: true }
      if (result === 'stored') break
      // What was there a moment ago was taken away; it is brought again.
      if (attempt === putAttemptsMax)
        throw new ImageFault('what it names went while it was imported')
    }
    if (!isHere) this.#settings.onNew()
    return { lacking, isTagTaken: false }
  }

  /** Why it could not be brought; '' where the source has none; undefined where it is here. */
  #bringChild(
    pair: RepositoryPair,
    digest: Digest,
    mediaType: string,
    depth: number,
  ): Promise<string | undefined> {
    const before = this.#brought.get(`${pair.target}@${digest}`)
    // Waits never go in a circle: an index cannot name one that names it.
    return (
      before ?? this.#remember(pair, digest, this.#bringChildOnce(pair, digest, mediaType, depth))
    )
  }

  #remember(
    { target }: RepositoryPair,
    digest: Digest,
    outcome: Promise<string | undefined>,
  ): Promise<string | undefined> {
    // Whoever began it hears of what ends the run.
    outcome.catch(() => undefined)
    this.#brought.set(`${target}@${digest}`, outcome)
    for (const oldest of this.#brought.keys()) {
      if (this.#brought.size <= broughtKeptMax) break
      this.#brought.delete(oldest)
    }
    return outcome
  }

  async #bringChildOnce(
    pair: RepositoryPair,
    digest: Digest,
    mediaType: string,
    depth: number,
  ): Promise<string | undefined> {
    if (depth > depthMax) return `indexes are nested more than ${depthMax} deep`
    try {
      const loaded = await this.#load(pair, digest, mediaType)
      if (loaded === undefined) return ''
      await this.#bringLoaded(pair, loaded, undefined, depth)
      return undefined
    } catch (error) {
      return reasonOf(error)
    }
  }

  async #bringBlobs({ source, target }: RepositoryPair, manifest: Manifest): Promise<void> {
    for (const { digest } of manifest.blobs) {
      const outcome = await this.#carrier.bring(target, source, digest)
      if (outcome === 'absent') throw new ImageFault(`its blob ${digest} is missing`)
    }
    // Foreign layers: nobody misses those that are not there.
    for (const { digest } of manifest.foreign) await this.#carrier.bring(target, source, digest)
  }

  async #load(
    { source, target }: RepositoryPair,
    reference: Digest | Tag,
    told: string | undefined,
  ): Promise<LoadedImage | undefined> {
    const { metadata } = this.#context
    const asked = parseDigest(reference)
    const here = asked && (await metadata.readManifest(target, asked))
    if (here !== undefined) {
      const manifest = this.#parse(here.bytes, here.mediaType)
      return { digest: here.digest, bytes: here.bytes, manifest, isHere: true }
    }
    const found = await this.#read(source, reference)
    if (found === undefined) return undefined
    const digest = digestOfBytes(
      asked === undefined ? 'sha256' : digestAlgorithm(asked),
      found.bytes,
    )
    if (asked !== undefined && asked !== digest) {
      throw new ImageFault('the bytes of the manifest are not what the digest says')
    }
    const manifest = this.#parse(found.bytes, manifestTypeOf(found.bytes, found.mediaType ?? told))
    const isHere =
      asked === undefined && (await metadata.readManifest(target, digest)) !== undefined
    return { digest, bytes: found.bytes, manifest, isHere }
  }

  async #read(source: string, reference: Digest | Tag): ReturnType<ImportSource['readManifest']> {
    try {
      return await this.#source.readManifest(source, reference, this.#settings.manifestBytesMax)
    } catch (error) {
      this.#context.signal.throwIfAborted()
      if (error instanceof SourceGoneError) throw error
      throw new ImageFault(`the manifest cannot be read: ${(error as Error).message}`)
    }
  }

  #parse(bytes: Uint8Array, mediaType: string | undefined): Manifest {
    const { descriptorsMax } = this.#settings
    try {
      return parseManifest(bytes, mediaType, { ...defaultManifestLimits, descriptorsMax })
    } catch (error) {
      if (error instanceof OciError) throw new ImageFault(error.message)
      throw error
    }
  }

  async #put(
    { target }: RepositoryPair,
    { digest, bytes, manifest }: LoadedImage,
    put: TagPut | undefined,
    isSparse: boolean,
  ): Promise<'stored' | 'missing' | 'taken'> {
    const { metadata, now, run } = this.#context
    const { subject } = manifest
    const result = await this.#context.changing(() =>
      metadata.putManifest({
        ...{ repository: target, digest, mediaType: manifest.mediaType, bytes },
        tags: put === undefined ? [] : [put.tag],
        blobs: manifest.blobs.map((blob) => blob.digest),
        optionalBlobs: manifest.foreign.map((blob) => blob.digest),
        children: manifest.children.map((child) => child.digest),
        ...{ allowMissingBlobs: false, allowMissingChildren: isSparse },
        ...(subject === undefined
          ? {}
          : {
              subject: subject.digest,
              descriptor: referrerDescriptor(manifest, digest, bytes.length),
            }),
        quotas: [],
        // Asked where the tag names something else: a push that came between is not undone.
        isImmutable: () => put?.isNew === true,
        nowMs: put?.nowMs ?? now(),
        ...(put === undefined ? {} : { imported: { run, movedAtMs: put.movedAtMs } }),
      }),
    )
    if (result.kind === 'immutable') return 'taken'
    if (result.kind === 'over-quota') throw new StorageError('conflict', 'a quota bound an import')
    return result.kind
  }
}

function noReason(): undefined {
  return undefined
}

function reasonOf(error: unknown): string {
  if (error instanceof ImageFault) return error.message
  throw error
}

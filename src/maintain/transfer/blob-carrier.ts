// Brings the bytes of blobs to their final keys, each once and hashed before anything names them.

import { setTimeout } from 'node:timers/promises'
import { type Digest, digestAlgorithm } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import { newUploadId, type UploadId } from '../../oci/upload-id.ts'
import { StorageError } from '../../storage/error.ts'
import type { UploadRecord } from '../../storage/metadata/contract.ts'
import type { JobContext } from '../job/contract.ts'
import { ChunkBody } from './chunk-body.ts'
import { type ImportSource, type SourceBlob, SourceGoneError } from './contract.ts'
import { chunksOf, FilePlacer, type Placing } from './place-file.ts'

/** What stands in the way of one image; the run tells of it and goes on. */
export class ImageFault extends Error {
  override readonly name = 'ImageFault'
}

export interface CarrierSettings {
  readonly graceMs: number
  /** The blobs of the source are those of our own store. */
  readonly isInPlace: boolean
  /** Only look what would come. */
  readonly dryRun: boolean
  /** Told of each blob whose bytes were not known here before. */
  readonly onPlaced: (placing: Placing, bytes: number) => void
}

// As long as a push waits.
const busyWaitMsMax = 20_000
const busyPauseMs = 5
const busyPauseMsMax = 200
const faultsMax = 10_000
const seenMax = 1_000_000
const noRoomCodes: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

export class BlobCarrier {
  readonly #context: JobContext
  readonly #source: ImportSource
  readonly #settings: CarrierSettings
  readonly #placer = new FilePlacer()
  /** Bytes that are on their way: who needs them too waits. */
  readonly #underWay = new Map<Digest, Promise<number | undefined>>()
  /** Bytes that are not what they should be, so that a layer of many images is read once. */
  readonly #faulty = new Map<Digest, ImageFault>()
  /** What a dry run has counted. */
  readonly #seen = new Set<Digest>()

  constructor(context: JobContext, source: ImportSource, settings: CarrierSettings) {
    this.#context = context
    this.#source = source
    this.#settings = settings
  }

  /**
   * The repository holds the blob when it resolves, durably and with a lease. 'absent' where the source has none.
   * Errors: ImageFault where the bytes cannot be had or are others; StorageError of our own stores.
   */
  async bring(
    repository: RepositoryName,
    sourceName: string,
    digest: Digest,
  ): Promise<'there' | 'absent'> {
    const { metadata, blobs, now } = this.#context
    if ((await metadata.readBlob(repository, digest)) !== undefined) return 'there'
    if (this.#settings.dryRun) return this.#look(sourceName, digest)
    for (
      let waitedMs = 0, pauseMs = busyPauseMs;
      ;
      pauseMs = Math.min(2 * pauseMs, busyPauseMsMax)
    ) {
      const size =
        (await this.#knownSize(digest)) ?? (await this.#once(repository, sourceName, digest))
      if (size === undefined) return 'absent'
      const result = await this.#context.changing(() =>
        metadata.linkBlob({
          ...{ repository, digest, size },
          leaseUntilMs: now() + this.#settings.graceMs,
          // Bounds are for those who push.
          quotas: [],
          isThere: () => blobs.isThereNow?.(digest) ?? true,
        }),
      )
      if (result === 'linked') {
        // Destroyed in between: no record says that of it any more, so it is brought anew.
        const isGone = blobs.isThereNow === undefined && (await blobs.size(digest)) === undefined
        if (!isGone) return 'there'
        await this.#bringBack(repository, sourceName, digest)
        return 'there'
      }
      if (waitedMs >= busyWaitMsMax) {
        throw new ImageFault(`${digest} is being destroyed: keelson gc ends that`)
      }
      await setTimeout(pauseMs, undefined, { signal: this.#context.signal })
      waitedMs += pauseMs
    }
  }

  async #bringBack(repository: RepositoryName, sourceName: string, digest: Digest): Promise<void> {
    const size = await this.#once(repository, sourceName, digest)
    if (size === undefined) throw new ImageFault(`${digest} is not in the source any more`)
  }

  async #look(sourceName: string, digest: Digest): Promise<'there' | 'absent'> {
    if (this.#seen.has(digest) || (await this.#knownSize(digest)) !== undefined) return 'there'
    const found = await this.#find(sourceName, digest)
    if (found === undefined) return 'absent'
    if (this.#seen.size < seenMax) this.#seen.add(digest)
    this.#settings.onPlaced(this.#settings.isInPlace ? 'adopted' : 'copied', found.size ?? 0)
    return 'there'
  }

  /** In bytes, where some repository may serve it: then its bytes were hashed when they came. */
  async #knownSize(digest: Digest): Promise<number | undefined> {
    const { metadata, blobs } = this.#context
    const holders = await metadata.repositoriesHolding(digest, 1)
    return holders.length === 0 ? undefined : blobs.size(digest)
  }

  async #once(
    repository: RepositoryName,
    sourceName: string,
    digest: Digest,
  ): Promise<number | undefined> {
    const fault = this.#faulty.get(digest)
    if (fault !== undefined) throw fault
    const running = this.#underWay.get(digest)
    if (running !== undefined) return running
    const carrying = this.#carry(repository, sourceName, digest)
    this.#underWay.set(digest, carrying)
    try {
      return await carrying
    } catch (error) {
      if (error instanceof ImageFault && this.#faulty.size < faultsMax) {
        this.#faulty.set(digest, error)
      }
      throw error
    } finally {
      this.#underWay.delete(digest)
    }
  }

  async #carry(
    repository: RepositoryName,
    sourceName: string,
    digest: Digest,
  ): Promise<number | undefined> {
    const adopted = await this.#adopt(digest)
    if (adopted !== undefined) return adopted
    const found = await this.#find(sourceName, digest)
    if (found === undefined) return undefined
    return this.#stage(repository, digest, async (upload) => {
      const staged = found.kind === 'file' ? await this.#place(upload, digest, found) : undefined
      return staged ?? this.#receive(upload, digest, found)
    })
  }

  async #find(sourceName: string, digest: Digest): Promise<SourceBlob | undefined> {
    try {
      return await this.#source.findBlob(sourceName, digest)
    } catch (error) {
      throw faultOf(digest, error)
    }
  }

  /** Bytes that lie at their key already, and that nobody here has vouched for. */
  async #adopt(digest: Digest): Promise<number | undefined> {
    const { blobs } = this.#context
    const target = blobs.readingTarget?.(digest)
    const size = target && (await blobs.size(digest))
    if (target === undefined || size === undefined) return undefined
    const isWhole = await this.#isWhole(target, size, digest)
    if (!isWhole) {
      const advice = this.#settings.isInPlace
        ? ''
        : '; keelson scrub finds it, and a push replaces it'
      throw new ImageFault(`the file of ${digest} has other bytes than its digest says${advice}`)
    }
    await this.#context.ingest.sync(target)
    // Nothing is staged: this makes its name durable, whoever gave it.
    await blobs.publish(newUploadId(this.#context.randomUuid), digest, size)
    this.#settings.onPlaced('adopted', size)
    return size
  }

  /** A session stands for the staged bytes, so that they are expired with it where this process dies. */
  async #stage(
    repository: RepositoryName,
    digest: Digest,
    fill: (upload: UploadId) => Promise<{ readonly size: number; readonly placing: Placing }>,
  ): Promise<number> {
    const { metadata, blobs } = this.#context
    const upload = newUploadId(this.#context.randomUuid)
    await metadata.createUpload(sessionOf(upload, repository, digest, this.#context.now()))
    try {
      const { size, placing } = await fill(upload)
      await blobs.publish(upload, digest, size)
      this.#settings.onPlaced(placing, size)
      return size
    } finally {
      await blobs.discard(upload)
      await metadata.removeUpload(upload, 0)
    }
  }

  /** Undefined where the file system can only copy. */
  async #place(
    upload: UploadId,
    digest: Digest,
    { path, size, isFrozen }: Extract<SourceBlob, { kind: 'file' }>,
  ): Promise<{ readonly size: number; readonly placing: Placing } | undefined> {
    const { blobs, ingest } = this.#context
    const target = blobs.staging(upload)
    if (target.kind !== 'fs') return undefined
    const placing = await this.#placer.place(path, target.path, isFrozen).catch((error) => {
      throw systemFault(digest, error)
    })
    if (placing === undefined) return undefined
    if (!(await this.#isWhole(target, size, digest))) throw differs(digest)
    await ingest.sync(target)
    return { size, placing }
  }

  async #receive(
    upload: UploadId,
    digest: Digest,
    found: SourceBlob,
  ): Promise<{ readonly size: number; readonly placing: Placing }> {
    const { blobs, ingest, signal } = this.#context
    this.#requireRoom(found.size ?? 0)
    const chunks = await this.#open(digest, found)
    const body = new ChunkBody(chunks, found.size, (bytes) =>
      this.#context.pace({ items: 0, bytes }),
    )
    const target = blobs.staging(upload)
    const plan = { target, offset: 0, algorithm: digestAlgorithm(digest), sync: true }
    const bytesMax = found.size ?? Number.MAX_SAFE_INTEGER
    const expected = found.size === undefined ? {} : { bytesExpected: found.size }
    const hash = { kind: 'stream' } as const
    try {
      const mayGoOn = (): boolean => this.#context.hasDiskRoom?.(0) ?? true
      const outcome = await ingest.receive({ ...plan, ...expected, hash, bytesMax, mayGoOn }, body)
      if (outcome.kind === 'no-room') throw noRoom()
      if (outcome.kind === 'aborted') throw body.failure?.error ?? new Error('it ended early')
      if (outcome.kind !== 'complete' || outcome.digest !== digest) throw differs(digest)
      return { size: outcome.offset, placing: 'copied' }
    } catch (error) {
      signal.throwIfAborted()
      // Ours are for the run to judge: no room, or no thread.
      throw error instanceof StorageError ? error : faultOf(digest, error)
    } finally {
      await body.end()
    }
  }

  /** Errors: StorageError 'full', which ends the run: the next one goes on. */
  #requireRoom(bytes: number): void {
    if (this.#context.hasDiskRoom?.(bytes) === false) throw noRoom()
  }

  async #open(digest: Digest, found: SourceBlob): Promise<AsyncIterable<Uint8Array>> {
    if (found.kind === 'file') return chunksOf(found.path)
    try {
      return await found.open(this.#context.signal)
    } catch (error) {
      this.#context.signal.throwIfAborted()
      throw faultOf(digest, error)
    }
  }

  /** Errors: ImageFault where the file cannot be read. */
  async #isWhole(
    target: Parameters<JobContext['ingest']['rehash']>[0],
    size: number,
    digest: Digest,
  ): Promise<boolean> {
    const { ingest, signal } = this.#context
    const pace = (bytes: number): Promise<void> => this.#context.pace({ items: 0, bytes })
    try {
      return (await ingest.rehash(target, size, digestAlgorithm(digest), pace)) === digest
    } catch (error) {
      signal.throwIfAborted()
      throw faultOf(digest, error)
    }
  }
}

function sessionOf(
  id: UploadId,
  repository: RepositoryName,
  digest: Digest,
  nowMs: number,
): UploadRecord {
  return {
    ...{ id, repository, algorithm: digestAlgorithm(digest), offset: 0, synced: false },
    // No process goes on with it.
    ...{ bootId: '', fence: 0, startedAtMs: nowMs, touchedAtMs: nowMs },
  }
}

function noRoom(): StorageError {
  const text = 'storage.reserve is reached: make room, and import again to go on'
  return new StorageError('full', text)
}

function differs(digest: Digest): ImageFault {
  return new ImageFault(`the bytes of ${digest} are not what the digest says`)
}

function faultOf(digest: Digest, error: unknown): Error {
  if (error instanceof ImageFault || error instanceof SourceGoneError) return error
  return new ImageFault(`${digest} cannot be read: ${(error as Error).message}`)
}

function systemFault(digest: Digest, error: unknown): Error {
  const { code = '', message } = error as NodeJS.ErrnoException
  return noRoomCodes.has(code) ? new StorageError('full', message, error) : faultOf(digest, error)
}

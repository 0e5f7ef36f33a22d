// The second part of a backup: the bytes of every blob that the rows name and the directory lacks.

import { readdir } from 'node:fs/promises'
import { type Digest, digestAlgorithm, digestHex } from '../../oci/digest.ts'
import type { DumpedBlob } from '../../storage/metadata/dump.ts'
import type { JobContext } from '../job/contract.ts'
import type { BlobCopier } from './copy-blob.ts'
import type { NewNames } from './durable-files.ts'
import { BackupError, unlessAbsent } from './error.ts'
import { inLanes } from './lanes.ts'
import { type Layout, prefixLength } from './layout.ts'
import type { MissingBlob } from './snapshot.ts'
import type { WrittenRows } from './write-rows.ts'

// More would hold more of the few threads that all reads of files share.
const lanes = 2

// A store of which so many cannot be read is not there, rather than damaged.
const missingMax = 10_000

export interface CopiedBlobs {
  /** Of the snapshot, with those that were there before. */
  readonly count: number
  readonly bytes: number
  readonly copied: { readonly count: number; readonly bytes: number }
  readonly missing: readonly MissingBlob[]
}

/**
 * `copier` is absent in a dry run. What there is is durable once `names` are.
 * Errors: those of `copier`; AbortError.
 */
export async function copyBlobs(
  layout: Layout,
  { blobs, quarantined }: Pick<WrittenRows, 'blobs' | 'quarantined'>,
  context: Pick<JobContext, 'metadata' | 'signal' | 'progress'>,
  total: number,
  copier: BlobCopier | undefined,
  names: NewNames,
): Promise<CopiedBlobs> {
  const there = new PresentBlobs(layout, names)
  const audit = context.metadata.openAudit()
  const missing: MissingBlob[] = []
  const copied = { count: 0, bytes: 0 }
  let count = 0
  let bytes = 0
  const copyOne = async (blob: DumpedBlob): Promise<void> => {
    const lack = await copier?.copy(blob)
    if (lack !== undefined) {
      const { digest, size } = blob
      // Also of one that was quarantined meanwhile: the rows were taken before.
      const holders = await audit.holders(digest, 1)
      missing.push({ digest, size, reason: lack.reason, isHeld: holders.length > 0 })
    } else {
      copied.count += 1
      copied.bytes += blob.size
    }
    if (missing.length > missingMax) {
      throw new BackupError(`more than ${missingMax} blobs cannot be read: is the store there?`)
    }
  }
  for await (const page of blobs()) {
    const lacking: DumpedBlob[] = []
    for (const blob of page) {
      context.signal.throwIfAborted()
      if (!(await there.has(blob.digest))) lacking.push(blob)
      bytes += blob.size
    }
    const before = count
    await inLanes(lacking, lanes, async (blob) => {
      await copyOne(blob)
      context.progress({
        phase: 'blobs',
        done: before + copied.count,
        total,
        bytes: copied.bytes,
      })
    })
    count += page.length
    context.progress({ phase: 'blobs', done: count, total, bytes: copied.bytes })
  }
  for (const { digest, size } of quarantined) {
    // That no manifest names it any more is no loss.
    if (!(await audit.isNeeded(digest))) continue
    const reason = 'its bytes are damaged or lost since before; keelson scrub tells more'
    missing.push({ digest, size, reason, isHeld: true })
  }
  return { count, bytes, copied, missing }
}

/** What one listing after the other says is there. Asked in the order of digests, each is read once. */
class PresentBlobs {
  readonly #layout: Layout
  readonly #seen: NewNames
  #prefix = ''
  #names: ReadonlySet<string> = new Set()

  constructor(layout: Layout, seen: NewNames) {
    this.#layout = layout
    this.#seen = seen
  }

  async has(digest: Digest): Promise<boolean> {
    const algorithm = digestAlgorithm(digest)
    const hex = digestHex(digest)
    const path = this.#layout.blobPrefix(algorithm, hex.slice(0, prefixLength))
    if (path !== this.#prefix) {
      const names = await unlessAbsent(readdir(path))
      if (names !== undefined) this.#seen.addDirectory(path)
      this.#names = new Set(names)
      this.#prefix = path
    }
    return this.#names.has(hex)
  }
}

// The blobs of a migration: looked at where they are, or copied through a hash that trusts nobody.

import { type Digest, digestAlgorithm } from '../../oci/digest.ts'
import { newUploadId } from '../../oci/upload-id.ts'
import type { IngestPlan } from '../../offload/contract.ts'
import type { BlobReader, BlobStore } from '../../storage/blob/contract.ts'
import { inLanes } from '../backup/lanes.ts'
import { clearPlace } from '../blob-place.ts'
import type { JobContext } from '../job/contract.ts'
import { ChunkBody } from '../transfer/chunk-body.ts'
import type { MigrationTarget } from './contract.ts'

export interface MovedBlobs {
  readonly count: number
  readonly bytes: number
  readonly copied: number
  /** At most 10,000 are named. */
  readonly damaged: readonly { readonly digest: Digest; readonly reason: string }[]
}

interface Blob {
  readonly digest: Digest
  readonly size: number
}

const blobsPerPage = 500
const lanes = 4
const chunkBytes = 256 << 10
const damagedMax = 10_000

/** Errors: StorageError of either store, 'full' among them; AbortError. */
export async function moveBlobs(
  target: MigrationTarget,
  context: JobContext,
  { isRehearsal }: { readonly isRehearsal: boolean },
): Promise<MovedBlobs> {
  const { blobs: source, signal } = context
  const damaged: { digest: Digest; reason: string }[] = []
  let [count, bytes, copied] = [0, 0, 0]
  for await (const page of neededBlobs(context)) {
    await inLanes(page, lanes, async (blob) => {
      signal.throwIfAborted()
      const { digest, size } = blob
      const found = await source.size(digest)
      let reason = sizeProblem(found, size)
      const goes = reason === undefined && !isRehearsal && target.blobs !== undefined
      const there = goes
        ? await clearPlace(target.blobs, target.ingest, blob, context.randomUuid)
        : undefined
      if (goes && there !== 'right') {
        const replace = there === 'wrong'
        const problem = await copyBlob(target.blobs, target, blob, { context, replace })
        if (problem === undefined) copied += 1
        reason = problem
      }
      if (reason !== undefined && damaged.length < damagedMax) damaged.push({ digest, reason })
      count += 1
      bytes += size
      context.progress({ phase: 'blobs', done: count, bytes })
    })
  }
  return { count, bytes, copied, damaged }
}

function sizeProblem(found: number | undefined, size: number): string | undefined {
  if (found === undefined) return 'its bytes are not there'
  return found === size ? undefined : `it has ${found} bytes, not ${size}`
}

/** Whose bytes the records rely on. */
async function* neededBlobs({ metadata }: JobContext): AsyncGenerator<readonly Blob[]> {
  const audit = metadata.openAudit()
  for (let after: { after?: Digest } = {}; ; ) {
    const page = await audit.listBlobs({ prefix: '', ...after, limit: blobsPerPage })
    const last = page.at(-1)
    if (last === undefined) return
    yield page.flatMap(({ digest, record }) => {
      if (record === 'unreadable') return []
      const isKept = record.state === 'live' || record.state === 'condemned'
      return isKept && record.wasQuarantined !== true ? [{ digest, size: record.size }] : []
    })
    after = { after: last.digest }
  }
}

/** Answers what is wrong with the source's bytes. */
async function copyBlob(
  blobs: BlobStore,
  { ingest }: MigrationTarget,
  { digest, size }: Blob,
  { context, replace }: { readonly context: JobContext; readonly replace: boolean },
): Promise<string | undefined> {
  const reader = await context.blobs.open(digest)
  if (reader === undefined) return 'its bytes are not there'
  const upload = newUploadId(context.randomUuid)
  const body = new ChunkBody(chunksOf(reader, context), size, (bytes) =>
    context.pace({ items: 0, bytes }),
  )
  try {
    const plan: IngestPlan = {
      target: blobs.staging(upload),
      offset: 0,
      algorithm: digestAlgorithm(digest),
      hash: { kind: 'stream' },
      bytesMax: size,
      sync: true,
    }
    const outcome = await ingest.receive(plan, body)
    if (outcome.kind !== 'complete') {
      throw body.failure?.error ?? new Error(`ingest: ${outcome.kind}`)
    }
    if (outcome.digest !== digest) return 'its bytes do not have its digest'
    await blobs.publish(upload, digest, size, { replace })
    return undefined
  } finally {
    await body.end()
    reader.close()
    await blobs.discard(upload)
  }
}

async function* chunksOf(
  reader: BlobReader,
  { signal }: Pick<JobContext, 'signal'>,
): AsyncGenerator<Uint8Array> {
  const pass = reader.pass?.(0, reader.size)
  try {
    for (let position = 0; position < reader.size; ) {
      signal.throwIfAborted()
      const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, reader.size - position))
      const length = await (pass === undefined ? reader.read(position, buffer) : pass.read(buffer))
      if (length === 0) return
      position += length
      yield buffer.subarray(0, length)
    }
  } finally {
    pass?.close()
  }
}

// PUT of an upload session: verify, make durable, link. A 201 means that a power loss takes nothing.

import { setTimeout } from 'node:timers/promises'
import type { RequestBody } from '../http/body.ts'
import { unknownReply } from '../http/error-reply.ts'
import type { Reply } from '../http/reply.ts'
import { type Digest, digestAlgorithm } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import type { Action } from '../route/action.ts'
import type { UnfinishedBlob } from '../storage/blob/contract.ts'
import { StorageError } from '../storage/error.ts'
import type { UploadRecord } from '../storage/metadata/contract.ts'
import type { OverQuota } from '../storage/metadata/usage.ts'
import { requireRoom } from './blob-room.ts'
import { releaseLater, releaseUnchanged, withUpload } from './claim-upload.ts'
import { requireDiskToGoOn } from './disk-room.ts'
import { discardStaged } from './drop-session.ts'
import {
  type Announced,
  announcedRange,
  isTrusted,
  receiveBody,
  throwLost,
} from './receive-body.ts'
import type { OperationRequest, Registry } from './registry.ts'
import { quotaRefusal } from './rule-refusal.ts'
import { blobCreatedReply, outOfOrderReply } from './upload-reply.ts'

// Garbage collection destroys a few blobs at a time, and none waits for its bytes to be overwritten.
const busyWaitMsMax = 20_000
const busyPauseMs = 5
const busyPauseMsMax = 200

// A session begins with 1, and each body claims it: before this one there was none that could have staged anything.
const firstBodyFence = 2

type CompleteUpload = Extract<Action, { kind: 'complete-upload' }>

/**
 * Source: distribution-spec end-6. After a refusal the session stands where it stood, but for one by a
 * quota, which ends it.
 * Errors: OciError DIGEST_INVALID, STORAGE_FULL, and as `withUpload`, `receiveBody`; 416 for a chunk out of order.
 */
export async function finishUpload(
  action: CompleteUpload,
  request: OperationRequest,
  registry: Registry,
): Promise<Reply> {
  const reply = await withUpload(action, registry, async (record, writer) => {
    try {
      const announced = announcedRange(record, request)
      if (announced.kind === 'out-of-order') {
        await releaseUnchanged(record, registry)
        return outOfOrderReply(registry, record)
      }
      const body = writer.guard(request.body)
      return await commit(record, action.digest, announced, body, registry)
    } catch (error) {
      await releaseUnchanged(record, registry).catch((cause: unknown) => {
        registry.onBackgroundFault('release upload session', cause)
        releaseLater(record.id, registry)
      })
      throw error
    }
  })
  return reply ?? unknownReply('BLOB_UPLOAD_UNKNOWN')
}

/** A whole blob in the request that opened its session, whose owner it has. Errors: as `finishUpload`. */
export function receiveAndCommit(
  record: UploadRecord,
  digest: Digest,
  request: OperationRequest,
  registry: Registry,
): Promise<Reply> {
  return commit(record, digest, { kind: 'nothing' }, request.body, registry)
}

async function commit(
  record: UploadRecord,
  digest: Digest,
  announced: Announced,
  body: RequestBody,
  registry: Registry,
): Promise<Reply> {
  const { repository } = record
  const staged = await stage(record, digest, announced, body, registry)
  try {
    await verify(record, digest, staged, registry)
    // Asked before they are published, since afterwards only garbage collection could take the bytes away.
    await requireRoom(repository, digest, staged.offset, registry)
    const result = await publishAndLink(record, digest, staged, registry)
    if (result !== 'linked') throw quotaRefusal(result)
  } finally {
    if (staged.unfinished !== undefined) abandon(staged.unfinished, registry)
  }
  registry.uploads.close(record.id)
  // The blob is safe under its digest; the staged name of the same bytes is only litter.
  if (staged.unfinished === undefined || record.fence > firstBodyFence) {
    discardStaged(record.id, registry).catch((error: unknown) =>
      registry.onBackgroundFault('discard staged bytes', error),
    )
  }
  return blobCreatedReply(registry, repository, digest)
}

function abandon(unfinished: UnfinishedBlob, { blobs, onBackgroundFault }: Registry): void {
  blobs.abandon?.(unfinished).catch((error: unknown) => {
    onBackgroundFault('abandon an unfinished blob', error)
  })
}

// Garbage collection may destroy an old blob of the same digest at this very moment: what it was is gone
// then, and the staged bytes take its place. A run that was killed meanwhile is finished by the next start.
async function publishAndLink(
  record: UploadRecord,
  digest: Digest,
  { offset: size, unfinished }: Staged,
  registry: Registry,
): Promise<'linked' | OverQuota> {
  const { blobs, metadata, rules } = registry
  const { repository } = record
  const from = { fence: record.fence, ...(unfinished === undefined ? {} : { unfinished }) }
  let isReplaced = false
  for (let waitedMs = 0, pauseMs = busyPauseMs; ; pauseMs = Math.min(2 * pauseMs, busyPauseMsMax)) {
    try {
      await blobs.publish(record.id, digest, size, { replace: isReplaced, ...from })
    } catch (error) {
      // What lies there has another size, and where nobody moves it away these bytes take its place.
      const isWrong = error instanceof StorageError && error.kind === 'corrupt'
      if (!isWrong || isReplaced || blobs.removalsLateMs === undefined) throw error
      isReplaced = true
      continue
    }
    if (isReplaced) registry.readers.drop(digest)
    const result = await metadata.linkBlob({
      ...{ repository, digest, size },
      leaseUntilMs: registry.now() + registry.limits.graceMs,
      quotas: rules.rulesFor(repository).quotas,
      upload: { id: record.id, owner: registry.owner(), fence: record.fence },
      isThere: () => blobs.isThereNow?.(digest) ?? true,
      isReplaced,
    })
    if (result === 'damaged') {
      isReplaced = true
      continue
    }
    if (result !== 'busy') {
      if (result === 'linked') await requirePublished(record, digest, size, registry, from)
      return result
    }
    if (waitedMs >= busyWaitMsMax) break
    await setTimeout(pauseMs)
    waitedMs += pauseMs
  }
  throw new StorageError('unavailable', `${digest} is being destroyed`)
}

// Where nobody could tell within the transaction whether the bytes are there: a destruction that had begun before may
// have ended in between. From here on none can begin.
async function requirePublished(
  record: UploadRecord,
  digest: Digest,
  size: number,
  { blobs, damage }: Registry,
  from: { readonly fence: number; readonly unfinished?: UnfinishedBlob },
): Promise<void> {
  if (blobs.isThereNow !== undefined) return
  try {
    await blobs.publish(record.id, digest, size, { replace: false, ...from })
  } catch (error) {
    // The record says that it is there.
    damage?.onFound?.(digest)
    throw error
  }
}

interface Staged {
  readonly offset: number
  /** Absent where it cannot be trusted. */
  readonly digest?: Digest
  /** Nothing is staged: the blob is where it belongs, and waits for being published. */
  readonly unfinished?: UnfinishedBlob
}

// Data is synced when this resolves. A closing request without a body, which is what most clients
// send, costs no hashing: the digest of everything so far is in the record.
async function stage(
  record: UploadRecord,
  digest: Digest,
  announced: Announced,
  body: RequestBody,
  registry: Registry,
): Promise<Staged> {
  const isWhole = body.length === 0 && record.offset > 0
  // A request that broke off or was refused has left bytes behind the committed ones: taking a body,
  // even an empty one, cuts them off.
  if (!isWhole || (await registry.blobs.stagedSize(record.id, record.fence)) !== record.offset) {
    return receiveBody(record, announced, body, registry, { digest, sync: true })
  }
  // Its bytes are on the disk already; refused, they would only lie there.
  requireDiskToGoOn(registry)
  await requireRoom(record.repository, digest, record.offset, registry)
  await registry.ingest.sync(registry.blobs.stagedTarget(record.id, record.fence))
  const isKnown = record.digest !== undefined && isTrusted(record, registry)
  return { offset: record.offset, ...(isKnown ? { digest: record.digest } : {}) }
}

async function verify(
  record: UploadRecord,
  digest: Digest,
  staged: Staged,
  registry: Registry,
): Promise<void> {
  const algorithm = digestAlgorithm(digest)
  const computed =
    staged.digest !== undefined && digestAlgorithm(staged.digest) === algorithm
      ? staged.digest
      : await registry.ingest
          .rehash(registry.blobs.stagedTarget(record.id, record.fence), staged.offset, algorithm)
          .catch((error: unknown) => throwLost(error, record, registry))
  if (computed === digest) return
  throw new OciError('DIGEST_INVALID', {
    message: 'the content does not have this digest',
    detail: { expected: digest, computed },
  })
}

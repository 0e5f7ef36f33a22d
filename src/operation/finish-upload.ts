// PUT of an upload session: verify, make durable, link. A 201 means that a power loss takes nothing.

import type { RequestBody } from '../http/body.ts'
import { unknownReply } from '../http/error-reply.ts'
import type { Reply } from '../http/reply.ts'
import { type Digest, digestAlgorithm } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import type { Action } from '../route/action.ts'
import type { UploadRecord } from '../storage/metadata/contract.ts'
import { releaseUnchanged, withUpload } from './claim-upload.ts'
import {
  type Announced,
  announcedRange,
  isTrusted,
  receiveBody,
  throwLost,
} from './receive-body.ts'
import type { OperationRequest, Registry } from './registry.ts'
import { blobCreatedReply, outOfOrderReply } from './upload-reply.ts'

type CompleteUpload = Extract<Action, { kind: 'complete-upload' }>

/**
 * Source: distribution-spec end-6. After any refusal the session stands where it stood.
 * Errors: OciError DIGEST_INVALID, and as `withUpload`, `receiveBody`; 416 for a chunk out of order.
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
      await releaseUnchanged(record, registry).catch((cause: unknown) =>
        registry.onBackgroundFault('release upload session', cause),
      )
      throw error
    }
  })
  return reply ?? unknownReply('BLOB_UPLOAD_UNKNOWN')
}

/** A whole blob in the request that opened its session. Errors: as `finishUpload`. */
export async function receiveAndCommit(
  record: UploadRecord,
  digest: Digest,
  request: OperationRequest,
  registry: Registry,
): Promise<Reply> {
  // In a shared store the record has no owner yet, and only an owner may end a session.
  const claimed = registry.shared
    ? await registry.metadata.claimUpload(record.id, registry.owner, registry.now(), () => false)
    : record
  if (claimed === undefined) return unknownReply('BLOB_UPLOAD_UNKNOWN')
  return commit(claimed, digest, { kind: 'nothing' }, request.body, registry)
}

async function commit(
  record: UploadRecord,
  digest: Digest,
  announced: Announced,
  body: RequestBody,
  registry: Registry,
): Promise<Reply> {
  const { blobs, metadata } = registry
  const staged = await stage(record, announced, body, registry)
  await verify(record, digest, staged, registry)
  await blobs.publish(record.id, digest, staged.offset)
  await metadata.linkBlob({
    repository: record.repository,
    digest,
    size: staged.offset,
    leaseUntilMs: registry.now() + registry.limits.graceMs,
    upload: { id: record.id, owner: registry.owner, fence: record.fence },
  })
  registry.uploads.close(record.id)
  // The blob is safe under its digest; the staged name of the same bytes is only litter.
  blobs
    .discard(record.id)
    .catch((error: unknown) => registry.onBackgroundFault('discard staged bytes', error))
  return blobCreatedReply(registry, record.repository, digest)
}

interface Staged {
  readonly offset: number
  /** Absent where it cannot be trusted. */
  readonly digest?: Digest
}

// Data is synced when this resolves. A closing request without a body, which is what most clients
// send, costs no hashing: the digest of everything so far is in the record.
async function stage(
  record: UploadRecord,
  announced: Announced,
  body: RequestBody,
  registry: Registry,
): Promise<Staged> {
  const isWhole = body.length === 0 && record.offset > 0
  // A request that broke off or was refused has left bytes behind the committed ones: taking a body,
  // even an empty one, cuts them off.
  if (!isWhole || (await registry.blobs.stagedSize(record.id)) !== record.offset) {
    return receiveBody(record, announced, body, registry, true)
  }
  await registry.ingest.sync(registry.blobs.staging(record.id))
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
          .rehash(registry.blobs.staging(record.id), staged.offset, algorithm)
          .catch(throwLost)
  if (computed === digest) return
  throw new OciError('DIGEST_INVALID', {
    message: 'the content does not have this digest',
    detail: { expected: digest, computed },
  })
}

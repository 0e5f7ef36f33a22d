// Takes the body of an upload request to the session's staging place.

import type { RequestBody } from '../http/body.ts'
import { type Digest, digestAlgorithm } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import { parseContentRange } from '../oci/range.ts'
import type { IngestOutcome, IngestPlan } from '../offload/contract.ts'
import { StorageError } from '../storage/error.ts'
import type { UploadRecord } from '../storage/metadata/contract.ts'
import { blobRoom } from './blob-room.ts'
import { diskRoomRefusal, requireDiskRoom } from './disk-room.ts'
import type { OperationRequest, Registry } from './registry.ts'

/** What a request announced with Content-Range; `in-order` says whether it fits the session. */
export type Announced =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'in-order'; readonly bytes: number }
  | { readonly kind: 'out-of-order' }

/**
 * Errors: OciError BLOB_UPLOAD_INVALID (400) for a malformed Content-Range, SIZE_INVALID where it
 * contradicts Content-Length. Source: distribution-spec "Pushing a blob in chunks".
 */
export function announcedRange(record: UploadRecord, request: OperationRequest): Announced {
  const header = request.header('content-range')
  if (header === '') return { kind: 'nothing' }
  const range = parseContentRange(header)
  if (range === undefined) {
    throw new OciError('BLOB_UPLOAD_INVALID', {
      message: 'Content-Range must be <first>-<last>',
      detail: { 'content-range': header.slice(0, 80) },
    })
  }
  if (range.start !== record.offset) return { kind: 'out-of-order' }
  const bytes = range.end - range.start + 1
  if (request.body.length !== undefined && request.body.length !== bytes) {
    throw new OciError('SIZE_INVALID', {
      message: 'Content-Range and Content-Length disagree',
      detail: { announced: bytes, length: request.body.length },
    })
  }
  return { kind: 'in-order', bytes }
}

/**
 * Whether what the record says of the staged bytes still holds: bytes that were not synced before it was
 * written may be gone with the kernel that held them, or read as zeros.
 */
export function isTrusted(record: UploadRecord, registry: Registry): boolean {
  return record.synced || record.bootId === registry.bootId
}

/** Whether the session announces chunks, or has: its next one may come to another process. */
function hashFor(
  record: UploadRecord,
  announced: Announced,
  registry: Registry,
): IngestPlan['hash'] {
  if (announced.kind !== 'in-order' && record.hashState === undefined) return { kind: 'stream' }
  return record.hashState === undefined || !isTrusted(record, registry)
    ? { kind: 'exportable' }
    : { kind: 'exportable', state: record.hashState }
}

// Nearly every session without announced chunks has a single one, and then nothing would need its hasher.
function mayFollow(
  record: UploadRecord,
  announced: Announced,
  digest: Digest | undefined,
): boolean {
  return digest === undefined && (announced.kind === 'in-order' || record.offset > 0)
}

/** Where the body is all of a blob, as its client says. */
function wholeBlob(
  record: UploadRecord,
  { length: bytes }: RequestBody,
  digest: Digest | undefined,
): Parameters<Registry['blobs']['staging']>[2] {
  if (digest === undefined || bytes === undefined || record.offset > 0) return undefined
  return digestAlgorithm(digest) === record.algorithm ? { digest, bytes } : undefined
}

/** What the bytes are for. */
export interface Purpose {
  /** What the whole blob is said to be, where that is known. */
  readonly digest: Digest | undefined
  readonly sync: boolean
}

/**
 * Errors: OciError CONTENT_TOO_LARGE, SIZE_INVALID, BLOB_UPLOAD_INVALID (the client left, or a retry
 * took over; nobody may be there to read it). The session stays where it was. QuotaRefusal, before any
 * byte is read where its announced length tells, and so is STORAGE_FULL; BLOB_UPLOAD_UNKNOWN where its committed bytes are lost.
 */
export async function receiveBody(
  record: UploadRecord,
  announced: Announced,
  body: RequestBody,
  registry: Registry,
  { digest, sync }: Purpose,
): Promise<Extract<IngestOutcome, { kind: 'complete' }>> {
  const room = await blobRoom(record.repository, digest, registry)
  const announcedEnd = body.length === undefined ? undefined : record.offset + body.length
  if (announcedEnd !== undefined && announcedEnd > room.bytesMax) throw room.refusal(announcedEnd)
  requireDiskRoom(registry, body.length ?? 0)
  const { diskRoom } = registry
  const plan: IngestPlan = {
    target: registry.blobs.staging(record.id, record.fence, wholeBlob(record, body, digest)),
    offset: record.offset,
    algorithm: record.algorithm,
    ...(record.digest !== undefined && isTrusted(record, registry) && { digest: record.digest }),
    hash: hashFor(record, announced, registry),
    keepsHasher: mayFollow(record, announced, digest),
    bytesMax: room.bytesMax,
    ...(announced.kind === 'in-order' ? { bytesExpected: announced.bytes } : {}),
    sync,
    ...(diskRoom && { mayGoOn: () => diskRoom.mayGoOn() }),
  }
  const outcome = await registry.ingest
    .receive(plan, body)
    .catch((error: unknown) => throwLost(error, record, registry))
  switch (outcome.kind) {
    case 'complete':
      // A body may take longer than a rewrap of all keys.
      registry.blobs.sealing?.keepActive()
      return outcome
    case 'too-large':
      throw room.refusal(undefined)
    case 'no-room':
      throw diskRoomRefusal()
    case 'length-differs':
      throw new OciError('SIZE_INVALID', {
        message: 'the body is not as long as Content-Range says',
        detail: { received: outcome.received },
      })
    case 'aborted':
      throw new OciError('BLOB_UPLOAD_INVALID', {
        status: 409,
        message: 'the upload was interrupted, or taken over by another request',
      })
  }
}

/**
 * Staged bytes that a power loss has taken: only a new upload can bring them back. The log tells of them,
 * since nothing else should lose any.
 */
export function throwLost(error: unknown, record: UploadRecord, registry: Registry): never {
  if (!(error instanceof StorageError) || error.kind !== 'corrupt') throw error
  registry.onBackgroundFault(`read the staged bytes of upload ${record.id}`, error)
  throw new OciError('BLOB_UPLOAD_UNKNOWN', {
    message: 'the bytes of this upload were lost; start a new one',
    cause: error,
  })
}

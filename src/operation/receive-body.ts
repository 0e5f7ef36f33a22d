// Takes the body of an upload request to the session's staging place.

import type { RequestBody } from '../http/body.ts'
import { OciError } from '../oci/error.ts'
import { parseContentRange } from '../oci/range.ts'
import type { IngestOutcome, IngestPlan } from '../offload/contract.ts'
import { StorageError } from '../storage/error.ts'
import type { UploadRecord } from '../storage/metadata/contract.ts'
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

/** Chunked sessions hash with a state that can be stored; streamed ones with the faster hash. */
function hashFor(
  record: UploadRecord,
  announced: Announced,
  registry: Registry,
): IngestPlan['hash'] {
  if (announced.kind !== 'in-order' && record.hashState === undefined) return { kind: 'stream' }
  // Without a state the pool reads the staged bytes again.
  return record.hashState === undefined || !isTrusted(record, registry)
    ? { kind: 'exportable' }
    : { kind: 'exportable', state: record.hashState }
}

/**
 * Errors: OciError CONTENT_TOO_LARGE, SIZE_INVALID, BLOB_UPLOAD_INVALID (the client left, or a retry
 * took over; nobody may be there to read it). The session stays where it was. BLOB_UPLOAD_UNKNOWN where
 * its committed bytes are lost.
 */
export async function receiveBody(
  record: UploadRecord,
  announced: Announced,
  body: RequestBody,
  registry: Registry,
  sync: boolean,
): Promise<Extract<IngestOutcome, { kind: 'complete' }>> {
  const plan: IngestPlan = {
    target: registry.blobs.staging(record.id),
    offset: record.offset,
    algorithm: record.algorithm,
    hash: hashFor(record, announced, registry),
    bytesMax: registry.limits.blobBytesMax,
    ...(announced.kind === 'in-order' ? { bytesExpected: announced.bytes } : {}),
    sync,
  }
  const outcome = await registry.ingest.receive(plan, body).catch(throwLost)
  switch (outcome.kind) {
    case 'complete':
      return outcome
    case 'too-large':
      throw new OciError('CONTENT_TOO_LARGE', {
        message: 'the blob is larger than this registry accepts',
        detail: { bytesMax: registry.limits.blobBytesMax },
      })
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

/** Staged bytes that a power loss has taken: only a new upload can bring them back. */
export function throwLost(error: unknown): never {
  if (!(error instanceof StorageError) || error.kind !== 'corrupt') throw error
  throw new OciError('BLOB_UPLOAD_UNKNOWN', {
    message: 'the bytes of this upload were lost; start a new one',
    cause: error,
  })
}

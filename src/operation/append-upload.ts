// PATCH, GET and DELETE of an upload session.

import { apiVersion, unknownReply } from '../http/error-reply.ts'
import { HeaderBlock } from '../http/header-block.ts'
import type { Reply } from '../http/reply.ts'
import type { Action } from '../route/action.ts'
import type { MaybePromise, UploadRecord } from '../storage/metadata/contract.ts'
import { releaseLater, releaseUnchanged, withUpload } from './claim-upload.ts'
import { discardStaged } from './drop-session.ts'
import { announcedRange, receiveBody } from './receive-body.ts'
import { chain, type OperationRequest, type Registry } from './registry.ts'
import { outOfOrderReply, sessionHeaders, sessionReply } from './upload-reply.ts'
import type { Writer } from './upload-table.ts'

type UpdateUpload = Extract<Action, { kind: 'update-upload' }>
type GetUpload = Extract<Action, { kind: 'get-upload' }>
type CancelUpload = Extract<Action, { kind: 'cancel-upload' }>

/**
 * The offset moves when the whole body has arrived, never by part of it: a client that retries does not
 * have to know how far it came. Source: distribution-spec end-5.
 * Errors: as `withUpload`, `announcedRange`, `receiveBody`; 416 for a chunk out of order.
 */
export async function appendUpload(
  action: UpdateUpload,
  request: OperationRequest,
  registry: Registry,
): Promise<Reply> {
  const reply = await withUpload(action, registry, (record, writer) =>
    append(record, writer, request, registry),
  )
  return reply ?? unknownReply('BLOB_UPLOAD_UNKNOWN')
}

async function append(
  record: UploadRecord,
  writer: Writer,
  request: OperationRequest,
  registry: Registry,
): Promise<Reply> {
  try {
    const announced = announcedRange(record, request)
    if (announced.kind === 'out-of-order') {
      await releaseUnchanged(record, registry)
      return outOfOrderReply(registry, record)
    }
    const body = writer.guard(request.body)
    const received = await receiveBody(record, announced, body, registry, {
      digest: undefined,
      sync: false,
    })
    await registry.metadata.saveUpload(record.id, registry.owner(), record.fence, {
      offset: received.offset,
      digest: received.digest,
      ...(received.hashState === undefined ? {} : { hashState: received.hashState }),
      // What hosts share does not end with one of them.
      synced: registry.blobs.spansHosts === true,
      bootId: registry.bootId,
      nowMs: registry.now(),
      release: registry.shared,
    })
    return sessionReply(registry, { ...record, offset: received.offset })
  } catch (error) {
    await releaseUnchanged(record, registry).catch((cause: unknown) => {
      registry.onBackgroundFault('release upload session', cause)
      releaseLater(record.id, registry)
    })
    throw error
  }
}

/** Source: distribution-spec end-13. */
export function uploadStatus(action: GetUpload, registry: Registry): MaybePromise<Reply> {
  return chain(registry.metadata.readUpload(action.upload), (record): Reply => {
    if (record === undefined || record.repository !== action.repository) {
      return unknownReply('BLOB_UPLOAD_UNKNOWN')
    }
    return {
      kind: 'empty',
      status: 204,
      headers: new HeaderBlock(sessionHeaders(registry, record)),
    }
  })
}

/** Source: distribution-spec end-14. Errors: as `withUpload`. */
export async function cancelUpload(action: CancelUpload, registry: Registry): Promise<Reply> {
  const reply = await withUpload(action, registry, async (record): Promise<Reply> => {
    await registry.metadata.removeUpload(record.id, record.fence)
    registry.uploads.close(record.id)
    await discardStaged(record.id, registry)
    return { kind: 'empty', status: 204, headers: new HeaderBlock([apiVersion]) }
  })
  return reply ?? unknownReply('BLOB_UPLOAD_UNKNOWN')
}

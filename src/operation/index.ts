// Action → Reply: every endpoint in one switch, so that a forgotten one does not compile.

import { apiVersion } from '../http/error-reply.ts'
import { HeaderBlock } from '../http/header-block.ts'
import type { Reply } from '../http/reply.ts'
import { OciError } from '../oci/error.ts'
import type { Action } from '../route/action.ts'
import type { MaybePromise } from '../storage/metadata/contract.ts'
import { appendUpload, cancelUpload, uploadStatus } from './append-upload.ts'
import { deleteBlob, deleteManifest } from './delete-content.ts'
import { finishUpload } from './finish-upload.ts'
import { listCatalog, listTags } from './list.ts'
import { listReferrers } from './list-referrers.ts'
import { pullBlob } from './pull-blob.ts'
import { pullManifest } from './pull-manifest.ts'
import { putManifest } from './put-manifest.ts'
import type { OperationRequest, Registry } from './registry.ts'
import { reportSelf } from './self-report.ts'
import type { Sight } from './sight.ts'
import { type MayPull, mountBlob, startUpload } from './start-upload.ts'

const pong: Reply = {
  kind: 'whole',
  status: 200,
  headers: new HeaderBlock([['Content-Type', 'application/json'], apiVersion]),
  body: new TextEncoder().encode('{}'),
}

/** Errors: OciError; StorageError that `storageFault` turns into one. A plain value where no wait is needed. */
export function operate(
  action: Action,
  request: OperationRequest,
  registry: Registry,
  mayPull: MayPull,
  sight: Sight,
): MaybePromise<Reply> {
  // Without it LMDB may answer from a snapshot that is older than another process's 201.
  if (registry.shared) registry.metadata.refresh()
  switch (action.kind) {
    case 'get-api-version':
      return pong
    case 'get-token':
      // The token service answers these itself, where there is one.
      throw new OciError('ROUTE_UNKNOWN')
    case 'metrics':
    case 'healthz':
    case 'readyz':
      return reportSelf(action, registry.report)
    case 'get-manifest':
      return pullManifest(action, request, registry)
    case 'get-blob':
      return pullBlob(action, request, registry)
    case 'put-manifest':
      return putManifest(action, request, registry)
    case 'delete-manifest':
      return deleteManifest(action, registry)
    case 'delete-blob':
      return deleteBlob(action, registry)
    case 'start-upload':
      return startUpload(action, request, registry)
    case 'mount-blob':
      return mountBlob(action, registry, mayPull)
    case 'update-upload':
      return appendUpload(action, request, registry)
    case 'complete-upload':
      return finishUpload(action, request, registry)
    case 'get-upload':
      return uploadStatus(action, registry)
    case 'cancel-upload':
      return cancelUpload(action, registry)
    case 'list-tags':
      return listTags(action, registry, sight)
    case 'list-catalog':
      return listCatalog(action, registry, sight)
    case 'get-referrers':
      return listReferrers(action, registry, sight)
    default:
      return action satisfies never
  }
}

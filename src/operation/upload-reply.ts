// Replies of the upload endpoints.

import { apiVersion, errorReply } from '../http/error-reply.ts'
import { HeaderBlock, type HeaderPair } from '../http/header-block.ts'
import type { Reply } from '../http/reply.ts'
import type { Digest } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/name.ts'
import type { UploadId } from '../oci/upload-id.ts'
import { blobLocation, uploadLocation } from './location.ts'

interface Session {
  readonly id: UploadId
  readonly repository: RepositoryName
  /** Committed bytes. */
  readonly offset: number
}

interface Origin {
  readonly externalUrl: string
}

/**
 * Where a session stands. An empty session says `0-0`, as every registry does, since clients parse it.
 * Source: distribution-spec end-4a, end-5, end-13.
 */
export function sessionHeaders(origin: Origin, session: Session): readonly HeaderPair[] {
  return [
    ['Location', uploadLocation(origin, session.repository, session.id)],
    ['Range', `0-${Math.max(session.offset - 1, 0)}`],
    ['Docker-Upload-UUID', session.id],
    apiVersion,
  ]
}

/** 202: go on with this session. */
export function sessionReply(origin: Origin, session: Session): Reply {
  const headers = new HeaderBlock(sessionHeaders(origin, session))
  return { kind: 'whole', status: 202, headers, body: undefined }
}

/** 201: the repository holds the blob. */
export function blobCreatedReply(
  origin: Origin,
  repository: RepositoryName,
  digest: Digest,
): Reply {
  const headers = new HeaderBlock([
    ['Location', blobLocation(origin, repository, digest)],
    ['Docker-Content-Digest', digest],
    apiVersion,
  ])
  return { kind: 'whole', status: 201, headers, body: undefined }
}

/** 416: the chunk does not start where the session stands; the session lives on. */
export function outOfOrderReply(origin: Origin, session: Session): Reply {
  return errorReply(
    new OciError('BLOB_UPLOAD_INVALID', {
      status: 416,
      message: 'the chunk does not start where the upload stands',
      detail: { offset: session.offset },
      headers: sessionHeaders(origin, session).filter(([name]) => name !== apiVersion[0]),
    }),
  )
}

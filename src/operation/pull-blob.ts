// GET and HEAD of a blob: whole, one range or several, conditional; and the lease that HEAD renews.

import { apiVersion, unknownReply } from '../http/error-reply.ts'
import { HeaderBlock, type HeaderPair } from '../http/header-block.ts'
import type { Reply } from '../http/reply.ts'
import type { Digest } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import { type ByteRange, parseRange } from '../oci/range.ts'
import type { Action } from '../route/action.ts'
import { StorageError } from '../storage/error.ts'
import type { BlobLink, MaybePromise } from '../storage/metadata/contract.ts'
import type { SharedReader } from './blob-readers.ts'
import { BlobSource, MultipartSource } from './blob-source.ts'
import { etagMatches } from './conditional.ts'
import { chain, type OperationRequest, type Registry } from './registry.ts'

type PullBlob = Extract<Action, { kind: 'get-blob' }>

// Content under its digest never changes; who may see it is another matter, so not `public`.
const cacheControl: HeaderPair = ['Cache-Control', 'private, max-age=31536000, immutable']

/** Source: distribution-spec end-2; ranges by RFC 9110 §14. */
export function pullBlob(
  action: PullBlob,
  request: OperationRequest,
  registry: Registry,
): MaybePromise<Reply> {
  return chain(registry.metadata.readBlob(action.repository, action.digest), (link) => {
    if (link === undefined) return unknownReply('BLOB_UNKNOWN')
    if (action.head) return head(action, link, request, registry)
    return get(action, link, request, registry)
  })
}

// HEAD is what a client asks before it decides not to upload: the answer is a promise that the blob
// will still be there when its manifest comes. So it waits for the lease, where one is running out.
function head(
  action: PullBlob,
  link: BlobLink,
  request: OperationRequest,
  registry: Registry,
): MaybePromise<Reply> {
  const etag = `"${action.digest}"`
  const condition = request.header('if-none-match')
  const reply: Reply =
    condition !== '' && etagMatches(condition, etag)
      ? notModified(etag)
      : { kind: 'head', status: 200, headers: blobHeaders(action.digest), length: link.size }
  return chain(keepAlive(action, link, registry), (alive) =>
    alive ? reply : unknownReply('BLOB_UNKNOWN'),
  )
}

/** Renew the lease of an unreferenced blob with less than half of it left; false where it is gone. */
export function keepAlive(
  blob: { readonly repository: PullBlob['repository']; readonly digest: Digest },
  link: BlobLink,
  registry: Registry,
): MaybePromise<boolean> {
  const { graceMs } = registry.limits
  const now = registry.now()
  if (link.referenced || link.leaseUntilMs - now > graceMs / 2) return true
  return registry.metadata.renewLease(blob.repository, blob.digest, now + graceMs)
}

function get(
  action: PullBlob,
  link: BlobLink,
  request: OperationRequest,
  registry: Registry,
): MaybePromise<Reply> {
  const etag = `"${action.digest}"`
  const condition = request.header('if-none-match')
  if (condition !== '' && etagMatches(condition, etag)) {
    return notModified(etag)
  }
  const rangeHeader = request.header('range')
  const ifRange = request.header('if-range')
  const honoured = rangeHeader !== '' && (ifRange === '' || ifRange === etag)
  const answer = honoured ? parseRange(rangeHeader, link.size) : { kind: 'whole' as const }
  if (answer.kind === 'unsatisfiable') {
    throw new OciError('RANGE_INVALID', { headers: [['Content-Range', `bytes */${link.size}`]] })
  }
  return chain(registry.readers.acquire(action.digest), (shared) => {
    // The record says that it is there: answering 404 would tell clients to believe it was never pushed.
    if (shared === undefined) throw new StorageError('corrupt', `no file for ${action.digest}`)
    if (shared.reader.size !== link.size) {
      shared.release()
      throw new StorageError('corrupt', `size of ${action.digest} is not what was recorded`)
    }
    if (answer.kind === 'whole') return whole(action.digest, shared)
    return partial(action.digest, shared, answer.ranges, registry)
  })
}

function whole(digest: Digest, shared: SharedReader): Reply {
  const { size } = shared.reader
  const headers = blobHeaders(digest)
  if (size === 0) {
    shared.release()
    return { kind: 'whole', status: 200, headers, body: undefined }
  }
  const source = new BlobSource(shared, { start: 0, end: size - 1 })
  return { kind: 'stream', status: 200, headers, source }
}

function partial(
  digest: Digest,
  shared: SharedReader,
  ranges: readonly ByteRange[],
  registry: Registry,
): Reply {
  const [first, ...others] = ranges
  if (first !== undefined && others.length === 0) {
    const contentRange = `bytes ${first.start}-${first.end}/${shared.reader.size}`
    const headers = blobHeaders(digest, ['Content-Range', contentRange])
    return { kind: 'stream', status: 206, headers, source: new BlobSource(shared, first) }
  }
  const boundary = registry.randomUuid().replaceAll('-', '')
  const headers = new HeaderBlock([
    ['Content-Type', `multipart/byteranges; boundary=${boundary}`],
    ...commonHeaders(digest),
  ])
  const source = new MultipartSource(shared, ranges, boundary)
  return { kind: 'stream', status: 206, headers, source }
}

// With what a cache would otherwise not renew. Source: RFC 9110 §15.4.5.
function notModified(etag: string): Reply {
  const headers = new HeaderBlock([['ETag', etag], cacheControl, apiVersion])
  return { kind: 'empty', status: 304, headers }
}

function blobHeaders(digest: Digest, ...more: readonly HeaderPair[]): HeaderBlock {
  return new HeaderBlock([
    ['Content-Type', 'application/octet-stream'],
    ...commonHeaders(digest),
    ...more,
  ])
}

function commonHeaders(digest: Digest): readonly HeaderPair[] {
  return [
    ['Docker-Content-Digest', digest],
    ['ETag', `"${digest}"`],
    ['Accept-Ranges', 'bytes'],
    cacheControl,
    apiVersion,
  ]
}

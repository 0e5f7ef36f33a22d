// GET and HEAD of a blob: whole, one range or several, conditional; and the lease that HEAD renews.

import { unknownReply } from '../http/error-reply.ts'
import type { Reply } from '../http/reply.ts'
import type { Digest } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import { parseRange } from '../oci/range.ts'
import type { Action } from '../route/action.ts'
import { StorageError } from '../storage/error.ts'
import type { BlobLink, MaybePromise } from '../storage/metadata/contract.ts'
import { requireUnchanged, type SharedReader } from './blob-readers.ts'
import {
  blobHeaders,
  blobHeadReply,
  blobNotModified,
  partialReply,
  wholeReply,
} from './blob-reply.ts'
import { answerKept, etagMatches } from './conditional.ts'
import { chain, type OperationRequest, type Registry } from './registry.ts'
import type { KeptReply } from './reply-cache.ts'

type PullBlob = Extract<Action, { kind: 'get-blob' }>

interface Pull {
  readonly action: PullBlob
  readonly link: BlobLink
  readonly request: OperationRequest
  readonly registry: Registry
  /** Of the reply cache, when the link was read. */
  readonly version: number
}

// Up to here a blob's bytes are kept with its reply: an open and a read cost more than they do.
const keptBytesMax = 64 * 1024

/** Source: distribution-spec end-2; ranges by RFC 9110 §14. */
export function pullBlob(
  action: PullBlob,
  request: OperationRequest,
  registry: Registry,
): MaybePromise<Reply> {
  const { metadata, replies } = registry
  const kept = replies.get(action)
  const isPlain = action.head || request.header('range') === ''
  if (kept !== undefined && isPlain && !registry.shared && replies.isCurrent(kept)) {
    return answerKept(kept, request)
  }
  // Taken before the read: a write that lands in between makes this answer stale at once, not never.
  const { version } = replies
  return chain(metadata.readBlob(action.repository, action.digest), (link) => {
    if (link === undefined) {
      replies.delete(action)
      return unknownReply('BLOB_UNKNOWN')
    }
    const pull: Pull = { action, link, request, registry, version }
    if (action.head) return head(pull)
    if (kept === undefined || !isPlain) return get(pull)
    kept.version = version
    return answerKept(kept, request)
  })
}

// HEAD is what a client asks before it decides not to upload: the answer is a promise that the blob
// will still be there when its manifest comes. So it waits for the lease, where one is running out.
function head({ action, link, request, registry, version }: Pull): MaybePromise<Reply> {
  const { replies } = registry
  return chain(keepAlive(action, link, registry), (alive) => {
    if (!alive) return unknownReply('BLOB_UNKNOWN')
    const fresh = keep(action, blobHeadReply(action.digest, link.size), 0, version)
    // Only while a manifest names it is there no lease that the next HEAD would have to renew.
    if (link.referenced) replies.set(action, fresh)
    else replies.delete(action)
    return answerKept(fresh, request)
  })
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
  return registry.metadata
    .renewLease(blob.repository, blob.digest, now + graceMs)
    .catch((error: unknown) => {
      // Who asks before a pull must not wait for a lease that still runs.
      const isFrozen = error instanceof StorageError && error.kind === 'frozen'
      if (isFrozen && link.leaseUntilMs > now) return true
      throw error
    })
}

function get({ action, link, request, registry, version }: Pull): MaybePromise<Reply> {
  const { digest } = action
  const etag = `"${digest}"`
  if (etagMatches(request.header('if-none-match'), etag)) return blobNotModified(digest)
  const rangeHeader = request.header('range')
  const ifRange = request.header('if-range')
  const isHonoured = rangeHeader !== '' && (ifRange === '' || ifRange === etag)
  const answer = isHonoured ? parseRange(rangeHeader, link.size) : { kind: 'whole' as const }
  if (answer.kind === 'unsatisfiable') {
    throw new OciError('RANGE_INVALID', { headers: [['Content-Range', `bytes */${link.size}`]] })
  }
  return chain(acquire(action, link, registry), (shared) => {
    if (shared === undefined) return unknownReply('BLOB_UNKNOWN')
    const { size } = link
    const isRange = answer.kind === 'ranges'
    const redirect = registry.redirects?.replyTo({ digest, size, isRange, request })
    if (redirect !== undefined) {
      shared.release()
      // Nobody here reads it, so nobody would notice that it is gone: the next pull looks again.
      registry.readers.drop(digest)
      return redirect
    }
    if (answer.kind === 'ranges') {
      const boundary = registry.randomUuid().replaceAll('-', '')
      return partialReply(digest, shared, answer.ranges, boundary)
    }
    const isKept = link.size <= keptBytesMax && link.size > 0 && !registry.shared
    return isKept ? small(action, shared, version, registry) : wholeReply(digest, shared)
  })
}

/** Undefined where it was deleted meanwhile. Errors: StorageError 'corrupt' where its bytes are not what its record says. */
function acquire(
  action: PullBlob,
  link: BlobLink,
  registry: Registry,
): MaybePromise<SharedReader | undefined> {
  const { readers } = registry
  return chain(readers.acquire(action.digest), (shared) => {
    if (shared !== undefined && shared.reader.size === link.size) return shared
    // What was opened long ago may be another one than what is there now.
    readers.drop(action.digest)
    shared?.release()
    return acquireAgain(action, registry)
  })
}

// Deleted and collected after the record was read, it has no bytes any more: an open that waits for a bucket takes long.
async function acquireAgain(
  { repository, digest }: PullBlob,
  registry: Registry,
): Promise<SharedReader | undefined> {
  const { metadata, readers } = registry
  metadata.refresh()
  const link = await metadata.readBlob(repository, digest)
  if (link === undefined) return undefined
  const shared = await readers.acquire(digest)
  if (shared !== undefined && shared.reader.size === link.size) return shared
  registry.damage?.onFound?.(digest)
  // The record says that it is there: answering 404 would tell clients to believe it was never pushed.
  if (shared === undefined) throw new StorageError('corrupt', `no file for ${digest}`)
  shared.release()
  readers.drop(digest)
  throw new StorageError('corrupt', `size of ${digest} is not what was recorded`)
}

async function small(
  action: PullBlob,
  shared: SharedReader,
  version: number,
  registry: Registry,
): Promise<Reply> {
  try {
    const body = new Uint8Array(shared.reader.size)
    for (let read = 0; read < body.length; ) {
      read += await shared.reader.read(read, body.subarray(read))
    }
    requireUnchanged(shared.reader)
    const headers = blobHeaders(action.digest)
    const reply: Reply = { kind: 'whole', status: 200, headers, body }
    registry.replies.set(action, keep(action, reply, body.length, version))
    return reply
  } finally {
    shared.release()
  }
}

function keep(action: PullBlob, reply: Reply, bytes: number, version: number): KeptReply {
  return {
    digest: action.digest,
    etag: `"${action.digest}"`,
    reply,
    notModified: blobNotModified(action.digest),
    bytes,
    version,
    // Pulls of blobs are not noted; kept replies are all of one shape.
    notedIn: 0,
  }
}

// Replies with a blob's bytes: whole, one range, several.

import { apiVersion } from '../http/error-reply.ts'
import { HeaderBlock, type HeaderPair } from '../http/header-block.ts'
import type { Reply } from '../http/reply.ts'
import type { Digest } from '../oci/digest.ts'
import type { ByteRange } from '../oci/range.ts'
import type { SharedReader } from './blob-readers.ts'
import { BlobSource, MultipartSource } from './blob-source.ts'

// Content under its digest never changes; who may see it is another matter, so not `public`.
const cacheControl: HeaderPair = ['Cache-Control', 'private, max-age=31536000, immutable']

export function wholeReply(digest: Digest, shared: SharedReader): Reply {
  const { size } = shared.reader
  const headers = blobHeaders(digest)
  if (size === 0) {
    shared.release()
    return { kind: 'whole', status: 200, headers, body: undefined }
  }
  const source = new BlobSource(shared, { start: 0, end: size - 1 })
  return { kind: 'stream', status: 200, headers, source }
}

/** Source: RFC 9110 §15.3.7. `boundary` separates the parts where there are several. */
export function partialReply(
  digest: Digest,
  shared: SharedReader,
  ranges: readonly ByteRange[],
  boundary: string,
): Reply {
  const [first, ...others] = ranges
  if (first !== undefined && others.length === 0) {
    const contentRange = `bytes ${first.start}-${first.end}/${shared.reader.size}`
    const headers = blobHeaders(digest, ['Content-Range', contentRange])
    return { kind: 'stream', status: 206, headers, source: new BlobSource(shared, first) }
  }
  const headers = new HeaderBlock([
    ['Content-Type', `multipart/byteranges; boundary=${boundary}`],
    ...commonHeaders(digest),
  ])
  return {
    kind: 'stream',
    status: 206,
    headers,
    source: new MultipartSource(shared, ranges, boundary),
  }
}

export function blobHeadReply(digest: Digest, size: number): Reply {
  return { kind: 'head', status: 200, headers: blobHeaders(digest), length: size }
}

/** With what a cache would otherwise not renew. Source: RFC 9110 §15.4.5. */
export function blobNotModified(digest: Digest): Reply {
  const headers = new HeaderBlock([['ETag', `"${digest}"`], cacheControl, apiVersion])
  return { kind: 'empty', status: 304, headers }
}

export function blobHeaders(digest: Digest, ...more: readonly HeaderPair[]): HeaderBlock {
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

// Where a request ends and the next begins: what node's parser lets through and must be refused.

import type { IncomingMessage } from 'node:http'

/**
 * Why the framing of a request cannot be trusted; undefined where it can. A proxy in front may read
 * such a request otherwise than we do, and what follows it is then a smuggled request.
 * Source: RFC 9112 sections 3.2 and 6.3; test/contract/transport-framing.ts.
 */
export function framingFault(request: IncomingMessage): string | undefined {
  const { headersDistinct, httpVersion } = request
  // The parser takes a bare `DELETE /path` for HTTP/0.9, which knew neither DELETE nor headers.
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 'unknown HTTP version'
  const hosts = headersDistinct['host']?.length ?? 0
  if (hosts > 1) return 'more than one Host header'
  if (hosts === 0 && httpVersion === '1.1') return 'no Host header'
  const lengths = headersDistinct['content-length']
  const codings = headersDistinct['transfer-encoding']
  if (codings !== undefined) {
    if (lengths !== undefined) return 'both Content-Length and Transfer-Encoding'
    if (httpVersion !== '1.1') return 'Transfer-Encoding in HTTP/1.0'
    // Only the single coding `chunked` is understood; anything else leaves the end unknown.
    if (codings.length > 1 || codings[0]?.trim().toLowerCase() !== 'chunked') {
      return 'unknown Transfer-Encoding'
    }
  }
  if (lengths !== undefined && !isOneLength(lengths)) return 'invalid Content-Length'
  return undefined
}

function isOneLength(lengths: readonly string[]): boolean {
  const [length = '', ...others] = lengths
  return others.length === 0 && /^[0-9]+$/.test(length) && Number.isSafeInteger(Number(length))
}

/** The announced length of a trusted request: undefined for chunked, 0 where there is no body. */
export function bodyLength(request: IncomingMessage): number | undefined {
  if (request.headers['transfer-encoding'] !== undefined) return undefined
  return Number(request.headers['content-length'] ?? 0)
}

// Where a request ends and the next begins: what node's parser lets through and must be refused.

import type { IncomingMessage } from 'node:http'

/**
 * Why the framing of a request cannot be trusted; undefined where it can. A proxy in front may read
 * such a request otherwise than we do, and what follows it is then a smuggled request.
 * Source: RFC 9112 sections 3.2 and 6.3; test/contract/transport-framing.ts.
 */
export function framingFault(request: IncomingMessage): string | undefined {
  const { rawHeaders, httpVersion, method } = request
  // The parser takes a bare `DELETE /path` for HTTP/0.9, which knew neither DELETE nor headers.
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 'unknown HTTP version'
  let hosts = 0
  let lengths = 0
  let codings = 0
  let length = '0'
  let coding = ''
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? ''
    // Few names have these lengths, so that most need not be folded to lower case.
    if (name.length === 4 && name.toLowerCase() === 'host') hosts += 1
    else if (name.length === 14 && name.toLowerCase() === 'content-length') {
      lengths += 1
      length = rawHeaders[at + 1] ?? ''
    } else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') {
      codings += 1
      coding = rawHeaders[at + 1] ?? ''
    }
  }
  if (hosts > 1) return 'more than one Host header'
  if (hosts === 0 && httpVersion === '1.1') return 'no Host header'
  if (codings > 0) {
    if (lengths > 0) return 'both Content-Length and Transfer-Encoding'
    if (httpVersion !== '1.1') return 'Transfer-Encoding in HTTP/1.0'
    // Only the single coding `chunked` is understood; anything else leaves the end unknown.
    if (codings > 1 || coding.trim().toLowerCase() !== 'chunked') return 'unknown Transfer-Encoding'
  }
  if (lengths > 1 || !isLength(length)) return 'invalid Content-Length'
  const isBodiless = method === 'GET' || method === 'HEAD' || method === 'DELETE'
  // Proxies disagree on whether such a body exists. Source: RFC 9110 sections 9.3.1, 9.3.2, 9.3.5.
  if (isBodiless && (codings > 0 || Number(length) > 0)) return `a body on ${method}`
  return undefined
}

function isLength(length: string): boolean {
  return length === '0' || (/^[0-9]+$/.test(length) && Number.isSafeInteger(Number(length)))
}

/** The announced length of a trusted request: undefined for chunked, 0 where there is no body. */
export function bodyLength(request: IncomingMessage): number | undefined {
  if (request.headers['transfer-encoding'] !== undefined) return undefined
  return Number(request.headers['content-length'] ?? 0)
}

// Message framing that uWebSockets.js lets through and that two parsers could read differently.

import type { HttpRequest } from 'uWebSockets.js'

export type Framing =
  | { readonly kind: 'none' }
  /** `length` in bytes; undefined for chunked transfer coding. */
  | { readonly kind: 'body'; readonly length: number | undefined }
  | { readonly kind: 'refused'; readonly reason: string }

const none: Framing = { kind: 'none' }

/**
 * How long the body is, or why nobody may guess. uWS takes the first of two differing lengths and
 * ignores transfer codings that it does not know; a proxy in front of us may not.
 * `isRead`: the method is GET or HEAD.
 * Source: RFC 9112 §3.2 and §6.3; test/contract/transport.ts.
 */
export function framingOf(req: HttpRequest, isRead: boolean): Framing {
  const length = req.getHeader('content-length')
  const coding = req.getHeader('transfer-encoding')
  // An empty header looks like an absent one, and two Hosts like one. To tell them apart costs a look
  // at every header, which the reads, whose body nobody wants, are spared.
  if (length === '' && coding === '' && isRead) return none

  const lengths: string[] = []
  const codings: string[] = []
  let hosts = 0
  req.forEach((name, value) => {
    if (name === 'content-length') lengths.push(value)
    if (name === 'transfer-encoding') codings.push(value)
    if (name === 'host') hosts += 1
  })
  if (hosts > 1) return refused('more than one Host')
  if (lengths.length === 0 && codings.length === 0) return none
  if (lengths.length > 1) return refused('more than one Content-Length')
  if (codings.length > 0) {
    if (lengths.length > 0) return refused('both Content-Length and Transfer-Encoding')
    if (codings.length > 1 || codings[0]?.trim().toLowerCase() !== 'chunked') {
      return refused('a Transfer-Encoding other than chunked')
    }
    return { kind: 'body', length: undefined }
  }
  if (!/^\d{1,15}$/.test(length)) return refused('a Content-Length that is not a number')
  return { kind: 'body', length: Number(length) }
}

function refused(reason: string): Framing {
  return { kind: 'refused', reason }
}

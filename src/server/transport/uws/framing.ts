// Message framing that uWebSockets.js lets through and that two parsers could read differently.

import { METHODS } from 'node:http'
import type { RequestHeaders } from './request-headers.ts'

export type Framing =
  | { readonly kind: 'none' }
  /** `length` in bytes; undefined for chunked transfer coding. */
  | { readonly kind: 'body'; readonly length: number | undefined }
  /** `status` where it is not the one of a bad request. */
  | { readonly kind: 'refused'; readonly reason: string; readonly status?: number }

/** A path with its query, in characters; what clients ask for has some hundreds. */
export const targetCharactersMax: number = 8 * 1024
const headCharactersMax = 16 * 1024

// As node's parser, so that both transports refuse the same.
const methods: ReadonlySet<string> = new Set(METHODS)

const none: Framing = { kind: 'none' }
const longTarget = refused(`a target of more than ${targetCharactersMax} bytes`, 414)
const longHead = refused(`headers of more than ${headCharactersMax} bytes`, 431)
const badMethod = refused('a method that is none')
const badByte = refused('a control byte in a header')
const manyHosts = refused('more than one Host')

/**
 * How long the body is, or why nobody may guess. uWS takes the first of two differing lengths and
 * ignores transfer codings that it does not know; a proxy in front of us may not.
 * Source: RFC 9112 §3.2 and §6.3; test/contract/transport.ts.
 */
export function framingOf(
  method: string,
  targetCharacters: number,
  headers: RequestHeaders,
): Framing {
  const isRead = method === 'GET' || method === 'HEAD'
  if (!isRead && !methods.has(method)) return badMethod
  if (targetCharacters > targetCharactersMax) return longTarget
  if (headers.size > headCharactersMax) return longHead
  if (headers.hasBadByte) return badByte
  if (headers.hosts > 1) return manyHosts
  if (headers.lengths === 0 && headers.codings === 0) return none
  const body = bodyOf(headers)
  // None of these has a meaning for a body; an empty one that is announced does no harm.
  if ((!isRead && method !== 'DELETE') || body.kind !== 'body') return body
  return body.length === 0 ? none : refused(`a body with ${method}`)
}

function bodyOf({ lengths, length, codings, coding }: RequestHeaders): Framing {
  if (lengths > 1) return refused('more than one Content-Length')
  if (codings > 0) {
    if (lengths > 0) return refused('both Content-Length and Transfer-Encoding')
    if (codings > 1 || coding.trim().toLowerCase() !== 'chunked') {
      return refused('a Transfer-Encoding other than chunked')
    }
    return { kind: 'body', length: undefined }
  }
  if (!/^\d{1,15}$/.test(length)) return refused('a Content-Length that is not a number')
  return { kind: 'body', length: Number(length) }
}

function refused(reason: string, status?: number): Framing {
  return status === undefined ? { kind: 'refused', reason } : { kind: 'refused', reason, status }
}

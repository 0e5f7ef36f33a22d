// Entity tags in conditional requests.

import { apiVersion } from '../http/error-reply.ts'
import { HeaderBlock } from '../http/header-block.ts'
import type { Reply } from '../http/reply.ts'
import type { OperationRequest } from './registry.ts'
import type { KeptReply } from './reply-cache.ts'

/** Whether If-None-Match covers `etag` (a strong one, quoted). Weak comparison. Source: RFC 9110 §13.1.2. */
export function etagMatches(condition: string, etag: string): boolean {
  if (condition === '') return false
  if (condition === etag || condition.trim() === '*') return true
  return condition.split(',').some((candidate) => candidate.trim().replace(/^W\//, '') === etag)
}

/** 304. Source: RFC 9110 §15.4.5. */
export function notModified(etag: string): Reply {
  return { kind: 'empty', status: 304, headers: new HeaderBlock([['ETag', etag], apiVersion]) }
}

export function answerKept(kept: KeptReply, request: OperationRequest): Reply {
  return etagMatches(request.header('if-none-match'), kept.etag) ? kept.notModified : kept.reply
}

// OciError → HTTP. The one place that knows how a refusal looks on the wire.

import { type ErrorCode, errorTable, OciError } from '../oci/error.ts'
import { HeaderBlock, type HeaderPair } from './header-block.ts'
import type { Reply } from './reply.ts'

/** Sent with every reply. Source: distribution-spec "Endpoints", Docker Registry HTTP API V2. */
export const apiVersion: HeaderPair = ['Docker-Distribution-Api-Version', 'registry/2.0']

const encoder = new TextEncoder()
const jsonType: HeaderPair = ['Content-Type', 'application/json']

/**
 * The reply for a refusal. A 5xx carries its code and the request id only, since its message could
 * tell of what is behind the registry. A request id is a header of any. Source: distribution-spec
 * "Error Codes".
 */
export function errorReply(error: OciError, requestId?: string): Reply {
  const isFault = error.status >= 500
  const detail = isFault ? (requestId === undefined ? undefined : { requestId }) : error.detail
  const entry = {
    code: error.code,
    message: isFault ? errorTable[error.code].message : error.message,
    ...(detail === undefined ? {} : { detail }),
  }
  const id = requestId === undefined ? [] : [['X-Request-Id', requestId] as const]
  return {
    kind: 'whole',
    status: error.status,
    headers: new HeaderBlock([jsonType, apiVersion, ...error.headers, ...id]),
    body: encoder.encode(JSON.stringify({ errors: [entry] })),
    closeConnection: error.closeConnection,
  }
}

const unknownReplies = new Map<ErrorCode, Reply>()

/** An expected answer, such as *no such blob*: made once, since clients probe before they push. */
export function unknownReply(
  code: 'BLOB_UNKNOWN' | 'MANIFEST_UNKNOWN' | 'NAME_UNKNOWN' | 'BLOB_UPLOAD_UNKNOWN',
): Reply {
  const known = unknownReplies.get(code)
  if (known !== undefined) return known
  const reply = errorReply(new OciError(code))
  unknownReplies.set(code, reply)
  return reply
}

// Every answer that is a refusal or a fault, as one table of OCI error codes.

/** Source: distribution-spec "Error Codes"; the rows after UNSUPPORTED are ours, in the same form. */
export const errorTable = {
  BLOB_UNKNOWN: { status: 404, message: 'blob unknown to this repository' },
  BLOB_UPLOAD_INVALID: { status: 400, message: 'blob upload is not valid' },
  BLOB_UPLOAD_UNKNOWN: { status: 404, message: 'blob upload unknown to the registry' },
  DIGEST_INVALID: { status: 400, message: 'digest is malformed or does not match the content' },
  MANIFEST_BLOB_UNKNOWN: {
    status: 404,
    message: 'manifest names content unknown to this repository',
  },
  MANIFEST_INVALID: { status: 400, message: 'manifest is not valid' },
  MANIFEST_UNKNOWN: { status: 404, message: 'manifest unknown to this repository' },
  NAME_INVALID: { status: 400, message: 'repository name is not valid' },
  NAME_UNKNOWN: { status: 404, message: 'repository name not known to the registry' },
  SIZE_INVALID: { status: 400, message: 'length does not match the content' },
  TAG_INVALID: { status: 400, message: 'tag is not valid' },
  UNAUTHORIZED: { status: 401, message: 'authentication required' },
  DENIED: { status: 403, message: 'access to the resource is denied' },
  UNSUPPORTED: { status: 405, message: 'the operation is not supported' },
  PAGINATION_INVALID: { status: 400, message: 'n or last is not valid' },
  RANGE_INVALID: { status: 416, message: 'range cannot be satisfied' },
  REQUEST_INVALID: { status: 400, message: 'the request is malformed' },
  ROUTE_UNKNOWN: { status: 404, message: 'no such endpoint' },
  CONTENT_TOO_LARGE: { status: 413, message: 'content is larger than the registry accepts' },
  TOOMANYREQUESTS: { status: 429, message: 'too many requests' },
  UNAVAILABLE: { status: 503, message: 'the service is temporarily unavailable' },
  READ_ONLY: {
    status: 503,
    message: 'the registry takes no writes while it is moved; pulls go on',
  },
  STORAGE_FULL: { status: 507, message: 'storage is full' },
  INTERNAL: { status: 500, message: 'internal error' },
} as const

export type ErrorCode = keyof typeof errorTable

interface OciErrorOptions {
  /** Replaces the status of the table, where the spec gives one code two statuses. */
  readonly status?: number
  /** Replaces the message of the table. Never carries anything internal. */
  readonly message?: string
  /** Goes to the client as `detail`. */
  readonly detail?: unknown
  /** Extra response headers, such as `Retry-After` in seconds or `Allow`. */
  readonly headers?: ReadonlyArray<readonly [name: string, value: string]>
  /** The connection is closed after the answer, since its framing cannot be trusted any more. */
  readonly closeConnection?: boolean
  readonly cause?: unknown
}

/**
 * A refusal or a fault on its way to the client.
 * Source: distribution-spec "Error Codes"; `server/reply` alone turns it into HTTP.
 */
export class OciError extends Error {
  override readonly name = 'OciError'
  readonly code: ErrorCode
  readonly status: number
  readonly detail: unknown
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly closeConnection: boolean

  constructor(code: ErrorCode, options: OciErrorOptions = {}) {
    super(options.message ?? errorTable[code].message, { cause: options.cause })
    this.code = code
    this.status = options.status ?? errorTable[code].status
    this.detail = options.detail
    this.headers = options.headers ?? []
    this.closeConnection = options.closeConnection ?? false
  }
}

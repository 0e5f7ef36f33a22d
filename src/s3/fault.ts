// What an S3 says, or fails to say, as one kind of error. Absence is what it said of a key, never of a bucket.

import type { S3Attempt } from './contract.ts'

/**
 * - `absent`: there is no such object, or no such multipart upload.
 * - `exists`: a condition on the key was not met: something else is there, or what was there is not any more.
 * - `full`: it has no room.
 * - `unavailable`: nothing can be concluded.
 */
export type S3FaultKind = 'absent' | 'exists' | 'full' | 'unavailable'

export class S3Fault extends Error {
  readonly kind: S3FaultKind
  /** As S3 names it, or the system. */
  readonly code: string
  readonly mayRetry: boolean
  readonly result: S3Attempt['result']
  /** What it says of the bucket as a whole: it works, it does not, or nothing. */
  readonly says: 'well' | 'ill' | 'nothing'

  constructor(
    kind: S3FaultKind,
    code: string,
    message: string,
    how: {
      readonly mayRetry: boolean
      readonly result: S3Attempt['result']
      readonly says?: 'nothing'
      readonly cause?: unknown
    },
  ) {
    super(message, { cause: how.cause })
    this.kind = kind
    this.code = code
    this.mayRetry = how.mayRetry
    this.result = how.result
    const isIll = how.result === 'timeout' || how.result === 'fault'
    this.says = how.says ?? (isIll ? 'ill' : 'well')
  }
}

const absentCodes: ReadonlySet<string> = new Set(['NoSuchKey', 'NoSuchUpload'])
const fullCodes: ReadonlySet<string> = new Set([
  'QuotaExceeded',
  'XMinioStorageFull',
  'XMinioAdminBucketQuotaExceeded',
  'InsufficientStorage',
])
const throttleCodes: ReadonlySet<string> = new Set([
  'SlowDown',
  'TooManyRequests',
  'RequestLimitExceeded',
  'ThrottlingException',
  'Throttling',
])
// Of these the next attempt may fare better, whatever the status: the SDK learns the time of the server from the first.
const passingCodes: ReadonlySet<string> = new Set([
  'RequestTimeTooSkewed',
  'RequestTimeout',
  'ConditionalRequestConflict',
  'OperationAborted',
  'InternalError',
  // versitygw over a file system, where another request removes the empty folder meanwhile: no key of ours is a folder.
  'ExistingObjectIsDirectory',
])

interface Told {
  readonly name?: unknown
  readonly code?: unknown
  readonly message?: unknown
  readonly $metadata?: { readonly httpStatusCode?: number }
}

/** Of whatever a call has thrown. `what`: for people, what was tried. Never holds a key or a signature. */
export function s3Fault(what: string, cause: unknown): S3Fault {
  if (cause instanceof S3Fault) return cause
  const told = (typeof cause === 'object' && cause !== null ? cause : {}) as Told
  const status = told.$metadata?.httpStatusCode
  const code = codeOf(told)
  const message = `${what}: ${code}${status === undefined ? '' : ` (${status})`}`
  const fault = (kind: S3FaultKind, result: S3Attempt['result'], mayRetry: boolean): S3Fault =>
    new S3Fault(kind, code, message, { mayRetry, result, cause: plainCause(cause, code, status) })
  if (absentCodes.has(code)) return fault('absent', 'absent', false)
  if (fullCodes.has(code) || status === 507) return fault('full', 'refused', false)
  if (throttleCodes.has(code) || status === 429) return fault('unavailable', 'throttled', true)
  if (passingCodes.has(code)) return fault('unavailable', 'fault', true)
  if (status === 412 || status === 304) return fault('exists', 'conflict', false)
  if (status === 501) return fault('unavailable', 'refused', false)
  if (status === undefined || status >= 500) {
    return new S3Fault('unavailable', code, message, {
      ...{ mayRetry: isPassing(told), result: 'fault', cause: plainCause(cause, code, status) },
      // Without credentials nothing was sent. A 503 without a code, as to a HEAD, may ask to slow down.
      ...(told.name === 'CredentialsProviderError' || (status === 503 && isNameless(code))
        ? { says: 'nothing' as const }
        : {}),
    })
  }
  // A body that was cut, or an answer that is none of S3's.
  if (status < 400) return fault('unavailable', 'fault', true)
  return fault('unavailable', 'refused', false)
}

// The SDK hangs every field of an answer on its errors: what was signed, with which key, and the session's token.
function plainCause(cause: unknown, code: string, status: number | undefined): Error {
  const { $metadata, stack } = (cause ?? {}) as {
    readonly $metadata?: { readonly requestId?: string }
    readonly stack?: string
  }
  const plain = new Error(status === undefined ? code : `${code} (${status})`)
  // Its first lines are the message, which is the bucket's own text.
  const frames = stack?.split('\n').filter((line) => /^\s+at /.test(line)) ?? []
  plain.stack = [`Error: ${plain.message}`, ...frames].join('\n')
  const requestId = $metadata?.requestId
  return requestId === undefined ? plain : Object.assign(plain, { requestId })
}

/** No answer in time. */
export function timeoutFault(what: string, timeoutMs: number): S3Fault {
  const message = `${what}: no answer within ${timeoutMs} ms`
  return new S3Fault('unavailable', 'Timeout', message, { mayRetry: true, result: 'timeout' })
}

/** Nothing was sent, since what was sent before has failed so often. */
export function leftAlone(what: string, lastCode: string): S3Fault {
  const message = `${what}: the bucket is left alone for a while after ${lastCode}`
  const how = { mayRetry: false, result: 'fault', says: 'nothing' } as const
  return new S3Fault('unavailable', 'LeftAlone', message, how)
}

/** What came is not what was asked for: shorter, or other bytes. */
export function wrongBytes(what: string, detail: string): S3Fault {
  return new S3Fault('unavailable', 'WrongBytes', `${what}: ${detail}`, {
    ...{ mayRetry: true, result: 'fault' },
  })
}

// Without credentials, or where a certificate is not trusted, another attempt changes nothing.
function isPassing({ name, code }: Told): boolean {
  if (name === 'CredentialsProviderError' || name === 'TypeError') return false
  return !(typeof code === 'string' && /CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL/.test(code))
}

function isNameless(code: string): boolean {
  return code === '503' || code === 'UnknownError' || code === 'Unknown'
}

function codeOf({ name, code, message }: Told): string {
  if (typeof code === 'string' && /^[\w-]{1,64}$/.test(code)) return code
  const isPlain = typeof name === 'string' && name !== 'Error' && /^[\w-]{1,64}$/.test(name)
  if (isPlain) return name
  return typeof message === 'string' && /^[\w :.-]{1,64}$/.test(message) ? message : 'fault'
}

// URLs that let their bearer read one object for a while: Signature Version 4 in the query. Whoever has one may use it, so
// it is as secret as a password for as long as it is valid.

import { createHash, createHmac } from 'node:crypto'
import type { S3Credentials } from './contract.ts'

const algorithm = 'AWS4-HMAC-SHA256'
/** Source: Amazon S3, "Authenticating Requests: Using Query Parameters": seven days. */
export const presignedSecondsMax: number = 7 * 24 * 3600

export interface PresignTerms {
  /** Of the bucket, for the clients; with the bucket in its host or its path. */
  readonly bucketUrl: URL
  readonly region: string
  readonly key: string
  readonly credentials: S3Credentials
  /** Milliseconds since 1970. */
  readonly nowMs: number
  /** Whole, from 1 to `presignedSecondsMax`. */
  readonly seconds: number
}

/**
 * For a GET, with any range. Nothing is asked of the bucket.
 * Source: Amazon S3, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
 */
export function presignedGet(terms: PresignTerms): string {
  const { bucketUrl, region, key, credentials, nowMs, seconds } = terms
  const time = new Date(nowMs).toISOString().replace(/[-:]|\.\d{3}/g, '')
  const scope = [time.slice(0, 8), region, 's3', 'aws4_request'] as const
  const { sessionToken } = credentials
  const fields: readonly (readonly [string, string])[] = [
    ['X-Amz-Algorithm', algorithm],
    ['X-Amz-Credential', [credentials.accessKeyId, ...scope].join('/')],
    ['X-Amz-Date', time],
    ['X-Amz-Expires', String(seconds)],
    ...(sessionToken === undefined ? [] : [['X-Amz-Security-Token', sessionToken] as const]),
    ['X-Amz-SignedHeaders', 'host'],
  ]
  const query = fields.map(([name, value]) => `${name}=${encode(value)}`).join('&')
  const path = `${bucketUrl.pathname.replace(/\/$/, '')}/${key.split('/').map(encode).join('/')}`
  const request = ['GET', path, query, `host:${bucketUrl.host}`, '', 'host', 'UNSIGNED-PAYLOAD']
  const text = [algorithm, time, scope.join('/'), sha256(request.join('\n'))].join('\n')
  const first: string | Buffer = `AWS4${credentials.secretAccessKey}`
  const signingKey = scope.reduce<string | Buffer>(hmac, first)
  const signature = hmac(signingKey, text).toString('hex')
  return `${bucketUrl.origin}${path}?${query}&X-Amz-Signature=${signature}`
}

// RFC 3986: what encodeURIComponent leaves alone beyond it.
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

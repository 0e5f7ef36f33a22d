// Goal: only those pulls are redirected that shall be, and no address outlives the credentials that signed it. Method: the
// rule alone, with a clock of the test's own.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOfBytes } from '../../src/oci/digest.ts'
import { createPullRedirects, type RedirectTerms } from '../../src/operation/pull-redirects.ts'
import type { S3Credentials } from '../../src/s3/contract.ts'
import { createAddresses } from '../../src/storage/blob/s3/addresses.ts'

const digest = digestOfBytes('sha256', Buffer.from('x'))
const terms: RedirectTerms = { sizeMin: 100, ranges: false, networks: ['10.0.0.0/8', 'fd00::/8'] }

function redirects(
  more: Partial<RedirectTerms>,
  pull: {
    readonly size?: number
    readonly isRange?: boolean
    readonly client?: string | undefined
  },
): boolean {
  const address = 'https://s3.test/x?signed'
  let told = 0
  const rule = createPullRedirects({ ...terms, ...more }, { addressOf: () => address }, () => {
    told += 1
  })
  const { size = 100, isRange = false } = pull
  const client = 'client' in pull ? pull.client : '10.1.2.3'
  const request = { provenClientIp: () => client }
  const reply = rule.replyTo({ digest, size, isRange, request })
  assert.equal(told, reply === undefined ? 0 : 1)
  if (reply === undefined) return false
  assert.equal(reply.status, 307)
  assert.equal(reply.kind === 'whole' && reply.body, undefined)
  const headers = new Map(reply.headers.pairs)
  assert.equal(headers.get('Location'), address)
  assert.equal(headers.get('Docker-Content-Digest'), digest)
  assert.equal(headers.get('Cache-Control'), 'no-store')
  return true
}

test('large blobs are redirected, small ones are not', () => {
  assert.equal(redirects({}, { size: 100 }), true)
  assert.equal(redirects({}, { size: 99 }), false)
})

test('a range is redirected where that is asked for', () => {
  assert.equal(redirects({}, { isRange: true }), false)
  assert.equal(redirects({ ranges: true }, { isRange: true }), true)
})

test('clients of other networks, and those that nobody knows, are served', () => {
  assert.equal(redirects({}, { client: 'fd00::1' }), true)
  for (const client of ['192.0.2.1', '2001:db8::1', '', undefined]) {
    assert.equal(redirects({}, { client }), false, client)
  }
  assert.equal(redirects({ networks: [] }, {}), false)
})

test('an address ends with the credentials that have signed it', () => {
  const nowMs = Date.UTC(2026, 0, 1)
  const secondsOf = (expiresAtMs?: number): string | undefined => {
    const credentials: S3Credentials = {
      ...{ accessKeyId: 'a', secretAccessKey: 'b' },
      ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
    }
    const address = createAddresses({
      ...{ bucketUrl: new URL('https://s3.test/blobs'), region: 'us-east-1', root: 'root/' },
      ...{ expiryMs: 300_000, credentials: () => credentials, now: () => nowMs },
    }).addressOf(digest)
    if (address === undefined) return undefined
    const { pathname, searchParams } = new URL(address)
    assert.match(pathname, /^\/blobs\/root\/blobs\/sha256\/..\/[0-9a-f]{64}\/data$/)
    return searchParams.get('X-Amz-Expires') ?? ''
  }
  assert.equal(secondsOf(), '300')
  assert.equal(secondsOf(nowMs + 3_600_000), '300')
  assert.equal(secondsOf(nowMs + 60_999), '60')
  assert.equal(secondsOf(nowMs + 9_999), undefined)
})

// Which headers every reply of a listener carries.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { replyHeaders } from '../../src/server/reply-headers.ts'

function hsts(hstsMaxAgeMs: number, tls: boolean): string | undefined {
  const headers = { hstsMaxAgeMs, contentSecurityPolicy: '', nosniff: false }
  return new Map(replyHeaders(headers, tls)).get('Strict-Transport-Security')
}

test('HSTS is sent on TLS alone, in whole seconds, and never as 0, which would take it back', () => {
  assert.equal(hsts(31_536_000_000, true), 'max-age=31536000')
  assert.equal(hsts(1_999, true), 'max-age=1')
  for (const ms of [0, 500, 999]) assert.equal(hsts(ms, true), undefined)
  assert.equal(hsts(31_536_000_000, false), undefined)
})

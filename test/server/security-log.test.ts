// What the log says of refused certificates: enough to find the client, and never a flood.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { certificateLog } from '../../src/server/security-log.ts'
import type { Logger } from '../../src/telemetry/log.ts'

test('refused certificates are logged, ten in ten seconds, and the others are counted', () => {
  const lines: Array<Record<string, unknown>> = []
  let nowMs = 0
  const log = { warn: (fields: Record<string, unknown>) => lines.push(fields) }
  const refuse = certificateLog(log as unknown as Logger, () => nowMs)
  const refusal = { reason: 'CERT_HAS_EXPIRED', subject: 'CN=a', serial: '01', address: '::1' }
  for (let i = 0; i < 25; i += 1) refuse(refusal)
  assert.equal(lines.length, 10)
  assert.deepEqual(lines[0], refusal)
  nowMs = 10_001
  refuse(refusal)
  refuse(refusal)
  assert.deepEqual(lines.slice(10), [{ ...refusal, untold: 15 }, refusal])
})

// Goal: an operator hears of an end in time, and of no list that is renewed as it should be. Method:
// terms with dates, and what is said of them at one time.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Term } from '../../../src/server/tls/load.ts'
import { noticesOf } from '../../../src/server/tls/terms.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const nowMs = Date.parse('2026-01-01T00:00:00Z')

function severity(kind: Term['kind'], lifeMs: number, leftMs: number): string | undefined {
  const untilMs = nowMs + leftMs
  const term: Term = { kind, file: '/tls/file', fromMs: untilMs - lifeMs, untilMs }
  return noticesOf([term], nowMs)[0]?.severity
}

test('a certificate is warned of two weeks before its end', () => {
  assert.equal(severity('certificate', 90 * dayMs, 14 * dayMs + 1), undefined)
  assert.equal(severity('certificate', 90 * dayMs, 14 * dayMs), 'warning')
  assert.equal(severity('certificate', 90 * dayMs, 0), 'warning')
  assert.equal(severity('certificate', 90 * dayMs, -1), 'error')
})

for (const kind of ['crl', 'ocsp'] as const) {
  test(`a ${kind} is warned of in its last quarter, a day before its end at most`, () => {
    assert.equal(severity(kind, 30 * dayMs, dayMs + 1), undefined)
    assert.equal(severity(kind, 30 * dayMs, dayMs), 'warning')
    assert.equal(severity(kind, dayMs, 6 * hourMs + 1), undefined)
    assert.equal(severity(kind, dayMs, 6 * hourMs), 'warning')
    assert.equal(severity(kind, dayMs, -1), 'error')
  })
}

test('a notice names the file and the time', () => {
  const term: Term = {
    kind: 'crl',
    file: '/tls/a.crl',
    fromMs: nowMs - dayMs,
    untilMs: nowMs - 1000,
  }
  const [notice] = noticesOf([term], nowMs)
  assert.match(notice?.message ?? '', /\/tls\/a.crl ended at 2025-12-31T23:59:59Z: .*refused/)
})

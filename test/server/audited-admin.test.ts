// Goal: what operators do is recorded, and not done where it cannot be. Method: calls and the route for
// decisions, with an audit log that has room or has none.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DecisionTrace } from '../../src/audit/decision-trace.ts'
import type { AdminEvent } from '../../src/audit/event-record.ts'
import { OciError } from '../../src/oci/error.ts'
import type { AdminCalls } from '../../src/server/admin.ts'
import { auditedCalls, decisionRoute, guardedCalls } from '../../src/server/audited-admin.ts'

const id = '00000000-0000-4000-8000-000000000000'

function auditWith(hasRoom: boolean) {
  const told: AdminEvent[] = []
  const audit = {
    trace: new DecisionTrace(),
    admin: (event: AdminEvent) => void told.push(event),
    assertRoom: () => {
      if (!hasRoom) throw new OciError('UNAVAILABLE')
    },
  }
  return { audit, told }
}

const done: unknown[] = []
const calls: AdminCalls = {
  '/usage/recount': async (input) => {
    done.push(input)
    return { status: 200, body: { counted: 1 } }
  },
  '/refuses': async () => ({ status: 409, body: { error: 'not now' } }),
  '/fails': () => Promise.reject(new Error('the store is away')),
}
const given = { repository: 'a' }
const subject = '{"repository":"a"}'

test('a call is recorded with what it was given and came to', async () => {
  const { audit, told } = auditWith(true)
  const audited = auditedCalls(calls, audit)
  assert.deepEqual(await audited['/usage/recount']?.(given), { status: 200, body: { counted: 1 } })
  assert.equal((await audited['/refuses']?.(given))?.status, 409)
  await assert.rejects(audited['/fails']?.(given) ?? Promise.resolve(), /the store is away/)
  assert.deepEqual(told, [
    { call: 'usage recount', result: 'done', subject, reason: null },
    { call: 'refuses', result: 'refused', subject, reason: 'not now' },
    { call: 'fails', result: 'refused', subject, reason: 'failed' },
  ])
})

test('a call that tells itself is not recorded twice', async () => {
  const { audit, told } = auditWith(true)
  assert.equal((await guardedCalls(calls, audit)['/usage/recount']?.(given))?.status, 200)
  assert.deepEqual(told, [])
})

test('without room nothing is done', async () => {
  const { audit, told } = auditWith(false)
  done.length = 0
  for (const wrapped of [guardedCalls(calls, audit), auditedCalls(calls, audit)]) {
    assert.equal((await wrapped['/usage/recount']?.(given))?.status, 503)
  }
  assert.equal(decisionRoute(audit)(new URLSearchParams({ id })).status, 503)
  assert.deepEqual([done, told], [[], []])
})

test('who looks up a decision is recorded', () => {
  const { audit, told } = auditWith(true)
  const route = decisionRoute(audit)
  assert.equal(route(new URLSearchParams({ id })).status, 404)
  assert.equal(route(new URLSearchParams()).status, 400)
  const call = 'policy explain'
  assert.deepEqual(told, [
    { call, result: 'refused', subject: id, reason: 'unknown' },
    { call, result: 'refused', subject: null, reason: 'malformed' },
  ])
})

// Goal: lines are built after the replies of their turn, wait in bounds, and are lost in public. Method:
// a logger that keeps what it is told, and records of a test.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AccessCounts, AccessLog, accessLine } from '../../src/telemetry/access-log.ts'
import type { Logger } from '../../src/telemetry/log.ts'
import type { RequestRecord } from '../../src/telemetry/request-record.ts'
import { until } from '../support/until.ts'
import { record } from './request-records.ts'

interface Told {
  readonly lines: unknown[]
  readonly warnings: unknown[]
  readonly log: Logger
}

function listen(isEnabled = true): Told {
  const lines: unknown[] = []
  const warnings: unknown[] = []
  const log = {
    info: (line: unknown) => lines.push(line),
    warn: (line: unknown) => warnings.push(line),
    isLevelEnabled: () => isEnabled,
  } as unknown as Logger
  return { lines, warnings, log }
}

const all = { access: 'all', accessSample: 1 } as const

test('nothing is written in the turn of the request, and all of it soon after', async () => {
  const { lines, log } = listen()
  const counts = new AccessCounts()
  const access = new AccessLog(all, log, counts, () => 0)
  for (let i = 0; i < 200; i++) access.add(record({ bytesOut: i }))
  assert.equal(lines.length, 0)
  await until('all lines', () => lines.length === 200)
  const order = lines.map((line) => (line as { readonly bytesOut: number }).bytesOut)
  assert.deepEqual(order, [...order.keys()])
  assert.deepEqual([counts.lines, counts.dropped], [200, 0])
})

test('what has no place to wait is counted, and told once in a while', async () => {
  const { lines, warnings, log } = listen()
  const counts = new AccessCounts()
  let now = 0
  const access = new AccessLog(all, log, counts, () => now)
  const flood = async (): Promise<void> => {
    const before = lines.length
    for (let i = 0; i < 8192 + 100; i++) access.add(record())
    await until('what waited', () => lines.length === before + 8192)
  }
  await flood()
  assert.deepEqual([counts.lines, counts.dropped], [8192, 100])
  assert.deepEqual(warnings, [{ dropped: 100 }])
  await flood()
  assert.equal(warnings.length, 1)
  now = 10_000
  access.add(record())
  await until('the next word', () => warnings.length === 2)
  assert.deepEqual(warnings[1], { dropped: 100 })
})

test('where its level is not logged, no line is built', async () => {
  const { lines, log } = listen(false)
  const access = new AccessLog(all, log, new AccessCounts(), () => 0)
  let looks = 0
  const watched: RequestRecord = new Proxy(record(), {
    get: (target, name) => {
      looks += 1
      return Reflect.get(target, name)
    },
  })
  access.add(watched)
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  assert.deepEqual([lines.length, looks], [0, 0])
})

test('each choice picks what it names', () => {
  const read = record({ action: { kind: 'get-blob' } })
  const records = {
    read,
    write: record({ action: { kind: 'put-manifest' } }),
    refused: record({ action: { kind: 'get-blob' }, status: 403 }),
    aborted: record({ action: { kind: 'get-blob' }, aborted: true }),
    /** What a client asks before it pushes. */
    probe: record({ action: { kind: 'get-blob' }, method: 'HEAD', status: 404 }),
    missed: record({ action: { kind: 'get-blob' }, method: 'GET', status: 404 }),
    unknown: record({ action: { kind: 'get-manifest' }, method: 'HEAD', status: 404 }),
    /** An action that is not known to be a read. */
    other: record({ action: { kind: 'something-new' } }),
  }
  for (const [choice, expected] of [
    ['failed', ['refused', 'aborted', 'missed', 'unknown']],
    ['writes', ['write', 'refused', 'aborted', 'missed', 'unknown', 'other']],
    ['all', Object.keys(records)],
    ['none', []],
  ] as const) {
    const config = { access: choice, accessSample: 1 }
    const access = new AccessLog(config, listen().log, new AccessCounts(), () => 0)
    const picked = Object.entries(records).filter(([, each]) => access.picks(each))
    assert.deepEqual(
      picked.map(([name]) => name),
      expected,
    )
  }
})

test('a line has bounds, whatever a client or a provider writes', () => {
  const long = 'x'.repeat(100_000)
  const line = accessLine(
    record({
      ...{ method: long, path: long, userAgent: long, action: undefined },
      identity: { username: long, authMethod: 'oidc' },
    }),
  )
  assert.ok(JSON.stringify(line).length < 2000)
})

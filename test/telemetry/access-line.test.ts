// Goal: the short way to a line of the access log writes what the log's formatter would, to the byte, or
// leaves the line to it. Method: both ways into logs of a test, for every form of log and record.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AccessLines } from '../../src/telemetry/access-line.ts'
import { accessLine } from '../../src/telemetry/access-log.ts'
import { createLogOn, type Log, type LogPlace, plainLinesOf } from '../../src/telemetry/log.ts'
import type { RequestRecord } from '../../src/telemetry/request-record.ts'
import { record } from './request-records.ts'

interface Kept extends Log {
  text(): string
}

function keep(place: Partial<LogPlace> = {}): Kept {
  let text = ''
  const log = createLogOn(
    {
      write: (bytes, done) => {
        text += Buffer.from(bytes).toString()
        setImmediate(done, undefined, bytes.length)
      },
      writeNow: () => {},
      keepsApart: true,
    },
    { level: 'info', format: 'json', isForJournal: false, onFault: assert.fail, ...place },
  )
  return { ...log, text: () => text }
}

const digest = `sha256:${'0a'.repeat(32)}`
const known = { identity: { username: 'ci "the" builder\\', authMethod: 'basic' } }
const byTag = { kind: 'tag', tag: 'v1.2' } as const
const records: Readonly<Record<string, RequestRecord>> = {
  anonymous: record({ identity: { username: null, authMethod: 'anonymous' } }),
  tag: record({
    ...known,
    action: { kind: 'get-manifest', repository: 'team/app', reference: byTag },
  }),
  digest: record({
    ...known,
    action: { kind: 'get-manifest', repository: 'a', reference: { kind: 'digest', digest } },
  }),
  blob: record({ ...known, action: { kind: 'get-blob', repository: 'a', digest }, method: 'HEAD' }),
  untimed: record({ ...known, durationMs: undefined }),
  timed: record({ ...known, durationMs: 12.345_678_9 }),
  quick: record({ ...known, durationMs: 0.000_01 }),
  missing: record({ ...known, status: 404, bytesIn: 7, bytesOut: 123_456_789_012 }),
  quotes: record({ ...known, userAgent: 'Mozilla/5.0 ("x"; \\)', address: '2001:db8::1' }),
  unnamed: record({ ...known, userAgent: '', address: '' }),
}

const unusual: Readonly<Record<string, RequestRecord>> = {
  write: record({ ...known, method: 'PUT', action: { kind: 'put-manifest' } }),
  unknown: record({ identity: undefined }),
  lost: record({ ...known, action: undefined }),
  aborted: record({ ...known, aborted: true }),
  refused: record({ ...known, decisionId: 'id' }),
  traced: record({ ...known, traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` }),
  forwarded: record({ ...known, isForwarded: true }),
  control: record({ ...known, userAgent: 'a\u001b[31mb' }),
  foreign: record({ ...known, userAgent: 'häuser' }),
  long: record({ ...known, userAgent: 'x'.repeat(257) }),
  zone: record({ ...known, address: 'fe80::1%ü' }),
  somebody: record({ identity: { username: 'jö', authMethod: 'basic' } }),
  someone: record({ identity: { username: 'x'.repeat(257), authMethod: 'basic' } }),
}

function linesOf(log: Log): AccessLines {
  const plain = plainLinesOf(log.log)
  assert.ok(plain)
  return new AccessLines(plain)
}

const place = { alone: {}, one: { process: 2 }, journal: { isForJournal: true } } as const

for (const [name, where] of Object.entries(place)) {
  test(`the short way says what the formatter says: ${name}`, async () => {
    const [short, long] = [keep(where), keep(where)]
    const lines = linesOf(short)
    // The second time its pieces are remembered.
    for (const each of [...Object.values(records), ...Object.values(records)]) {
      assert.ok(lines.write(each))
      long.log.info(accessLine(each), 'request')
    }
    const count = 2 * Object.keys(records).length
    const shownBy = (log: Kept): readonly string[] =>
      log
        .text()
        .replaceAll(/"time":"[\dTZ:.-]{24}"/g, '"time":""')
        .split('\n')
    assert.deepEqual(await Promise.all([short.flush(), long.flush()]), [true, true])
    assert.equal(shownBy(long).length, count + 1)
    assert.deepEqual(shownBy(short), shownBy(long))
    assert.equal(short.figures().written, count)
  })
}

test('a line that is not plain is left to the formatter', () => {
  const log = keep()
  const lines = linesOf(log)
  for (const [name, each] of Object.entries(unusual)) assert.ok(!lines.write(each), name)
  assert.equal(log.figures().waiting, 0)
})

test('one action asked for by two methods keeps both apart', async () => {
  const log = keep()
  const lines = linesOf(log)
  const action = { kind: 'get-blob', repository: 'a', digest }
  for (const method of ['GET', 'HEAD', 'GET']) {
    assert.ok(lines.write(record({ ...known, action, method })))
  }
  assert.ok(await log.flush())
  const methods = [...log.text().matchAll(/"method":"(\w+)"/g)].map(([, method]) => method)
  assert.deepEqual(methods, ['GET', 'HEAD', 'GET'])
})

test('each line tells when it was written', async () => {
  const log = keep()
  const lines = linesOf(log)
  const written: (readonly [from: number, to: number])[] = []
  for (let count = 0; count < 3; count++) {
    const from = Date.now()
    assert.ok(lines.write(record(known)))
    const to = Date.now()
    written.push([from, to])
    while (Date.now() === to);
  }
  assert.ok(await log.flush())
  const times = [...log.text().matchAll(/"time":"([^"]+)"/g)].map(([, time = '']) =>
    Date.parse(time),
  )
  for (const [at, [from, to]] of written.entries()) {
    const time = times[at] ?? 0
    assert.ok(from <= time && time <= to, `${time} is not from ${from} to ${to}`)
  }
})

test('where something is masked, from the start or later, the formatter writes', () => {
  const log = keep()
  const lines = linesOf(log)
  log.setMask(['username'])
  assert.ok(!lines.write(record(known)))
  log.setMask(undefined)
  assert.ok(lines.write(record(known)))
  assert.ok(!linesOf(keep({ mask: ['address'] })).write(record(known)))
})

test('a log of text has no short way', () => {
  assert.equal(plainLinesOf(keep({ format: 'human' }).log), undefined)
})

// Goal: a bucket that is away is left alone and tried again by one request; one that asks to slow down, refuses, or whose
// caller gave up is not. Method: a gate that answers what the test chooses, and a clock of the test's own.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { S3Bucket } from '../../src/s3/client.ts'
import type { S3Attempt } from '../../src/s3/contract.ts'
import { S3Fault } from '../../src/s3/fault.ts'
import { lookAt, putObject, readSmall } from '../../src/s3/objects.ts'
import { S3Gate, type S3Manner } from '../support/s3-faults.ts'
import { until } from '../support/until.ts'

const failures = 3
const cooldownMs = 1000
const away: S3Manner = { kind: 'fails', status: 500, code: 'InternalError' }
const absent: S3Manner = { kind: 'fails', status: 404, code: 'NoSuchKey' }

let gate: S3Gate
before(async () => {
  // Nothing is ever handed on.
  gate = await S3Gate.open('http://127.0.0.1:9')
})
after(() => gate?.close())

class Scene {
  nowMs = 0
  readonly attempts: S3Attempt[] = []
  readonly bucket: S3Bucket

  constructor(attemptTimeoutMs = 60_000) {
    this.bucket = new S3Bucket(
      {
        ...{ endpoint: gate.endpoint, region: 'us-east-1', bucket: 'b', pathStyle: true },
        ...{ credentials: { accessKeyId: 'a', secretAccessKey: 'b' } },
        ...{ attemptTimeoutMs, attemptsMax: 1, connectionsMax: 8 },
        breaker: { failures, cooldownMs },
      },
      {
        onAttempt: (attempt) => this.attempts.push(attempt),
        random: () => 1,
        now: () => this.nowMs,
      },
    )
    gate.calls.length = 0
  }

  /** 'absent' where the bucket answered so; otherwise the code of the fault. */
  async ask(manner: S3Manner): Promise<string> {
    gate.behave(() => manner)
    try {
      return (await readSmall(this.bucket, 'key', 10)) === undefined ? 'absent' : 'there'
    } catch (error) {
      assert.ok(error instanceof S3Fault)
      assert.equal(error.kind, 'unavailable')
      return error.code
    }
  }

  async break(manner: S3Manner = away): Promise<void> {
    for (let i = 0; i < failures; i++) assert.notEqual(await this.ask(manner), 'LeftAlone')
    assert.equal(await this.ask(absent), 'LeftAlone')
    assert.equal(this.attempts.length, failures)
  }

  get changes(): readonly string[] {
    return this.attempts.flatMap(({ circuit }) => circuit ?? [])
  }
}

async function scene(
  run: (scene: Scene) => Promise<void>,
  attemptTimeoutMs?: number,
): Promise<void> {
  const one = new Scene(attemptTimeoutMs)
  try {
    await run(one)
  } finally {
    one.bucket.close()
  }
}

test('after failures in a row nothing is sent, and a while later one request tries', () =>
  scene(async (one) => {
    await one.break()
    // At most half as long again as it is configured, at random.
    one.nowMs = 1.5 * cooldownMs - 1
    assert.equal(await one.ask(absent), 'LeftAlone')
    assert.equal(gate.calls.length, failures)
    one.nowMs += 1
    assert.equal(await one.ask(away), 'InternalError')
    assert.equal(await one.ask(absent), 'LeftAlone')
    assert.deepEqual(one.changes, ['opened'])
    one.nowMs += 1.5 * cooldownMs
    assert.equal(await one.ask(absent), 'absent')
    assert.equal(await one.ask(absent), 'absent')
    assert.deepEqual(one.changes, ['opened', 'closed'])
  }))

test('while one tries, the others are refused; where it is given up the next one may', () =>
  scene(async (one) => {
    await one.break()
    one.nowMs += 1.5 * cooldownMs
    gate.behave(() => ({ kind: 'stalls' }))
    const giving = new AbortController()
    const trying = putObject(one.bucket, 'key', Buffer.from('x'), { signal: giving.signal })
    const ended = assert.rejects(trying, { code: 'Aborted' })
    await until('it tries', () => gate.calls.length === failures + 1)
    assert.equal(await one.ask(absent), 'LeftAlone')
    giving.abort()
    await ended
    assert.equal(await one.ask(absent), 'absent')
  }))

test('no answer in time, cut connections and answers that are none of S3 count', async () => {
  await scene((one) => one.break({ kind: 'stalls' }), 100)
  await scene((one) => one.break({ kind: 'speaks-html', status: 502 }))
  await scene((one) => one.break({ kind: 'fails', status: 503, code: 'ServiceUnavailable' }))
})

const harmless: readonly (readonly [name: string, manner: S3Manner])[] = [
  ['asking to slow down', { kind: 'fails', status: 503, code: 'SlowDown' }],
  ['too many requests', { kind: 'fails', status: 429, code: 'TooManyRequests' }],
  ['a refusal', { kind: 'fails', status: 403, code: 'AccessDenied' }],
  ['what it cannot do', { kind: 'fails', status: 501, code: 'NotImplemented' }],
  ['no such key', absent],
]
for (const [name, manner] of harmless) {
  test(`${name} is an answer: it never opens, and begins the count anew`, () =>
    scene(async (one) => {
      for (let i = 0; i < 2 * failures; i++) assert.notEqual(await one.ask(manner), 'LeftAlone')
      for (let i = 1; i < failures; i++) await one.ask(away)
      await one.ask(manner)
      for (let i = 1; i < failures; i++) await one.ask(away)
      assert.equal(await one.ask(absent), 'absent')
    }))
}

test('a 503 to a HEAD, which may ask to slow down, and calls that were given up say nothing', () =>
  scene(async (one) => {
    gate.behave(() => ({ kind: 'fails', status: 503, code: 'SlowDown' }))
    for (let i = 0; i < 2 * failures; i++) await assert.rejects(lookAt(one.bucket, 'key'), S3Fault)
    gate.behave(() => ({ kind: 'stalls' }))
    for (let i = 0; i < 2 * failures; i++) {
      const giving = new AbortController()
      const call = putObject(one.bucket, 'key', Buffer.from('x'), { signal: giving.signal })
      const ended = assert.rejects(call, { code: 'Aborted' })
      await until('it is sent', () => gate.calls.length === 2 * failures + i + 1)
      giving.abort()
      await ended
    }
    assert.equal(await one.ask(absent), 'absent')
    assert.deepEqual(one.changes, [])
  }))

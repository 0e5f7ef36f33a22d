// Goal: a part is asked once at a time, an answer counts for a while, and one that hangs is told as such
// without being asked again. Method: parts that answer when the test says so; time is a number.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Probe } from '../../src/health/probe.ts'

class Part {
  asked = 0
  nowMs = 1000
  timeoutMs = 2000
  #settle: Array<{ resolve: (text: string) => void; reject: (error: Error) => void }> = []
  readonly probe = new Probe('disk', () => this.#ask(), {
    now: () => this.nowMs,
    timeoutMs: () => this.timeoutMs,
  })

  #ask(): Promise<string> {
    this.asked += 1
    return new Promise((resolve, reject) => this.#settle.push({ resolve, reject }))
  }

  answer(text: string): void {
    this.#settle.shift()?.resolve(text)
  }

  fail(message: string): void {
    this.#settle.shift()?.reject(new Error(message))
  }
}

test('those who look at the same time share one question, and its answer counts for a while', async () => {
  const part = new Part()
  const looks = [part.probe.look(), part.probe.look(), part.probe.look()]
  part.nowMs += 7
  part.answer('fine')
  const well = { name: 'disk', ok: true, reason: 'fine', tookMs: 7 }
  assert.deepEqual(await Promise.all(looks), [well, well, well])
  part.nowMs += 3000
  assert.deepEqual(await part.probe.look(), well)
  assert.equal(part.asked, 1)
  part.nowMs += 2000
  const next = part.probe.look()
  part.fail('it is full')
  assert.deepEqual(await next, { name: 'disk', ok: false, reason: 'it is full', tookMs: 0 })
  assert.equal(part.asked, 2)
})

test('a part that fails is asked again sooner than one that works', async () => {
  const part = new Part()
  const failed = part.probe.look()
  part.fail('it is full')
  assert.equal((await failed).ok, false)
  part.nowMs += 500
  assert.equal((await part.probe.look()).ok, false)
  assert.equal(part.asked, 1)
  part.nowMs += 500
  const next = part.probe.look()
  part.answer('fine')
  assert.equal((await next).ok, true)
})

test('a part that hangs is told after the deadline, at once from then on, and is asked once', async () => {
  const part = new Part()
  part.timeoutMs = 30
  const first = await part.probe.look()
  assert.equal(first.ok, false)
  assert.match(first.reason, /^no answer within 30 ms$/)
  part.nowMs += 60_000
  for (let i = 0; i < 10; i++) {
    const { ok, reason, tookMs } = await part.probe.look()
    assert.deepEqual([ok, tookMs], [false, 60_000])
    assert.equal(reason, 'no answer within 30 ms, and none for 60 s')
  }
  assert.equal(part.asked, 1)
  const last = part.probe.look()
  part.answer('back')
  assert.equal((await last).ok, false)
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(await part.probe.look(), {
    ...{ name: 'disk', ok: true, reason: 'back', tookMs: 60_000 },
  })
  assert.equal(part.asked, 1)
})

test('a deadline that a reload changes counts from the next look on', async () => {
  const part = new Part()
  part.timeoutMs = 20
  assert.equal((await part.probe.look()).reason, 'no answer within 20 ms')
  part.timeoutMs = 60_000
  const look = part.probe.look()
  part.answer('fine')
  assert.equal((await look).ok, true)
})

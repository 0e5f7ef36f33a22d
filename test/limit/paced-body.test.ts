// Goal: an upload comes no faster than its identity may send, nothing of it is kept or lost, and no
// pause of ours is taken for the client's. Method: a body fed by hand, a clock that the test sets.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BodySink, RequestBody } from '../../src/http/body.ts'
import { BucketTable } from '../../src/limit/bucket-table.ts'
import { PacedBody } from '../../src/limit/paced-body.ts'
import { Dice, randomFrom } from '../support/dice.ts'
import { FakeTime } from './fake-time.ts'

/** Bytes that a client has sent already, and a socket that is read or not. */
class FedBody implements RequestBody {
  readonly length = undefined
  isPaused = true
  resumes = 0
  #sink: BodySink | undefined
  early: Uint8Array[] = []

  consume(sink: BodySink): void {
    this.#sink = sink
    for (const chunk of this.early) sink.onChunk(chunk, false)
    this.isPaused = false
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
    this.resumes += 1
  }

  feed(bytes: number, last = false): void {
    this.#sink?.onChunk(new Uint8Array(bytes).fill(7), last)
  }

  abort(): void {
    this.#sink?.onAbort()
  }
}

function scene(bytesPerSecond: number) {
  const time = new FakeTime()
  const tokensPerMs = bytesPerSecond / 1000
  const buckets = new BucketTable({ capacity: bytesPerSecond, tokensPerMs }, 100)
  let holds = 0
  const open = (key = 'me') => {
    const fed = new FedBody()
    const sunk = { bytes: 0, chunks: 0, lasts: 0, aborts: 0 }
    const body = new PacedBody(fed, {
      ...{ now: time.now, after: time.after },
      spend: (bytes) => buckets.spend(key, bytes, time.now()),
      onHold: () => {
        holds += 1
      },
    })
    const sink: BodySink = {
      onChunk: (chunk, last) => {
        sunk.bytes += chunk.length
        sunk.chunks += 1
        if (last) sunk.lasts += 1
      },
      onAbort: () => {
        sunk.aborts += 1
      },
    }
    return { fed, sunk, body, start: () => body.consume(sink) }
  }
  return { time, open, holds: () => holds }
}

test('a body within the rate is never paused', () => {
  const { open, time, holds } = scene(1000)
  const { fed, sunk, start } = open()
  start()
  for (let each = 0; each < 50; each += 1) {
    fed.feed(100)
    assert.equal(fed.isPaused, false)
    time.advance(100)
  }
  fed.feed(0, true)
  assert.deepEqual(sunk, { bytes: 5000, chunks: 51, lasts: 1, aborts: 0 })
  assert.equal(holds(), 0)
})

test('beyond it the socket is not read until the debt is paid, and what still comes goes through', () => {
  const { open, time } = scene(1000)
  const { fed, sunk, start } = open()
  start()
  fed.feed(1500)
  assert.equal(fed.isPaused, true)
  fed.feed(500)
  assert.equal(sunk.bytes, 2000)
  time.advance(999)
  assert.equal(fed.isPaused, true)
  time.advance(2)
  assert.equal(fed.isPaused, false)
})

test('a consumer that pauses too keeps its pause, and one that resumes does not end ours', () => {
  const { open, time } = scene(1000)
  const { fed, body, start } = open()
  start()
  fed.feed(2000)
  body.pause()
  body.resume()
  assert.equal(fed.isPaused, true, 'held')
  body.pause()
  time.advance(1500)
  assert.equal(fed.isPaused, true, 'the consumer is not ready')
  body.resume()
  assert.equal(fed.isPaused, false)
})

test('a body that was over the rate before anybody read it begins with a pause', () => {
  const { open, time } = scene(1000)
  const { fed, start } = open()
  fed.early = [new Uint8Array(3000)]
  start()
  assert.equal(fed.isPaused, true)
  time.advance(2001)
  assert.equal(fed.isPaused, false)
})

test('while it is held a body shows its consumer that it is alive', () => {
  const { open, time } = scene(1000)
  const { fed, sunk, start } = open()
  start()
  fed.feed(11_000)
  assert.equal(sunk.chunks, 1)
  for (let seconds = 0; seconds < 9; seconds += 1) time.advance(1000)
  assert.ok(sunk.chunks >= 5, `${sunk.chunks} signs in 9 s`)
  assert.equal(sunk.bytes, 11_000)
  assert.equal(fed.isPaused, true)
  time.advance(1001)
  assert.equal(fed.isPaused, false)
})

for (const ending of ['last', 'abort', 'end'] as const) {
  test(`nothing is left to happen after the body has ended (${ending})`, () => {
    const { open, time } = scene(1000)
    const { fed, body, sunk, start } = open()
    start()
    fed.feed(5000)
    if (ending === 'last') fed.feed(10, true)
    else if (ending === 'abort') fed.abort()
    else body.end()
    const { chunks } = sunk
    assert.equal(time.waiting, 0)
    const { resumes } = fed
    time.advance(60_000)
    assert.equal(fed.resumes, resumes)
    assert.equal(sunk.chunks, chunks)
    assert.equal(sunk.aborts, ending === 'abort' ? 1 : 0)
    assert.equal(sunk.lasts, ending === 'last' ? 1 : 0)
  })
}

test('a debt outlives its upload: the next one of the identity waits for it, others do not', () => {
  const { open } = scene(1000)
  const first = open()
  first.start()
  first.fed.feed(9000, true)
  const next = open()
  next.start()
  next.fed.feed(1)
  assert.equal(next.fed.isPaused, true)
  const other = open('other')
  other.start()
  other.fed.feed(1)
  assert.equal(other.fed.isPaused, false)
})

for (const seed of [1, 2, 3, 4]) {
  test(`uploads of one identity share its rate evenly and use all of it (seed ${seed})`, () => {
    const dice = new Dice(randomFrom(seed))
    const rate = 1_000_000
    const { open, time } = scene(rate)
    const uploads = Array.from({ length: 2 + dice.below(6) }, () => open())
    for (const { start } of uploads) start()
    const seconds = 60
    const chunkMax = 64 * 1024
    for (let ms = 0; ms < seconds * 1000; ms += 5) {
      // The pause comes late, as it does on a socket.
      for (const { fed } of uploads) {
        if (!fed.isPaused || dice.chance(0.001)) fed.feed(1 + dice.below(chunkMax))
      }
      time.advance(5)
    }
    const got = uploads.map(({ sunk }) => sunk.bytes)
    const sum = got.reduce((all, each) => all + each, 0)
    assert.ok(sum <= rate * (seconds + 1) + uploads.length * chunkMax * 2, `${sum} bytes`)
    assert.ok(sum >= rate * (seconds - 1), `${sum} bytes`)
    const share = sum / uploads.length
    for (const each of got) assert.ok(each > share * 0.7 && each < share * 1.3, `${got}`)
  })
}

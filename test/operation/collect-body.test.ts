// Goal: bodies that are taken whole have a bound in common, and give back what they held however they end.
// Method: bodies whose chunks the test deals out, against what the room counts.
import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { test } from 'node:test'
import type { BodySink, RequestBody } from '../../src/http/body.ts'
import { OciError } from '../../src/oci/error.ts'
import { BodyRoom } from '../../src/operation/body-room.ts'
import { withBody } from '../../src/operation/collect-body.ts'

const kib = 1024
const mib = 1024 * kib

class DealtBody implements RequestBody {
  readonly length: number | undefined
  sink: BodySink | undefined

  constructor(length?: number) {
    this.length = length
  }

  consume(sink: BodySink): void {
    this.sink = sink
  }

  send(bytes: number | Uint8Array, last = false): void {
    this.sink?.onChunk(typeof bytes === 'number' ? new Uint8Array(bytes) : bytes, last)
  }

  pause(): void {}
  resume(): void {}
}

interface Taking {
  readonly body: DealtBody
  readonly taken: Promise<number>
}

function take(room: BodyRoom, length?: number, bytesMax: number = 4 * mib): Taking {
  const body = new DealtBody(length)
  const taken = withBody(body, { bytesMax, room }, (bytes) => bytes.length)
  // Some are looked at only after others have ended.
  taken.catch(() => undefined)
  return { body, taken }
}

const isBusy = (error: unknown): boolean =>
  error instanceof OciError &&
  error.status === 503 &&
  error.headers.some(([name, value]) => name === 'Retry-After' && value === '5')

const isCode =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof OciError && error.code === code

test('a body is what was sent, and its memory is counted until its use has ended', async () => {
  const room = new BodyRoom(8 * mib, 4 * mib)
  for (const announced of [undefined, 10_000]) {
    const body = new DealtBody(announced)
    const use = new EventEmitter()
    const inUse = once(use, 'begun')
    let got = new Uint8Array(0)
    const done = withBody(body, { bytesMax: mib, room }, async (bytes) => {
      got = Uint8Array.from(bytes)
      const mayEnd = once(use, 'ends')
      use.emit('begun')
      await mayEnd
    })
    assert.equal(room.bytes, 0)
    const sent = Uint8Array.from({ length: 10_000 }, (_, i) => i % 251)
    // The transport takes its memory back.
    for (let at = 0; at < sent.length; at += 100) {
      const chunk = sent.slice(at, at + 100)
      body.send(chunk)
      chunk.fill(0)
    }
    body.send(0, true)
    await inUse
    assert.ok(Buffer.from(got).equals(Buffer.from(sent)))
    assert.ok(room.bytes >= 10_000 && room.bytes <= 20_000, String(room.bytes))
    use.emit('ends')
    await done
    assert.equal(room.bytes, 0)
  }
})

test('chunks of one byte hold no more than twice what has come', async () => {
  const room = new BodyRoom(8 * mib, 4 * mib)
  const { body, taken } = take(room)
  const byte = new Uint8Array(1)
  for (let sent = 1; sent <= 300 * kib; sent++) {
    body.send(byte)
    if (room.bytes > Math.max(4 * kib, 2 * sent)) assert.fail(`${room.bytes} for ${sent}`)
  }
  body.send(0, true)
  assert.equal(await taken, 300 * kib)
  assert.equal(room.bytes, 0)
})

test('what is announced and not sent holds nothing, and what is sent is never over the bound', async () => {
  const room = new BodyRoom(8 * mib, 4 * mib)
  const all = Array.from({ length: 100 }, () => take(room, 4 * mib))
  assert.equal(room.bytes, 0)
  for (let sent = 0; sent < 4 * mib; sent += 256 * kib) {
    for (const { body } of all) {
      body.send(256 * kib, sent + 256 * kib === 4 * mib)
      assert.ok(room.bytes <= room.bytesMax, String(room.bytes))
    }
  }
  const ends = await Promise.allSettled(all.map(({ taken }) => taken))
  const refused = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []))
  assert.ok(refused.length >= 90)
  assert.ok(refused.every(isBusy))
  assert.equal(room.refused, refused.length)
  assert.equal(room.bytes, 0)
})

test('a full room refuses by the announced length, before anything is read', async () => {
  const room = new BodyRoom(8 * mib, 4 * mib)
  const held = take(room, 4 * mib)
  held.body.send(4 * mib - 1)
  const late = take(room, 4 * mib)
  await assert.rejects(late.taken, isBusy)
  assert.equal(late.body.sink, undefined)
  held.body.send(1, true)
  assert.equal(await held.taken, 4 * mib)
  const next = take(room, 4 * mib)
  next.body.send(4 * mib, true)
  assert.equal(await next.taken, 4 * mib)
})

test('large bodies leave room for small ones, announced or not', async () => {
  const room = new BodyRoom(16 * mib, mib)
  const large = Array.from({ length: 17 }, () => take(room, mib, mib))
  for (const { body } of large) body.send(mib - 1)
  await assert.rejects(large[15]!.taken, isBusy)
  await assert.rejects(large[16]!.taken, isBusy)
  for (const announced of [64 * kib, undefined]) {
    const small = take(room, announced)
    for (let i = 0; i < 64; i++) small.body.send(kib)
    small.body.send(0, true)
    assert.equal(await small.taken, 64 * kib)
  }
  const grown = take(room)
  for (let i = 0; i < 65; i++) grown.body.send(kib)
  await assert.rejects(grown.taken, isBusy)
  assert.equal(room.bytes, 15 * (mib - 1))
})

test('the largest body fits into a budget of its own size', async () => {
  const room = new BodyRoom(4 * mib, 4 * mib)
  for (const announced of [4 * mib, undefined]) {
    const { body, taken } = take(room, announced)
    for (let i = 0; i < 64; i++) body.send(64 * kib, i === 63)
    assert.equal(await taken, 4 * mib)
  }
})

test('every end gives back what the body held', async () => {
  const room = new BodyRoom(8 * mib, 4 * mib)
  const gone = take(room, mib)
  gone.body.send(kib)
  gone.body.sink?.onAbort()
  await assert.rejects(gone.taken, isCode('REQUEST_INVALID'))
  assert.equal(room.bytes, 0)

  const long = take(room, undefined, 10 * kib)
  long.body.send(10 * kib)
  long.body.send(1)
  long.body.send(mib, true)
  await assert.rejects(long.taken, isCode('CONTENT_TOO_LARGE'))
  assert.equal(room.bytes, 0)

  const announcedTooLong = take(room, 11 * kib, 10 * kib)
  await assert.rejects(announcedTooLong.taken, isCode('CONTENT_TOO_LARGE'))
  assert.equal(announcedTooLong.body.sink, undefined)

  for (const fail of [
    () => {
      throw new Error('fails at once')
    },
    () => Promise.reject(new Error('fails later')),
  ]) {
    const body = new DealtBody(kib)
    const used = withBody(body, { bytesMax: mib, room }, fail)
    body.send(kib, true)
    await assert.rejects(used, /fails/)
    assert.equal(room.bytes, 0)
  }

  const torn = new DealtBody()
  torn.consume = () => {
    throw new Error('the transport fails')
  }
  await assert.rejects(
    withBody(torn, { bytesMax: mib, room }, () => 0),
    /transport/,
  )
  assert.equal(room.bytes, 0)
  assert.equal(room.refused, 0)
})

test('another bound holds for what comes, not for what is held', async () => {
  const room = new BodyRoom(8 * mib, 4 * mib)
  const { body, taken } = take(room, 4 * mib)
  body.send(3 * mib)
  body.send(mib - 1)
  room.allow(mib, mib)
  await assert.rejects(take(room, kib).taken, isBusy)
  body.send(1, true)
  assert.equal(await taken, 4 * mib)
  const next = take(room, kib)
  next.body.send(kib, true)
  assert.equal(await next.taken, kib)
})

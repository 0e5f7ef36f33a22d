// Goal: a reply has each of its bytes once and then ends, whatever of its reads and turns meets at one moment. Method: a
// response that the test plays, which counts offsets as the library does.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ByteSource } from '../../../../src/http/reply.ts'
import { Stream, StreamBuffers } from '../../../../src/server/transport/uws/stream.ts'

const mib = 1024 * 1024

/** Takes everything, and says that it is done at exactly the length that was stated. */
class PlayedResponse {
  readonly taken: Buffer[] = []
  offset = 0
  writable: (offset: number) => boolean = () => false
  calls = 0
  readonly #callsMax: number

  constructor(callsMax: number) {
    this.#callsMax = callsMax
  }

  cork(action: () => void): void {
    action()
  }

  onWritable(handler: (offset: number) => boolean): void {
    this.writable = handler
  }

  getWriteOffset(): number {
    return this.offset
  }

  tryEnd(chunk: Uint8Array, total: number): [boolean, boolean] {
    this.calls += 1
    // In place of a loop without an end.
    if (this.calls > this.#callsMax) throw new Error('it is written to again and again')
    this.taken.push(Buffer.from(chunk))
    this.offset += chunk.length
    return [true, this.offset === total]
  }
}

interface Played {
  readonly stream: Stream
  readonly response: PlayedResponse
  readonly faults: unknown[]
  isDone: boolean
}

function play(source: ByteSource): Played {
  const response = new PlayedResponse(1000)
  const faults: unknown[] = []
  const stream = new Stream(
    {
      res: response as never,
      buffers: new StreamBuffers(),
      pace: { watch: () => {}, forget: () => {} } as never,
      writeHead: () => {},
      isAborted: () => false,
      onDone: () => {
        played.isDone = true
      },
      onFault: (error) => faults.push(error),
    },
    source,
  )
  const played: Played = { stream, response, faults, isDone: false }
  return played
}

test('a turn that was put off does not read what is being read already', async () => {
  const bytes = Buffer.alloc(6 * mib)
  for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(at, at)
  let mayBlock = true
  const waits: Array<() => void> = []
  const copy = (position: number, target: Uint8Array): number =>
    bytes.copy(target, 0, position, position + target.length)
  const played = play({
    length: bytes.length,
    readNow: (position, target) => (mayBlock ? copy(position, target) : undefined),
    read: async (position, target) => {
      await new Promise<void>((resolve) => waits.push(resolve))
      return copy(position, target)
    },
    close: () => {},
  })
  const { stream, response, faults } = played
  stream.run()
  assert.ok(
    response.offset >= 4 * mib && response.offset < bytes.length,
    'it is another one’s turn',
  )
  // The socket has room before that turn is over, and the device is slow now.
  mayBlock = false
  response.writable(response.offset)
  assert.equal(waits.length, 1)
  await nextTurn()
  assert.equal(waits.length, 1, 'the same bytes are read twice')
  mayBlock = true
  for (const wait of waits) wait()
  for (let turn = 0; turn < 20; turn++) await nextTurn()
  assert.deepEqual(faults, [])
  assert.ok(Buffer.concat(response.taken).equals(bytes), 'other bytes were sent')
  assert.ok(played.isDone)
})

test('a reply that does not end with its last byte is a fault, and no endless loop', () => {
  const { stream, response, faults } = play({
    length: 10,
    readNow: (position, target) => Math.min(target.length, Math.max(0, 10 - position)),
    read: () => Promise.reject(new Error('nobody waits')),
    close: () => {},
  })
  // As after more was sent than was stated.
  response.offset = 5
  stream.run()
  assert.equal(faults.length, 1)
  assert.ok(response.calls < 10)
})

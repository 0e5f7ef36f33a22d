// Transport contract: a request body reaches its sink whole and once, and `pause` holds the sender
// back.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Exchange } from '../../src/server/transport/exchange.ts'
import { kernelBytesMax } from '../support/kernel-buffers.ts'
import { patternBytes } from '../support/pattern-source.ts'
import type { RawConnection } from '../support/raw-http.ts'
import { until } from '../support/until.ts'
import {
  collector,
  later,
  readBody,
  requestHead,
  type Way,
  whole,
  withClient,
} from './transport-scene.ts'

const mebibyte = 1024 * 1024

export function bodiesContract(way: Way): void {
  describeArrival(way)
  describeBrake(way)
}

const echo = async (exchange: Exchange): Promise<void> => {
  const { length } = exchange.body
  exchange.send(whole(`${length} ${await readBody(exchange)}`))
}

function describeArrival(way: Way): void {
  test('a body that comes with its head is delivered', async () => {
    await withClient(way, echo, async (client) => {
      client.write(`${requestHead('PUT', '/', 'Content-Length: 5')}hello`)
      assert.equal((await client.reply()).body.toString(), '5 hello')
      client.write(`${requestHead('PUT', '/', 'Content-Length: 2')}go`)
      assert.equal((await client.reply()).body.toString(), '2 go')
    })
  })

  test('a body that comes in single bytes is delivered in order', async () => {
    await withClient(way, echo, async (client) => {
      client.write(requestHead('PUT', '/', 'Content-Length: 6'))
      for (const byte of 'abcdef') {
        await later()
        client.write(byte)
      }
      assert.equal((await client.reply()).body.toString(), '6 abcdef')
    })
  })

  test('a chunked body has no length', async () => {
    await withClient(way, echo, async (client) => {
      client.write(`${requestHead('PATCH', '/', 'Transfer-Encoding: chunked')}5\r\nhello\r\n`)
      await later()
      client.write('1\r\n \r\n00a\r\n0123456789\r\n0\r\n\r\n')
      assert.equal((await client.reply()).body.toString(), 'undefined hello 0123456789')
      client.write(requestHead('GET', '/'))
      assert.equal((await client.reply()).body.toString(), '0 ')
    })
  })

  // No client of registries sends these, and a parser may refuse them; but not mistake them for bytes.
  for (const [what, chunks] of Object.entries({
    'chunk extensions': '5;name=value\r\nhello\r\n6;a="b;c"\r\n world\r\n0\r\n\r\n',
    trailers: '5\r\nhello\r\n6\r\n world\r\n0\r\nX-After: no\r\nX-More: no\r\n\r\n',
  })) {
    test(`${what} are no part of the body, or the request is refused`, async () => {
      const bodies: string[] = []
      const handler = async (exchange: Exchange): Promise<void> => {
        bodies.push((await readBody(exchange)).toString())
        exchange.send(whole('taken'))
      }
      await withClient(way, handler, async (client, { handled }) => {
        client.write(requestHead('PATCH', '/', 'Transfer-Encoding: chunked'), chunks)
        const { status } = await client.reply()
        assert.ok([200, 400, 505].includes(status), `status ${status}`)
        assert.ok(bodies.every((body) => body === 'hello world'))
        if (status !== 200) await client.over()
        assert.deepEqual(handled, ['/'])
      })
    })
  }

  test('an empty body gives one last chunk', async () => {
    await withClient(way, echo, async (client) => {
      client.write(requestHead('PUT', '/', 'Content-Length: 0'))
      assert.equal((await client.reply()).body.toString(), '0 ')
      client.write(`${requestHead('PUT', '/', 'Transfer-Encoding: chunked')}0\r\n\r\n`)
      assert.equal((await client.reply()).body.toString(), 'undefined ')
    })
  })

  test('a body that came before anybody asked is delivered when somebody does', async () => {
    const bytes = patternBytes(200_000)
    const handler = async (exchange: Exchange): Promise<void> => {
      for (let turn = 0; turn < 20; turn++) await later()
      exchange.send(whole(await readBody(exchange)))
    }
    await withClient(way, handler, async (client) => {
      client.write(requestHead('PUT', '/', `Content-Length: ${bytes.length}`), bytes)
      assert.ok((await client.reply()).body.equals(bytes))
      client.write(requestHead('PUT', '/', 'Content-Length: 3'), 'end')
      assert.equal((await client.reply()).body.toString(), 'end')
    })
  })

  test('a large chunked body is delivered byte for byte', async () => {
    const bytes = patternBytes(8 * mebibyte)
    const sink = collector()
    const handler = (exchange: Exchange): void => {
      exchange.detach()
      exchange.body.consume(sink)
    }
    await withClient(way, handler, async (client) => {
      client.write(requestHead('PATCH', '/', 'Transfer-Encoding: chunked'))
      for (let at = 0; at < bytes.length; ) {
        const part = bytes.subarray(at, at + 70_001 + (at % 999))
        client.write(`${part.length.toString(16)}\r\n`, part, '\r\n')
        at += part.length
      }
      client.write('0\r\n\r\n')
      await until('the last chunk', () => sink.lasts === 1)
      assert.ok(Buffer.concat(sink.chunks).equals(bytes))
    })
  })

  // Java's client writes a capital, and the word has no case.
  for (const word of ['100-continue', '100-Continue', '100-CONTINUE']) {
    test(`a client that waits for 100 (Continue) gets it for ${word}`, async () => {
      await withClient(way, echo, async (client) => {
        // Twice: what went out before must not change the connection's next reply.
        for (let request = 0; request < 2; request += 1) {
          client.write(requestHead('PUT', '/', 'Content-Length: 4', `Expect: ${word}`))
          assert.equal((await client.reply()).status, 100)
          client.write('body')
          const { status, body, headers } = await client.reply()
          assert.equal(status, 200)
          assert.equal(headers['content-type'], 'text/plain')
          assert.equal(body.toString(), '4 body')
        }
      })
    })
  }
}

function describeBrake(way: Way): void {
  // The kernel takes what it takes; beyond that a transport may hold a few buffers of its own.
  const heldBytesMax = kernelBytesMax + 2 * mebibyte
  const total = Math.max(64 * mebibyte, Math.ceil(heldBytesMax / mebibyte + 16) * mebibyte)
  const bytes = patternBytes(mebibyte)
  const head = requestHead('PATCH', '/', `Content-Length: ${total}`)

  const writeAll = (client: RawConnection): void => {
    client.write(head)
    for (let sent = 0; sent < total; sent += bytes.length) client.write(bytes)
  }

  /** Resolves when the client has not got rid of a byte for a while of busy turns. */
  const stalled = async (client: RawConnection): Promise<void> => {
    let before = -1
    let since = performance.now()
    await until('the sender is held back', () => {
      if (client.socket.writableLength !== before) {
        before = client.socket.writableLength
        since = performance.now()
      }
      return before > 0 && performance.now() - since > 300
    })
  }

  test('a paused body holds the sender back, and goes on where it was', async () => {
    const sink = collector()
    let exchange: Exchange | undefined
    let pausedAt = -1
    const handler = (each: Exchange): void => {
      exchange = each
      each.detach()
      each.body.consume({
        onChunk: (chunk, last) => {
          sink.onChunk(chunk, last)
          if (pausedAt >= 0) return
          pausedAt = sink.bytes
          each.body.pause()
          each.body.pause()
        },
        onAbort: () => sink.onAbort(),
      })
    }
    await withClient(way, handler, async (client) => {
      writeAll(client)
      await stalled(client)
      assert.ok(sink.bytes - pausedAt <= 512 * 1024, `${sink.bytes - pausedAt} bytes after pause`)
      assert.ok(total - client.socket.writableLength <= heldBytesMax)
      exchange?.body.resume()
      exchange?.body.resume()
      await until('the last chunk', () => sink.lasts === 1, 30_000)
      assert.equal(sink.bytes, total)
      const received = Buffer.concat(sink.chunks)
      for (let at = 0; at < total; at += bytes.length) {
        assert.ok(received.subarray(at, at + bytes.length).equals(bytes), `wrong from ${at} on`)
      }
      exchange?.body.pause()
      exchange?.body.resume()
      exchange?.send(whole('done'))
      assert.equal((await client.reply()).body.toString(), 'done')
    })
  })

  test('a body that nobody consumes yet is held back', async () => {
    const sink = collector()
    let exchange: Exchange | undefined
    const handler = (each: Exchange): void => {
      each.detach()
      exchange = each
    }
    await withClient(way, handler, async (client) => {
      writeAll(client)
      await stalled(client)
      assert.ok(total - client.socket.writableLength <= heldBytesMax)
      exchange?.body.consume(sink)
      await until('the last chunk', () => sink.lasts === 1, 30_000)
      assert.equal(sink.bytes, total)
    })
  })
}

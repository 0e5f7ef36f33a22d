// Transport contract: a request body reaches its sink whole and once, or is aborted; `pause` holds
// the sender back; a reply before the end of the body gets through.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Reply } from '../../src/http/reply.ts'
import type { Exchange, Transport } from '../../src/server/transport/exchange.ts'
import { patternBytes } from '../support/pattern-source.ts'
import type { RawConnection } from '../support/raw-http.ts'
import { until } from '../support/until.ts'
import { collector, later, readBody, requestHead, whole, withClient } from './transport-scene.ts'

const mebibyte = 1024 * 1024

export function bodiesContract(transport: Transport): void {
  describeArrival(transport)
  describeBrake(transport)
  describeAborts(transport)
  describeEarlyReplies(transport)
}

const echo = async (exchange: Exchange): Promise<void> => {
  const { length } = exchange.body
  exchange.send(whole(`${length} ${await readBody(exchange)}`))
}

function describeArrival(transport: Transport): void {
  test('a body that comes with its head is delivered', async () => {
    await withClient(transport, echo, async (client) => {
      client.write(`${requestHead('PUT', '/', 'Content-Length: 5')}hello`)
      assert.equal((await client.reply()).body.toString(), '5 hello')
      client.write(`${requestHead('PUT', '/', 'Content-Length: 2')}go`)
      assert.equal((await client.reply()).body.toString(), '2 go')
    })
  })

  test('a body that comes in single bytes is delivered in order', async () => {
    await withClient(transport, echo, async (client) => {
      client.write(requestHead('PUT', '/', 'Content-Length: 6'))
      for (const byte of 'abcdef') {
        await later()
        client.write(byte)
      }
      assert.equal((await client.reply()).body.toString(), '6 abcdef')
    })
  })

  test('a chunked body has no length', async () => {
    await withClient(transport, echo, async (client) => {
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
      await withClient(transport, handler, async (client, { handled }) => {
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
    await withClient(transport, echo, async (client) => {
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
    await withClient(transport, handler, async (client) => {
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
    await withClient(transport, handler, async (client) => {
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

  test('a client that waits for 100 (Continue) gets it', async () => {
    await withClient(transport, echo, async (client) => {
      client.write(requestHead('PUT', '/', 'Content-Length: 4', 'Expect: 100-continue'))
      assert.equal((await client.reply()).status, 100)
      client.write('body')
      assert.equal((await client.reply()).body.toString(), '4 body')
    })
  })
}

function describeBrake(transport: Transport): void {
  const total = 64 * mebibyte
  const bytes = patternBytes(mebibyte)
  const head = requestHead('PATCH', '/', `Content-Length: ${total}`)

  // Everything between the two ends: both sockets' buffers in the kernel.
  const heldBytesMax = 24 * mebibyte

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
    await withClient(transport, handler, async (client) => {
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
    await withClient(transport, handler, async (client) => {
      writeAll(client)
      await stalled(client)
      assert.ok(total - client.socket.writableLength <= heldBytesMax)
      exchange?.body.consume(sink)
      await until('the last chunk', () => sink.lasts === 1, 30_000)
      assert.equal(sink.bytes, total)
    })
  })
}

function describeAborts(transport: Transport): void {
  interface Watched {
    readonly sink: ReturnType<typeof collector>
    readonly handler: (exchange: Exchange) => void
    exchange?: Exchange
    aborts: number
  }

  const watch = (consumesAtOnce = true): Watched => {
    const watched: Watched = {
      sink: collector(),
      aborts: 0,
      handler: (exchange) => {
        watched.exchange = exchange
        exchange.detach()
        exchange.onAbort(() => {
          watched.aborts += 1
        })
        if (consumesAtOnce) exchange.body.consume(watched.sink)
      },
    }
    return watched
  }

  test('a client that goes away in mid-body aborts the sink and the exchange, each once', async () => {
    for (const leave of ['reset', 'close'] as const) {
      const watched = watch()
      await withClient(transport, watched.handler, async (client, { listener }) => {
        client.write(`${requestHead('PUT', '/', 'Content-Length: 10')}hello`)
        await until('half a body', () => watched.sink.bytes === 5)
        client[leave]()
        await until('the abort', () => watched.sink.aborts === 1 && watched.aborts === 1)
        assert.equal(watched.exchange?.aborted, true)
        watched.exchange?.body.pause()
        watched.exchange?.body.resume()
        watched.exchange?.send(whole('too late'))
        await until('nothing in flight', () => listener.inFlight() === 0)
        assert.deepEqual([watched.sink.aborts, watched.aborts], [1, 1])
      })
    }
  })

  test('a client that ends its side in mid-body aborts the sink', async () => {
    const watched = watch()
    await withClient(transport, watched.handler, async (client) => {
      client.write(`${requestHead('PATCH', '/', 'Transfer-Encoding: chunked')}5\r\nhel`)
      await until('some of it', () => watched.sink.bytes === 3)
      client.socket.end()
      await until('the abort', () => watched.sink.aborts === 1)
      await client.over()
    })
  })

  test('a chunk that is no chunk aborts the sink and ends the connection', async () => {
    const watched = watch()
    await withClient(transport, watched.handler, async (client) => {
      client.write(`${requestHead('PATCH', '/', 'Transfer-Encoding: chunked')}5\r\nhello\r\n`)
      await until('some of it', () => watched.sink.bytes === 5)
      client.write('zzz\r\nhello\r\n')
      await until('the abort', () => watched.sink.aborts === 1, 15_000)
      await client.over(15_000)
    })
  })

  test('a listener or a sink that comes after the abort hears of it at once', async () => {
    const watched = watch(false)
    await withClient(transport, watched.handler, async (client) => {
      client.write(`${requestHead('PUT', '/', 'Content-Length: 10')}hello`)
      await until('the request', () => watched.exchange !== undefined)
      client.reset()
      // Nobody reads from this socket, so an adapter may learn of it from its idle timer only.
      await until('the abort', () => watched.aborts === 1, 15_000)
      let heard = 0
      watched.exchange?.onAbort(() => {
        heard += 1
      })
      assert.equal(heard, 1)
      watched.exchange?.body.consume(watched.sink)
      await until('the sink hears of it', () => watched.sink.aborts === 1)
      assert.equal(watched.sink.bytes, 0)
    })
  })

  test('a client that goes away after the body aborts the exchange and not the sink', async () => {
    const watched = watch()
    await withClient(transport, watched.handler, async (client) => {
      client.write(`${requestHead('PUT', '/', 'Content-Length: 5')}hello`)
      await until('the body', () => watched.sink.lasts === 1)
      client.close()
      await until('the abort', () => watched.aborts === 1)
      assert.equal(watched.sink.aborts, 0)
    })
  })

  test('a client that goes away after the reply aborts nothing', async () => {
    const watched = watch()
    await withClient(transport, watched.handler, async (client, { listener }) => {
      client.write(`${requestHead('PUT', '/', 'Content-Length: 5')}hello`)
      await until('the body', () => watched.sink.lasts === 1)
      watched.exchange?.send(whole('done'))
      assert.equal((await client.reply()).body.toString(), 'done')
      client.reset()
      const other = await withoutAnswer(listener)
      assert.deepEqual([watched.aborts, watched.sink.aborts, other], [0, 0, 0])
    })
  })

  const withoutAnswer = async (listener: { inFlight(): number }): Promise<number> => {
    for (let turn = 0; turn < 50; turn++) await later()
    return listener.inFlight()
  }

  test('a sink that throws is a fault: answered or cut, never left hanging', async () => {
    const handler = (exchange: Exchange): void => {
      exchange.detach()
      exchange.body.consume({
        onChunk: () => {
          throw new Error('planted')
        },
        onAbort: () => {},
      })
    }
    for (const body of ['hello', 'hel']) {
      await withClient(transport, handler, async (client, { faults, open }) => {
        client.write(`${requestHead('PUT', '/', 'Content-Length: 5')}${body}`)
        await until('an answer or an end', () => client.pendingBytes > 0 || client.isOver)
        if (client.pendingBytes > 0) assert.equal((await client.reply()).status, 500)
        assert.equal(faults.length, 1)
        const other = await open()
        other.write(requestHead('GET', '/'))
        await until('it serves on', () => other.pendingBytes > 0)
      })
    }
  })
}

function describeEarlyReplies(transport: Transport): void {
  const refusal = { ...whole('too large', 413), closeConnection: true } as Reply
  const bytes = patternBytes(16 * mebibyte)
  const head = requestHead('PUT', '/', `Content-Length: ${bytes.length}`)

  test('a refusal reaches a client that is still sending, and ends the connection', async () => {
    const handler = (exchange: Exchange): void => exchange.send(refusal)
    for (let round = 0; round < 5; round++) {
      await withClient(transport, handler, async (client) => {
        client.write(head, bytes)
        const reply = await client.reply()
        assert.equal(reply.status, 413)
        assert.equal(reply.body.toString(), 'too large')
        await client.over()
      })
    }
  })

  test('a refusal in mid-body reaches the client, and the sink hears no more', async () => {
    const sink = collector()
    let atRefusal = -1
    const handler = (exchange: Exchange): void => {
      exchange.detach()
      exchange.body.consume({
        onChunk: (chunk, last) => {
          sink.onChunk(chunk, last)
          if (sink.bytes < mebibyte || atRefusal >= 0) return
          atRefusal = sink.bytes
          exchange.send(refusal)
        },
        onAbort: () => sink.onAbort(),
      })
    }
    await withClient(transport, handler, async (client) => {
      client.write(head, bytes)
      const reply = await client.reply()
      assert.equal(reply.body.toString(), 'too large')
      await client.over()
      await later()
      assert.equal(sink.bytes, atRefusal)
      assert.equal(sink.lasts + sink.aborts, 0)
    })
  })

  test('after a reply without reading the body the connection serves on, or says that it ends', async () => {
    const handler = (exchange: Exchange): void => exchange.send(whole(exchange.path, 404))
    await withClient(transport, handler, async (client, { handled }) => {
      client.write(requestHead('PUT', '/1', 'Content-Length: 40'))
      client.write(requestHead('GET', '/smuggled').padEnd(40).slice(0, 40))
      const { headers, body } = await client.reply()
      assert.equal(body.toString(), '/1')
      if (headers['connection']?.toLowerCase() !== 'close') {
        client.write(requestHead('GET', '/2'))
        assert.equal((await client.reply()).body.toString(), '/2')
      }
      assert.ok(!handled.includes('/smuggled'))
    })
  })

  test('a paused body that is answered lets the connection go on, or says that it ends', async () => {
    const handler = (exchange: Exchange): void => {
      if (exchange.path === '/2') exchange.send(whole('second'))
      else {
        exchange.detach()
        exchange.body.consume({
          onChunk: () => {
            exchange.body.pause()
            exchange.send(whole('first'))
          },
          onAbort: () => {},
        })
      }
    }
    await withClient(transport, handler, async (client) => {
      const body = bytes.subarray(0, 300_000)
      client.write(requestHead('PUT', '/1', `Content-Length: ${body.length}`), body)
      const { headers } = await client.reply()
      if (headers['connection']?.toLowerCase() === 'close') return
      client.write(requestHead('GET', '/2'))
      assert.equal((await client.reply()).body.toString(), 'second')
    })
  })
}

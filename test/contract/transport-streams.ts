// Transport contract: a streamed reply carries the source's bytes at the reader's pace, and the
// source is closed once however it ends.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ByteSource, Reply } from '../../src/http/reply.ts'
import type { Exchange } from '../../src/server/transport/exchange.ts'
import { kernelBytesMax } from '../support/kernel-buffers.ts'
import { PatternSource, patternBytes, type Serve } from '../support/pattern-source.ts'
import { until } from '../support/until.ts'
import {
  later,
  plainHeaders,
  requestHead,
  type SceneHandler,
  type Way,
  whole,
  withClient,
  withTransport,
} from './transport-scene.ts'

const mebibyte = 1024 * 1024

function streamed(source: ByteSource): Reply {
  return { kind: 'stream', status: 200, headers: plainHeaders, source }
}

export function streamsContract(way: Way): void {
  describeBytes(way)
  describePace(way)
  describeEnds(way)
  describeFaults(way)
}

function describeBytes(way: Way): void {
  const serves: Record<string, Serve> = {
    'at hand': () => 'now',
    'waited for': () => 'wait',
    'at hand and waited for by turns': (position) => (position % 3 === 1 ? 'now' : 'wait'),
    'first at hand, then waited for': (position) => (position < mebibyte ? 'now' : 'wait'),
    'first waited for, then at hand': (position) => (position < mebibyte ? 'wait' : 'now'),
  }
  for (const [how, serve] of Object.entries(serves)) {
    test(`bytes ${how} arrive whole, and the connection serves on`, async () => {
      const sources: PatternSource[] = []
      const handler = (exchange: Exchange): void => {
        const length = Number(exchange.query)
        const source = new PatternSource(length, { serve, stepBytesMax: 100_003 })
        sources.push(source)
        exchange.send(streamed(source))
      }
      await withClient(way, handler, async (client) => {
        for (const length of [1, 65_536, 3 * mebibyte + 17, 0, 131_072]) {
          client.write(requestHead('GET', `/?${length}`))
          const { headers, body } = await client.reply()
          assert.equal(headers['content-length'], String(length))
          assert.equal(headers['x-second'], 'two')
          assert.ok(body.equals(patternBytes(length)), `${length} bytes`)
        }
        await until('all closed', () => sources.every((source) => source.closes === 1))
        assert.ok(sources.every((source) => source.askedAfterClose === 0))
      })
    })
  }

  test('streams side by side do not mix their bytes', async () => {
    const serve: Serve = (position) => (position % 2 === 0 ? 'wait' : 'now')
    const handler: SceneHandler = async (exchange) => {
      await later()
      const source = new PatternSource(Number(exchange.query), { serve, stepBytesMax: 40_001 })
      exchange.send(streamed(source))
    }
    await withTransport(way, handler, async ({ open }) => {
      const one = async (index: number): Promise<void> => {
        const length = 2 * mebibyte + index * 4_099
        const client = await open()
        client.write(requestHead('GET', `/?${length}`))
        assert.ok((await client.reply()).body.equals(patternBytes(length)), `stream ${index}`)
      }
      await Promise.all(Array.from({ length: 12 }, (_none, index) => one(index)))
    })
  })
}

function describePace(way: Way): void {
  for (const how of ['now', 'wait'] as const) {
    test(`64 MiB or more (${how}) go out at the pace of a slow reader`, async () => {
      // The kernel takes what it takes; beyond that a transport may hold a few buffers of its own.
      const aheadBytesMax = kernelBytesMax + 2 * mebibyte
      const length = Math.max(64 * mebibyte, aheadBytesMax + 32 * mebibyte)
      const source = new PatternSource(length, { serve: () => how })
      await withClient(
        way,
        (exchange) => exchange.send(streamed(source)),
        async (client) => {
          client.write(requestHead('GET', '/'))
          let reach = -1
          for (const stop of [mebibyte, 20 * mebibyte]) {
            await until('some of it', () => client.pendingBytes >= stop)
            client.socket.pause()
            let since = performance.now()
            await until('the source is left alone', () => {
              if (source.reach !== reach) since = performance.now()
              reach = source.reach
              return performance.now() - since > 200
            })
            const ahead = source.reach - client.pendingBytes
            assert.ok(ahead <= aheadBytesMax, `${ahead} bytes ahead of the reader`)
            assert.equal(source.closes, 0)
            client.socket.resume()
          }
          assert.ok((await client.reply({ deadlineMs: 30_000 })).body.equals(patternBytes(length)))
          await until('closed', () => source.closes === 1)
        },
      )
    })
  }
}

function describeEnds(way: Way): void {
  test('a client that leaves in mid-stream closes the source once and aborts the exchange', async () => {
    for (const how of ['now', 'wait'] as const) {
      const source = new PatternSource(64 * mebibyte, { serve: () => how })
      let aborts = 0
      const handler = (exchange: Exchange): void => {
        exchange.detach()
        exchange.onAbort(() => {
          aborts += 1
        })
        exchange.send(streamed(source))
      }
      await withClient(way, handler, async (client, { listener, faults }) => {
        client.write(requestHead('GET', '/'))
        await until('some of it', () => client.pendingBytes > mebibyte)
        client.reset()
        await until('closed', () => source.closes === 1 && aborts === 1)
        await until('nothing in flight', () => listener.inFlight() === 0)
        for (let turn = 0; turn < 20; turn++) await later()
        assert.deepEqual([source.closes, aborts, source.askedAfterClose], [1, 1, 0])
        assert.deepEqual(faults, [])
      })
    }
  })

  test('a client that leaves while bytes are waited for closes the source when they are there', async () => {
    let release = (): void => {}
    const wait = (position: number): Promise<void> =>
      position === 0
        ? Promise.resolve()
        : new Promise((resolve) => {
            release = resolve
          })
    const source = new PatternSource(mebibyte, { serve: () => 'wait', wait, stepBytesMax: 5_000 })
    let aborts = 0
    const handler = (exchange: Exchange): void => {
      exchange.onAbort(() => {
        aborts += 1
      })
      exchange.send(streamed(source))
      exchange.detach()
    }
    await withClient(way, handler, async (client, { faults }) => {
      client.write(requestHead('GET', '/'))
      await until('a read that waits', () => client.pendingBytes > 5_000 && source.isReading)
      client.reset()
      await until('the abort', () => aborts === 1)
      release()
      await until('closed', () => source.closes === 1)
      for (let turn = 0; turn < 20; turn++) await later()
      assert.deepEqual([source.closes, source.asked, source.wasClosedWhileReading], [1, 4, false])
      assert.deepEqual(faults, [])
    })
  })

  test('a stream that is sent after the client has left closes its source', async () => {
    const source = new PatternSource(mebibyte)
    let exchange: Exchange | undefined
    let aborts = 0
    const handler = (each: Exchange): void => {
      exchange = each
      each.detach()
      each.onAbort(() => {
        aborts += 1
      })
    }
    await withClient(way, handler, async (client) => {
      client.write(requestHead('GET', '/'))
      await until('the request', () => exchange !== undefined)
      client.reset()
      await until('the abort', () => aborts === 1)
      exchange?.send(streamed(source))
      await until('closed', () => source.closes === 1)
      assert.deepEqual([source.asked, aborts], [0, 1])
    })
  })
}

function describeFaults(way: Way): void {
  const planted = new Error('planted')
  const length = 8 * mebibyte
  type Fault = 'throws' | 'rejects' | 'throws in read' | 'ends early'

  const faulty = (fault: Fault, from: number): PatternSource => {
    const source = new PatternSource(length, {
      stepBytesMax: 65_536,
      serve: (position) => {
        if (position < from) return 'now'
        if (fault === 'throws') throw planted
        return 'wait'
      },
      wait: () => Promise.reject(planted),
    })
    if (fault === 'throws in read') {
      source.read = () => {
        throw planted
      }
    }
    if (fault === 'ends early') source.read = () => Promise.resolve(0)
    return source
  }

  for (const fault of ['throws', 'rejects', 'throws in read', 'ends early'] as const) {
    test(`a source that ${fault} before the first byte is answered as a fault`, async () => {
      const source = faulty(fault, 0)
      const handler = (exchange: Exchange): void => exchange.send(streamed(source))
      await withClient(way, handler, async (client, { faults, listener }) => {
        client.write(requestHead('GET', '/'))
        const reply = await client.reply()
        assert.deepEqual([reply.status, reply.body.toString()], [500, 'fault'])
        await until('closed', () => source.closes === 1)
        if (fault === 'ends early') assert.equal(faults.length, 1)
        else assert.deepEqual(faults, [planted])
        await until('nothing in flight', () => listener.inFlight() === 0)
      })
    })

    test(`a source that ${fault} in mid-stream ends the connection short`, async () => {
      const source = faulty(fault, 4 * mebibyte)
      const handler = (exchange: Exchange): void => exchange.send(streamed(source))
      await withClient(way, handler, async (client, { faults, listener }) => {
        client.write(requestHead('GET', '/'))
        await assert.rejects(client.reply(), /^Error: ended (after|before)/)
        await until('closed', () => source.closes === 1)
        if (fault === 'ends early') assert.equal(faults.length, 1)
        else assert.deepEqual(faults, [planted])
        await until('nothing in flight', () => listener.inFlight() === 0)
      })
    })
  }

  test('a fault of one stream leaves the others alone', async () => {
    const handler = (exchange: Exchange): void => {
      if (exchange.path === '/bad') exchange.send(streamed(faulty('rejects', mebibyte)))
      else if (exchange.path === '/good') exchange.send(streamed(new PatternSource(length)))
      else exchange.send(whole('other'))
    }
    await withTransport(way, handler, async ({ open }) => {
      const [good, bad] = [await open(), await open()]
      bad.write(requestHead('GET', '/bad'))
      good.write(requestHead('GET', '/good'))
      await bad.over()
      assert.ok((await good.reply()).body.equals(patternBytes(length)))
    })
  })
}

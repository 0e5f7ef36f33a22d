// What the node adapter knows of a client's pace: the rules by themselves, in time that does not pass,
// and the figures of the kernel, on real connections.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import type { Exchange, PaceLimits } from '../../../src/server/transport/exchange.ts'
import { KernelQueues } from '../../../src/server/transport/node/kernel-queues.ts'
import { listenNode } from '../../../src/server/transport/node/listen.ts'
import { Progress, type Turn } from '../../../src/server/transport/node/progress.ts'
import { bytesAccepted, bytesReceived } from '../../../src/server/transport/node/socket-bytes.ts'
import {
  amplePace,
  plainHeaders,
  requestHead,
  type TransportScene,
  whole,
  withClient,
} from '../../contract/transport-scene.ts'
import { PatternSource } from '../../support/pattern-source.ts'
import type { RawConnection } from '../../support/raw-http.ts'
import { until } from '../../support/until.ts'

const pace: PaceLimits = {
  handshakeMs: 10_000,
  headersMs: 15_000,
  stallMs: 30_000,
  keepAliveMs: 65_000,
  receiveRateMin: 1000,
  sendRateMin: 500,
  graceMs: 10_000,
}
const second = 1000

/** Seconds until the client is cut, at one look a second; undefined where it is not within an hour. */
function cutAfter(
  turnAt: (seconds: number) => Turn,
  movedAt: (seconds: number) => number,
  limits: Partial<PaceLimits> = {},
): number | undefined {
  const progress = new Progress({ ...pace, ...limits })
  const subject = {}
  for (let seconds = 0; seconds <= 3600; seconds++) {
    const moment = { turn: turnAt(seconds), subject, moved: movedAt(seconds) }
    if (progress.look(moment, second) !== undefined) return seconds
  }
  return undefined
}

const always = (turn: Turn) => (): Turn => turn
const rate = (bytes: number) => (seconds: number) => bytes * seconds

describe('the rules of pace', () => {
  test('exactly the floor is enough, in single bytes and in bursts, and a little less is not', () => {
    assert.equal(cutAfter(always('body'), rate(1000)), undefined)
    const bursts = (every: number) => (seconds: number) =>
      Math.floor(seconds / every) * every * 1000
    for (const every of [2, 5, 10]) assert.equal(cutAfter(always('body'), bursts(every)), undefined)
    assert.equal(cutAfter(always('body'), rate(900)), 101)
    assert.equal(cutAfter(always('body'), rate(500)), 21)
    assert.equal(cutAfter(always('reply'), rate(500)), undefined)
    assert.equal(cutAfter(always('reply'), rate(250)), 21)
  })

  test('one byte every five seconds ends after the grace', () => {
    const drip = (seconds: number): number => Math.floor(seconds / 5)
    assert.equal(cutAfter(always('body'), drip), 11)
    assert.equal(cutAfter(always('reply'), drip), 11)
  })

  test('bytes of long ago are no credit for a stall now', () => {
    const fastThenNothing = (seconds: number): number => Math.min(seconds, 60) * 1_000_000
    assert.equal(cutAfter(always('body'), fastThenNothing), 71)
  })

  test('without a floor only silence counts', () => {
    const none = { receiveRateMin: 0, sendRateMin: 0 }
    const drip = (seconds: number): number => Math.floor(seconds / 29)
    assert.equal(cutAfter(always('body'), drip, none), undefined)
    assert.equal(cutAfter(always('body'), rate(0), none), 30)
  })

  test('what this server takes its time for does not count', () => {
    const mostlyOurs = (seconds: number): Turn => (seconds % 20 === 0 ? 'reply' : 'ours')
    assert.equal(cutAfter(mostlyOurs, rate(0)), undefined)
    // Of every ten seconds the client has seven.
    const shared = (seconds: number): Turn => (seconds % 10 < 8 ? 'body' : 'ours')
    assert.equal(cutAfter(shared, rate(0)), 14)
  })

  test('an idle connection lasts its time, and with its first byte a head has its time', () => {
    assert.equal(cutAfter(always('idle'), rate(0)), 65)
    const from = (start: number) => (seconds: number) => Math.max(0, seconds - start)
    assert.equal(cutAfter(always('idle'), from(60)), 61 + 15)
    assert.equal(cutAfter(always('idle'), rate(1)), 1 + 15)
    const oneByte = (seconds: number): number => (seconds < 60 ? 0 : 1)
    assert.equal(cutAfter(always('idle'), oneByte), 60 + 15)
    assert.equal(cutAfter(always('first'), rate(1)), 15)
    assert.equal(cutAfter(always('first'), rate(0)), 15)
  })

  test('another request starts the clocks anew', () => {
    const progress = new Progress(pace)
    for (let seconds = 0; seconds < 600; seconds++) {
      const subject = Math.floor(seconds / 9)
      assert.equal(progress.look({ turn: 'body', subject, moved: 0 }, second), undefined)
    }
  })
})

async function withPair(
  host: string,
  run: (server: Socket, client: Socket) => Promise<void>,
): Promise<void> {
  const listener = createServer().listen(0, host)
  await once(listener, 'listening')
  const client = connect((listener.address() as AddressInfo).port, host === '::' ? '::1' : host)
  const [server] = (await once(listener, 'connection')) as [Socket]
  for (const socket of [client, server]) socket.on('error', () => {})
  try {
    await run(server, client)
  } finally {
    for (const each of [client, server]) each.destroy()
    listener.close()
  }
}

describe('the figures of the kernel', () => {
  for (const host of ['127.0.0.1', '::1', '::']) {
    test(`on ${host}: what was written is queued until the peer's side has it`, async () => {
      await withPair(host, async (server, client) => {
        client.pause()
        const total = 64 * 1024 * 1024
        server.write(Buffer.alloc(total))
        const queues = new KernelQueues()
        let queued = -1
        const stop = queues.watch(server, (bytes) => {
          queued = bytes
        })
        assert.ok(stop !== undefined)
        let accepted = -1
        await until('the buffers are full', () => {
          const isStill = accepted > 0 && accepted === bytesAccepted(server) && queued > 0
          accepted = bytesAccepted(server)
          queues.refresh()
          return isStill
        })
        assert.ok(accepted < total, `${accepted} were accepted`)
        assert.ok(accepted >= queued)
        client.resume()
        await until('all is gone', () => bytesAccepted(server) === total)
        await until('the queue is empty', () => {
          queues.refresh()
          return queued === 0
        })
        await until('all is read', () => bytesReceived(client) === total)
        stop()
      })
    })
  }

  test('a connection that is in no table has an empty queue, so that nobody waits for it', async () => {
    const here = { localAddress: '192.0.2.1', localPort: 1 }
    const ghost = { ...here, remoteAddress: '192.0.2.2', remotePort: 2 } as Socket
    const queues = new KernelQueues()
    let told = -1
    queues.watch(ghost, (bytes) => {
      told = bytes
    })
    queues.refresh()
    await until('told', () => told === 0)
  })

  test('a connection without addresses cannot be looked up', () => {
    assert.equal(
      new KernelQueues().watch({} as Socket, () => {}),
      undefined,
    )
  })
})

describe('readers near the floor', { concurrency: true }, () => {
  const mebibyte = 1024 * 1024

  // The kernel asks for more once a third of megabytes is gone, which at this rate takes many times
  // the limits; yet the client takes what it must.
  test('a reader at the floor is not cut, however late the kernel asks for more', async () => {
    const sendRateMin = 128 * 1024
    const limits = { ...amplePace, sendRateMin, graceMs: 2_000, stallMs: 2_000 }
    const source = new PatternSource(64 * mebibyte)
    const handler = (exchange: Exchange): void =>
      exchange.send({ kind: 'stream', status: 200, headers: plainHeaders, source })
    await withClient(
      listenNode,
      handler,
      async (client, { options }) => {
        let read = 0
        const start = performance.now()
        const owed = (): number => ((performance.now() - start) / 1000) * sendRateMin * 1.1 - read
        client.socket.pause()
        client.socket.removeAllListeners('data')
        client.write(requestHead('GET', '/'))
        await until('it has read for a while', () => {
          while (owed() > 16_384) {
            const chunk: Buffer | null = client.socket.read(16_384)
            if (chunk === null) break
            read += chunk.length
          }
          return client.isOver || performance.now() - start > 8_000
        })
        assert.equal(client.isOver, false)
        assert.ok(read > 5 * sendRateMin, `read ${read}`)
        assert.deepEqual(options.counts.closedSlow, { headers: 0, body: 0, reply: 0, idle: 0 })
      },
      { pace: limits },
    )
  })

  test('a reader far below the floor is cut, though it never stands still', async () => {
    const limits = { ...amplePace, sendRateMin: 512 * 1024, graceMs: 500, stallMs: 5_000 }
    const source = new PatternSource(64 * mebibyte)
    const handler = (exchange: Exchange): void =>
      exchange.send({ kind: 'stream', status: 200, headers: plainHeaders, source })
    await withClient(
      listenNode,
      handler,
      async (client, { options }) => {
        client.socket.pause()
        client.socket.removeAllListeners('data')
        client.write(requestHead('GET', '/'))
        const sip = setInterval(() => client.socket.read(512), 20)
        await until('it is cut', () => source.closes === 1).finally(() => clearInterval(sip))
        assert.equal(options.counts.closedSlow.reply, 1)
      },
      { pace: limits },
    )
  })
})

describe('replies whose end the kernel holds', { concurrency: true }, () => {
  // More than a client's side has room for that does not read, less than ours has.
  const body = new Uint8Array(1024 * 1024)

  /** The whole reply is written, and nobody has read it. */
  const withUnread = (
    limits: Partial<PaceLimits>,
    run: (client: RawConnection, scene: TransportScene) => Promise<void>,
  ): Promise<void> =>
    withClient(
      listenNode,
      (exchange) => exchange.send(whole(body)),
      async (client, scene) => {
        client.socket.pause()
        client.socket.removeAllListeners('data')
        client.write(requestHead('GET', '/'))
        await until('it is handled', () => scene.handled.length === 1)
        await until('it is written', () => scene.listener.inFlight() === 0)
        await run(client, scene)
      },
      { pace: { ...amplePace, ...limits } },
    )

  test('an idle time that passes meanwhile does not cut a slow reader off', async () => {
    const limits = { keepAliveMs: 200, sendRateMin: 64 * 1024, graceMs: 1_000, stallMs: 1_000 }
    await withUnread(limits, async (client, { options }) => {
      let read = 0
      let fault: Error | undefined
      client.socket.once('error', (error) => {
        fault = error
      })
      const sip = setInterval(() => {
        read += (client.socket.read(8 * 1024) ?? client.socket.read())?.length ?? 0
      }, 20)
      await until('it ends', () => client.isOver).finally(() => clearInterval(sip))
      assert.ok(read > body.length, `read ${read}`)
      assert.equal(fault, undefined)
      assert.deepEqual(options.counts.closedSlow, { headers: 0, body: 0, reply: 0, idle: 1 })
    })
  })

  test('who never reads it is cut', async () => {
    await withUnread({ keepAliveMs: 200, stallMs: 400 }, async (_client, { options }) => {
      await until('it is cut', () => options.counts.connections === 0)
      assert.equal(options.counts.closedSlow.reply, 1)
    })
  })

  test('nor do single bytes of a next request keep it', async () => {
    const limits = { keepAliveMs: 200, headersMs: 400 }
    await withUnread(limits, async (client, { options }) => {
      const head = 'GET /'.padEnd(1_000, 'x')[Symbol.iterator]()
      const drip = setInterval(() => client.write(head.next().value ?? ''), 250)
      await until('it is cut', () => options.counts.closedSlow.headers === 1).finally(() =>
        clearInterval(drip),
      )
    })
  })
})

// Transport contract: where a listener can be, and who the peer is: IPv6, unix sockets, and the PROXY
// protocol in front of everything.

import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Admission } from '../../src/server/transport/admission.ts'
import type { Exchange, TransportOptions } from '../../src/server/transport/exchange.ts'
import type { RawConnection } from '../support/raw-http.ts'
import { until } from '../support/until.ts'
import {
  noLimits,
  requestHead,
  type SceneHandler,
  type TransportScene,
  type Way,
  whole,
  withTransport,
} from './transport-scene.ts'

export function socketsContract(way: Way): void {
  describeAddresses(way)
  describeUnixSockets(way)
}

const tellsPeer: SceneHandler = (exchange) => exchange.send(whole(exchange.remoteAddress))

async function peerSeen(client: RawConnection): Promise<string> {
  client.write(requestHead('GET', '/'))
  return (await client.reply()).body.toString()
}

function describeAddresses(way: Way): void {
  test('IPv6 listeners serve, and tell their clients’ addresses', async () => {
    const run = async ({ open, listener }: TransportScene): Promise<void> => {
      assert.equal(listener.local.address, '::1')
      assert.equal(await peerSeen(await open()), '::1')
    }
    const socket = { kind: 'tcp', address: '::1', port: 0 } as const
    await withTransport(way, tellsPeer, run, { socket })
  })

  test('a listener on :: serves IPv4 too, and tells such addresses as IPv4', async () => {
    const run = async ({ open }: TransportScene): Promise<void> => {
      assert.equal(await peerSeen(await open({ host: '::1' })), '::1')
      assert.equal(await peerSeen(await open({ host: '127.0.0.1' })), '127.0.0.1')
    }
    const socket = { kind: 'tcp', address: '::', port: 0 } as const
    await withTransport(way, tellsPeer, run, { socket })
  })
}

function describeUnixSockets(way: Way): void {
  const inFolder = async (run: (path: string) => Promise<void>): Promise<void> => {
    const folder = await mkdtemp(join(tmpdir(), 'keelson-socket-'))
    await run(join(folder, 'http.sock')).finally(() => rm(folder, { recursive: true, force: true }))
  }
  const on = (path: string, mode = 0o600): Partial<TransportOptions> => ({
    socket: { kind: 'unix', path, mode },
  })

  for (const mode of [0o600, 0o660, 0o666]) {
    test(`a unix socket of mode ${mode.toString(8)} serves, and its clients have no address`, async () => {
      await inFolder(async (path) => {
        const run = async ({ open, listener }: TransportScene): Promise<void> => {
          assert.deepEqual(listener.local, { address: path, port: 0 })
          const entry = await stat(path)
          assert.ok(entry.isSocket())
          assert.equal(entry.mode & 0o777, mode)
          assert.equal(await peerSeen(await open()), '')
        }
        await withTransport(way, tellsPeer, run, on(path, mode))
      })
    })
  }

  test('a socket that a dead server left is replaced', async () => {
    await inFolder(async (path) => {
      await leaveSocket(path)
      assert.ok((await stat(path)).isSocket())
      const run = async ({ open }: TransportScene): Promise<void> => {
        assert.equal(await peerSeen(await open()), '')
      }
      await withTransport(way, tellsPeer, run, on(path))
      await withTransport(way, tellsPeer, run, on(path))
    })
  })

  test('a socket that somebody listens on is left to them', async () => {
    await inFolder(async (path) => {
      const run = async ({ open }: TransportScene): Promise<void> => {
        const again = withTransport(way, tellsPeer, async () => {}, on(path))
        await assert.rejects(again, { code: 'EADDRINUSE' })
        assert.equal(await peerSeen(await open()), '')
      }
      await withTransport(way, tellsPeer, run, on(path))
    })
  })

  test('a file that is no socket is left alone', async () => {
    await inFolder(async (path) => {
      await writeFile(path, 'precious')
      const link = `${path}.link`
      await symlink(path, link)
      for (const each of [path, link]) {
        await assert.rejects(withTransport(way, tellsPeer, async () => {}, on(each)))
        assert.ok((await stat(each)).isFile())
        assert.equal((await stat(each)).size, 8)
      }
    })
  })

  test('limits per address do not count the clients of a unix socket as one', async () => {
    await inFolder(async (path) => {
      const admission = new Admission({
        ...noLimits,
        connectionsPerAddressMax: 1,
        requestsPerAddressMax: 1,
      })
      const waiting: Exchange[] = []
      const handler: SceneHandler = (exchange) => {
        exchange.detach()
        waiting.push(exchange)
      }
      const run = async ({ open }: TransportScene): Promise<void> => {
        const clients = [await open(), await open(), await open()]
        for (const client of clients) client.write(requestHead('GET', '/'))
        await until('all wait', () => waiting.length === 3)
        for (const exchange of waiting) exchange.send(whole('done'))
        for (const client of clients) assert.equal((await client.reply()).status, 200)
      }
      await withTransport(way, handler, run, { ...on(path), admission })
    })
  })
}

/** As a server that was killed leaves it: the name is there and nobody answers. */
async function leaveSocket(path: string): Promise<void> {
  const server = createServer()
  const first = `${path}.first`
  await new Promise<void>((resolve) => {
    server.listen(first, resolve)
  })
  await rename(first, path)
  await new Promise((resolve) => server.close(resolve))
}

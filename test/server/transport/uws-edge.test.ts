// What the adapter on uWebSockets.js promises beyond the contract, and what it refuses to promise.

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { TlsMaterial } from '../../../src/server/tls/contract.ts'
import { Admission } from '../../../src/server/transport/admission.ts'
import type { TransportOptions } from '../../../src/server/transport/exchange.ts'
import { listenUws, uwsProblem } from '../../../src/server/transport/uws/listen.ts'
import { materialOf, useMaterials } from '../../contract/transport-material.ts'
import {
  defaultOptions,
  noLimits,
  requestHead,
  type SceneHandler,
  whole,
  withTransport,
} from '../../contract/transport-scene.ts'
import { kernelBytesMax } from '../../support/kernel-buffers.ts'
import { needsOpenssl } from '../../support/pki.ts'
import { needsThat } from '../../support/tools.ts'
import { until } from '../../support/until.ts'

const ok: SceneHandler = (exchange) => exchange.send(whole('ok'))
const needsUws = needsThat(uwsProblem === undefined ? [] : [uwsProblem])
const needsUwsAndOpenssl = needsUws.skip === false ? needsOpenssl : needsUws

describe('uws: what a client cannot do', needsUws, () => {
  test('a client that asks and reads nothing cannot fill our memory', async () => {
    const body = new Uint8Array(60 * 1024)
    const handler: SceneHandler = (exchange) => exchange.send(whole(body))
    await withTransport(listenUws, handler, async ({ open, handled }) => {
      const client = await open()
      client.socket.pause()
      const asked = 4 * Math.ceil(kernelBytesMax / body.length)
      for (let index = 0; index < asked && !client.isOver; index++) {
        client.write(requestHead('GET', '/'))
        await new Promise((resolve) => setImmediate(resolve))
      }
      // Of replies that nobody takes, some tens at most are kept.
      const sentBytes = handled.length * body.length
      assert.ok(sentBytes < kernelBytesMax + 200 * body.length, `${sentBytes} bytes`)
    })
  })

  test('over-long targets and headers have their own statuses', async () => {
    const long = 'a'.repeat(9_000)
    const cases = [
      [requestHead('GET', `/${long}`), 414],
      [requestHead('GET', `/?${long}`), 414],
      [requestHead('GET', '/', `X-One: ${long}`, `X-Two: ${long}`), 431],
    ] as const
    for (const [head, status] of cases) {
      await withTransport(listenUws, ok, async ({ open, handled }) => {
        const client = await open()
        client.write(head)
        assert.equal((await client.reply()).status, status)
        await client.over()
        assert.deepEqual(handled, [])
      })
    }
  })

  test('a PROXY header that nobody asked for changes no address', async () => {
    const handler: SceneHandler = (exchange) => exchange.send(whole(exchange.remoteAddress))
    const header = Buffer.from('0d0a0d0a000d0a515549540a2111000cc0000207c00002010050005a', 'hex')
    await withTransport(listenUws, handler, async ({ open }) => {
      const client = await open()
      client.write(Buffer.concat([header, Buffer.from(requestHead('GET', '/'))]))
      assert.equal((await client.reply()).body.toString(), '127.0.0.1')
    })
  })
})

describe('uws: crowds', needsUws, () => {
  const limited = (limits: Partial<Admission['limits']>): Partial<TransportOptions> => ({
    admission: new Admission({ ...noLimits, ...limits }),
  })

  test('an address at twice its limit is closed at once, and served again when it has fewer', async () => {
    const over = limited({ connectionsPerAddressMax: 3 })
    const run: Parameters<typeof withTransport>[2] = async ({ open, options }) => {
      const clients = [await open({ localAddress: '127.0.0.2' })]
      for (let index = 0; index < 6; index++) clients.push(await open())
      await until('seven', () => options.counts.connections === 7)
      const last = await open()
      await last.over()
      assert.equal(last.pendingBytes, 0)
      for (const client of clients.slice(1, 4)) client.close()
      await until('four', () => options.counts.connections === 4)
      assert.equal(options.counts.connectionsRefused, 4)
      // Whose connections have ended is known when the kernel's table has been read again.
      await until('three', () => options.admission.connectionsOf('127.0.0.1') === 3)
      for (const client of [clients[0], ...clients.slice(4)]) {
        client?.write(requestHead('GET', '/'))
        assert.equal((await client?.reply())?.status, 200)
      }
    }
    await withTransport(listenUws, ok, run, over)
  })

  test('listeners share the limit in all, and each has room again when the other has', async () => {
    const over = limited({ connectionsMax: 2 })
    await withTransport(
      listenUws,
      ok,
      async (one) => {
        await withTransport(
          listenUws,
          ok,
          async (other) => {
            const clients = [await one.open(), await one.open()]
            await until('both', () => one.options.counts.connections === 2)
            // This listener has not heard that all places are taken: it closes one without a word.
            await other.open().then(
              (silent) => silent.over(),
              () => undefined,
            )
            const turned = await other.open()
            turned.write(requestHead('GET', '/'))
            assert.equal((await turned.reply()).status, 503)
            clients[0]?.close()
            await until('a place is free', () => one.options.admission.connections === 1)
            let status = 0
            for (let round = 0; status !== 200 && round < 100; round++) {
              // It may change hands just now, which resets what waits to be accepted.
              const client = await other.open().catch(() => undefined)
              client?.write(requestHead('GET', '/'))
              status = (await client?.reply().catch(() => undefined))?.status ?? 0
              client?.close()
              await until('it has gone', () => other.options.counts.connections === 0)
            }
            assert.equal(status, 200)
          },
          over,
        )
      },
      over,
    )
  })
})

describe('uws: what it refuses to start with', needsUwsAndOpenssl, () => {
  const materials = useMaterials()

  const refuses = async (options: Partial<TransportOptions>, reason: RegExp): Promise<void> => {
    const listening = listenUws({ ...defaultOptions(), ...options })
    await assert.rejects(listening, (error: Error) => {
      assert.match(error.message, reason)
      assert.match(error.message, /server\.transport = "node"/)
      return true
    })
  }

  test('a PROXY header, client certificates and TLS 1.3 alone are for the node transport', async () => {
    await refuses({ proxyProtocol: { trusts: () => true } }, /PROXY/)
    await refuses({ tls: materialOf(materials.pki.server, { minVersion: 'TLSv1.3' }) }, /TLS 1\.2/)
    const clientAuth: TlsMaterial['clientAuth'] = {
      ...{ mode: 'optional', caBundle: '', crls: [] },
      revocations: { isRevoked: () => false },
    }
    await refuses({ tls: materialOf(materials.pki.server, { clientAuth }) }, /client certificates/)
  })

  test('a certificate that it does not take is an error at the start, and none at a renewal', async () => {
    const other = await materials.other()
    const mixed = { ...materials.server, privateKey: other.privateKey }
    await refuses({ tls: mixed }, /certificate/)
    const tls = materials.server
    await withTransport(
      listenUws,
      ok,
      async ({ listener, open }) => {
        await assert.rejects(listener.renewTls(mixed), /certificate/)
        await assert.rejects(listener.renewTls({ ...tls, minVersion: 'TLSv1.3' }), /TLS 1\.2/)
        const client = await open()
        client.write(requestHead('GET', '/'))
        assert.equal((await client.reply()).status, 200)
      },
      { tls },
    )
  })

  test('keys leave no file and no descriptor behind', async () => {
    const traces = (): readonly string[] =>
      [tmpdir(), '/dev/shm'].flatMap((folder) =>
        readdirSync(folder).filter((name) => name.startsWith('keelson-pem-')),
      )
    const descriptors = (): number => readdirSync('/proc/self/fd').length
    await withTransport(
      listenUws,
      ok,
      async ({ listener }) => {
        await listener.renewTls(await materials.other())
        const before = descriptors()
        for (let index = 0; index < 10; index++) await listener.renewTls(await materials.other())
        assert.ok(descriptors() <= before + 1, `${descriptors()} after ${before}`)
        assert.deepEqual(traces(), [])
      },
      { tls: materials.server },
    )
  })
})

describe('uws: where it listens', needsUws, () => {
  test('a port that another server shares is not taken', async () => {
    // Its flag for shared ports would let two servers in; the first one here has it, too.
    const first = await listenUws(defaultOptions())
    const { port } = first.local
    const again = listenUws({
      ...defaultOptions(),
      socket: { kind: 'tcp', address: '127.0.0.1', port },
    })
    await assert.rejects(again, { code: 'EADDRINUSE' })
    first.close()
  })

  test('a unix socket is removed at the end, but not one that another server has put there', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'keelson-socket-'))
    const path = join(folder, 'http.sock')
    const options = { ...defaultOptions(), socket: { kind: 'unix', path, mode: 0o600 } } as const
    const first = await listenUws(options)
    first.close()
    await assert.rejects(stat(path), { code: 'ENOENT' })
    const second = await listenUws(options)
    const other = createServer()
    await new Promise<void>((resolve) => {
      other.listen(`${path}.new`, resolve)
    })
    await rename(`${path}.new`, path)
    second.close()
    assert.ok((await stat(path)).isSocket())
    other.close()
    await rm(folder, { recursive: true, force: true })
  })
})

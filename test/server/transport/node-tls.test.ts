// TLS on the node adapter, by what only this one promises: OCSP staples, deadlines, protocols.

import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { describe, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { amplePace, requestHead } from '../../contract/transport-scene.ts'
import { needsOpenssl } from '../../support/pki.ts'
import { attempt } from '../../support/run.ts'
import { until } from '../../support/until.ts'
import { clientOptions, seenAs, useTlsScene, versions, withListener } from './node-tls-scene.ts'

describe('node: TLS', needsOpenssl, () => {
  const scene = useTlsScene()

  /** What openssl's own client says, having sent `input` and waited for the end. */
  const sClient = async (
    port: number,
    args: readonly string[],
    input = `${requestHead('GET', '/', 'Connection: close')}`,
  ): Promise<string> => {
    const to = ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'localhost']
    const trust = ['-CAfile', scene.pki.serverCa.certificateFile, '-verify_return_error']
    const { stdout, stderr } = await attempt('openssl', [...to, ...trust, ...args], { input })
    return stdout + stderr
  }

  test('an OCSP response is stapled for those who ask, and changes with the material', async () => {
    const { serverCa, server } = scene.pki
    const { file } = await serverCa.ocspResponse(server)
    const stapled = await scene.material({ over: { ocspResponse: file } })
    await withListener(stapled, async ({ port, listener }) => {
      for (const flag of ['-tls1_2', '-tls1_3']) {
        const answer = await sClient(port, ['-status', flag, '-ign_eof'])
        assert.match(answer, /OCSP Response Status: successful/)
        assert.match(answer, /Cert Status: good/)
        assert.match(answer, /HTTP\/1\.1 200/)
        assert.doesNotMatch(await sClient(port, [flag, '-ign_eof']), /OCSP/)
      }
      await listener.renewTls({ ...stapled, ocspResponse: undefined })
      assert.match(await sClient(port, ['-status', '-ign_eof']), /OCSP response: no response sent/)
    })
  })

  test('a client offers HTTP/2 and 1.1 and gets 1.1, and with 2 alone nothing', async () => {
    await withListener(await scene.material(), async ({ open, options }) => {
      for (const version of versions) {
        const tls = { ...clientOptions(version), ALPNProtocols: ['h2', 'http/1.1'] }
        const client = await open({ tls })
        assert.equal((client.socket as ReturnType<typeof connectTls>).alpnProtocol, 'http/1.1')
        assert.equal(await seenAs(client), 'nobody')
        await assert.rejects(open({ tls: { ...tls, ALPNProtocols: ['h2'] } }))
      }
      await until('failures are counted', () => options.counts.handshakesFailed === 2)
    })
  })

  test('a client that wants to renegotiate gets nothing', async () => {
    await withListener(await scene.material(), async ({ open, options }) => {
      const client = await open({ tls: clientOptions('TLSv1.2') })
      assert.equal(await seenAs(client), 'nobody')
      const socket = client.socket as ReturnType<typeof connectTls>
      const [error] = await new Promise<[Error | null]>((resolve) => {
        socket.once('error', (fault) => resolve([fault]))
        socket.renegotiate({ rejectUnauthorized: false }, (fault) => resolve([fault]))
      })
      assert.match(String(error), /no renegotiation/i)
      assert.equal(options.counts.handshakesFull, 1)
    })
  })

  test('a handshake that does not end in time is cut, also byte by byte', async () => {
    const overrides = { pace: { ...amplePace, handshakeMs: 300 } }
    await withListener(
      await scene.material(),
      async ({ open, options }) => {
        const hello = await clientHello()
        const silent = await open({ tls: undefined })
        const slow = await open({ tls: undefined })
        const left = [...hello]
        await until('both are cut', () => {
          if (left.length > 1 && !slow.isOver) slow.write(Buffer.from([left.shift() ?? 0]))
          return silent.isOver && slow.isOver
        })
        assert.ok(left.length > 1, 'the slow one was cut before its end')
        assert.equal(await seenAs(await open()), 'nobody')
        // Who never said a word has not failed at anything.
        assert.equal(options.counts.handshakesFailed, 1)
      },
      overrides,
    )
  })

  test('a secure connection serves as long as it likes once the handshake is done', async () => {
    const overrides = { pace: { ...amplePace, handshakeMs: 200 } }
    await withListener(
      await scene.material(),
      async ({ open }) => {
        const client = await open()
        assert.equal(await seenAs(client), 'nobody')
        const start = performance.now()
        await until('three times the limit', () => performance.now() - start > 600)
        assert.equal(await seenAs(client), 'nobody')
      },
      overrides,
    )
  })
})

/** The first bytes of a handshake, as a client would send them. */
async function clientHello(): Promise<Buffer> {
  const written: Buffer[] = []
  const sink = new Duplex({
    read: () => {},
    write: (chunk: Buffer, _encoding, done) => {
      written.push(chunk)
      done()
    },
  })
  const client = connectTls({ socket: sink, rejectUnauthorized: false })
  client.on('error', () => {})
  await until('a hello', () => written.length > 0)
  client.destroy()
  return Buffer.concat(written)
}

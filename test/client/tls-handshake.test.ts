// Goal: TLS as openssl sees it: the versions that are served and those that are not, HTTP/1.1 by ALPN,
// sessions that are resumed, stapled OCSP. Method: s_client with a GET inside, against each transport.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { adminCall } from '../http/product.ts'
import { needsOpenssl } from '../support/pki.ts'
import { type Handshake, shakeHands } from '../support/s-client.ts'
import {
  startTlsServer,
  stopServer,
  type TlsServer,
  usePki,
  useTlsServer,
} from '../support/tls-server.ts'

const versions = [
  ['TLSv1.2', '-tls1_2'],
  ['TLSv1.3', '-tls1_3'],
] as const

const setups = [
  { transport: 'uws', options: {} },
  { transport: 'node', options: { clientAuth: 'optional' } },
  { transport: 'node', options: { clientAuth: 'required' } },
] as const

/** What the server's metrics say. */
async function handshakes({ server }: TlsServer): Promise<{ full: number; resumed: number }> {
  const socket = join(server.rootDir, '_keelson', 'admin.sock')
  const { body } = await adminCall(socket, '/metrics')
  const count = (kind: string): number =>
    Number(
      new RegExp(`^keelson_tls_handshakes_total\\{kind="${kind}"\\} (\\d+)$`, 'm').exec(body)?.[1],
    )
  return { full: count('full'), resumed: count('resumed') }
}

describe('TLS', needsOpenssl, () => {
  const scene = usePki()

  for (const { transport, options } of setups) {
    const mode = 'clientAuth' in options ? `, client certificate ${options.clientAuth}` : ''
    describe(`on ${transport}${mode}`, () => {
      const product = useTlsServer(scene, () => options)
      const shake = (...args: readonly string[]): Promise<Handshake> => {
        const { client, serverCa } = scene.pki
        const { port } = product.get()
        const certificate = 'clientAuth' in options ? { certificate: client } : {}
        return shakeHands({ port, caFile: serverCa.certificateFile, ...certificate, args })
      }

      test('is served by that transport', () => {
        const served = product.get().server.listeners.find((each) => each.tls)
        assert.equal(served?.transport, transport)
      })

      for (const [version, flag] of versions) {
        test(`${version} is served, and its sessions are resumed`, async () => {
          const session = join(scene.dir, `${transport}${mode.length}${version}.session`)
          const first = await shake(flag, '-verify_return_error', '-sess_out', session)
          assert.equal(first.protocol, version, first.output)
          assert.equal(first.status, 200, first.output)
          assert.equal(first.isResumed, false)
          assert.equal(first.serial, scene.pki.server.serial)
          const second = await shake(flag, '-sess_in', session)
          assert.equal(second.status, 200, second.output)
          assert.equal(second.isResumed, true, second.output)
          assert.equal(second.protocol, version)
        })
      }

      for (const flag of ['-tls1', '-tls1_1']) {
        test(`${flag.slice(1)} is refused by the server`, async () => {
          // Level 0, or openssl itself would not even ask.
          const refused = await shake(flag, '-cipher', 'DEFAULT:@SECLEVEL=0')
          assert.equal(refused.protocol, '', refused.output)
          assert.equal(refused.status, 0)
          assert.match(refused.output, /alert protocol version|unsupported protocol/)
          assert.match(refused.output, /SSL alert number 70/)
        })
      }

      test('a client that would speak HTTP/2 gets HTTP/1.1', async () => {
        const both = await shake('-alpn', 'h2,http/1.1')
        assert.notEqual(both.alpn, 'h2')
        assert.equal(both.status, 200, both.output)
        const one = await shake('-alpn', 'http/1.1')
        assert.equal(one.status, 200, one.output)
      })

      if (transport === 'node') {
        test('resumed handshakes are counted apart', async () => {
          const session = join(scene.dir, `counted${mode.length}.session`)
          const before = await handshakes(product.get())
          await shake('-sess_out', session)
          await shake('-sess_in', session)
          const { full, resumed } = await handshakes(product.get())
          assert.deepEqual([full - before.full, resumed - before.resumed], [1, 1])
        })
      }

      test('renegotiation and compression are off', async () => {
        const { output } = await shake('-tls1_2')
        assert.match(output, /^Compression: NONE$/m)
        assert.match(output, /^Secure Renegotiation IS supported$/m)
      })
    })
  }

  test('a client certificate of an intermediate is good with its chain alone', async () => {
    const { clientCa, serverCa } = scene.pki
    const { server, port } = await startTlsServer(scene.pki, { clientAuth: 'required' })
    const caFile = serverCa.certificateFile
    const certificate = await (await clientCa.intermediate('Team CA')).clientCertificate()
    const whole = await shakeHands({ port, caFile, certificate })
    assert.equal(whole.status, 200, whole.output)
    const { certificateFile: bundleFile, keyFile } = certificate
    const bare = await shakeHands({ port, caFile, certificate: { bundleFile, keyFile } })
    assert.equal(bare.status, 0, bare.output)
    await stopServer(server)
  })

  test('the node transport staples the OCSP response of the file', async () => {
    const { file } = await scene.pki.serverCa.ocspResponse(scene.pki.server)
    const tls = { ocsp_response: file }
    const { server, port } = await startTlsServer(scene.pki, { clientAuth: 'optional', tls })
    const caFile = scene.pki.serverCa.certificateFile
    for (const [version, flag] of versions) {
      const { output, status } = await shakeHands({ port, caFile, args: [flag, '-status'] })
      assert.equal(status, 200, output)
      assert.match(output, /OCSP Response Status: successful/, version)
      assert.match(output, /Cert Status: good/, version)
    }
    await stopServer(server)
  })

  test('TLS 1.3 alone is served where it is the least version', async () => {
    const tls = { min_version: '1.3' }
    const { server, port } = await startTlsServer(scene.pki, { tls })
    const caFile = scene.pki.serverCa.certificateFile
    const older = await shakeHands({ port, caFile, args: ['-tls1_2'] })
    assert.equal(older.protocol, '', older.output)
    const newer = await shakeHands({ port, caFile })
    assert.equal(newer.protocol, 'TLSv1.3', newer.output)
    await stopServer(server)
  })
})

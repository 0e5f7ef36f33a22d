// Goal: a client that is revoked while the server runs is out at once: its session is not resumed, its
// open connection is cut, and others stay. Method: a new revocation list in place of the old one, seen
// by file change and by SIGHUP, with openssl's own session file.
import assert from 'node:assert/strict'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { type Certificate, needsOpenssl } from '../support/pki.ts'
import { type Handshake, shakeHands } from '../support/s-client.ts'
import { clientTls, usePki, useTlsServer } from '../support/tls-server.ts'
import { until } from '../support/until.ts'

describe('revocation', needsOpenssl, () => {
  const scene = usePki()
  const crl = join(scene.dir, 'client.crl')

  /** A new list under the same name, complete from its first moment. */
  async function publish(): Promise<void> {
    const { pem } = await scene.pki.clientCa.crl()
    await writeFile(`${crl}.new`, pem)
    await rename(`${crl}.new`, crl)
  }

  before(() => publish())
  for (const clientAuth of ['optional', 'required'] as const) {
    describe(`with client certificates ${clientAuth}`, () => {
      const product = useTlsServer(scene, () => ({ clientAuth, tls: { client_crls: [crl] } }))
      const shake = (certificate: Certificate, ...args: string[]): Promise<Handshake> => {
        const { port } = product.get()
        const caFile = scene.pki.serverCa.certificateFile
        return shakeHands({ port, caFile, certificate, args })
      }

      /** A connection that has had a reply and is kept. */
      async function keepConnection(certificate: Certificate): Promise<TLSSocket> {
        const tls = clientTls(scene.pki, certificate)
        const socket = connect({ port: product.get().port, host: 'localhost', ...tls })
        socket.on('error', () => undefined)
        let received = ''
        socket.setEncoding('latin1').on('data', (text: string) => {
          received += text
        })
        socket.write('GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n')
        await until('the first reply', () => received.startsWith('HTTP/1.1 200 '))
        return socket
      }

      for (const [cause, version] of [
        ['a file change', '-tls1_2'],
        ['a file change', '-tls1_3'],
        ['SIGHUP', '-tls1_3'],
      ] as const) {
        test(`a revoked client is out after ${cause} (${version})`, async () => {
          const { clientCa, client: good } = scene.pki
          const bad = await clientCa.clientCertificate({ commonNames: ['leaver'] })
          const session = join(scene.dir, `session${version}`)
          const first = await shake(bad, version, '-sess_out', session)
          assert.equal(first.status, 200, first.output)
          const resumed = await shake(bad, version, '-sess_in', session)
          assert.ok(resumed.isResumed && resumed.status === 200, resumed.output)
          const [badSocket, goodSocket] = [await keepConnection(bad), await keepConnection(good)]

          await clientCa.revoke(bad)
          await publish()
          if (cause === 'SIGHUP') process.kill(product.get().server.pid, 'SIGHUP')
          await until('the open connection is cut', () => badSocket.closed)
          const again = await shake(bad, version, '-sess_in', session)
          assert.equal(again.status, 0, again.output)
          assert.equal(again.isResumed, false, again.output)
          const fresh = await shake(bad, version)
          assert.equal(fresh.status, 0, fresh.output)

          assert.equal(goodSocket.closed, false)
          goodSocket.destroy()
          assert.equal((await shake(good, version)).status, 200)
        })
      }
    })
  }
})

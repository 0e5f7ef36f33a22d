// Goal: a new server certificate is served without a restart, and a bad one changes nothing but the log.
// Method: the files are replaced as people and Kubernetes do it, and openssl reads the serial served,
// again and again, without one failed handshake.
import assert from 'node:assert/strict'
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { poll } from '../http/product.ts'
import type { Certificate } from '../support/pki.ts'
import { needsPrivateHostAnd, openPrivateHost, type PrivateHost } from '../support/private-host.ts'
import { shakeHands } from '../support/s-client.ts'
import { projectRoot } from '../support/server.ts'
import { startTlsServer, stopServer, type TlsServer, usePki } from '../support/tls-server.ts'
import { until } from '../support/until.ts'

const dayMs = 86_400_000
type Pair = Pick<Certificate, 'bundlePem' | 'keyPem'>

describe('the server certificate', needsPrivateHostAnd('openssl', 'sysctl'), () => {
  const scene = usePki()
  // On uws the kernel must hand connections over to the new listening socket.
  let host: PrivateHost
  before(async () => {
    host = await openPrivateHost(scene.dir)
    const settings = join(projectRoot, 'systemd', 'sysctl.d', 'keelson.conf')
    await host.run('sysctl', ['--load', settings])
  })
  after(() => host.close())

  async function serialOf({ port }: TlsServer): Promise<string> {
    const caFile = scene.pki.serverCa.certificateFile
    const { serial, output } = await shakeHands({ host, port, caFile })
    assert.notEqual(serial, '', output)
    return serial
  }

  function untilServed(running: TlsServer, { serial }: Certificate): Promise<unknown> {
    return poll(`certificate ${serial} is served`, async () => {
      return (await serialOf(running)) === serial ? true : undefined
    })
  }

  async function replace(file: string, text: string): Promise<void> {
    await writeFile(`${file}.new`, text)
    await rename(`${file}.new`, file)
  }

  async function start(
    folder: string,
    clientAuth: 'optional' | undefined,
  ): Promise<{ running: TlsServer; certificateFile: string; keyFile: string }> {
    const certificateFile = join(folder, 'tls.crt')
    const keyFile = join(folder, 'tls.key')
    const running = await startTlsServer(scene.pki, {
      wrap: host.enter,
      ...(clientAuth && { clientAuth }),
      tls: { server_certificate_bundle: certificateFile, server_private_key: keyFile },
    })
    return { running, certificateFile, keyFile }
  }

  async function newFolder(name: string, pair: Pair): Promise<string> {
    const folder = join(scene.dir, name)
    await mkdir(folder)
    await writeFile(join(folder, 'tls.crt'), pair.bundlePem)
    await writeFile(join(folder, 'tls.key'), pair.keyPem)
    return folder
  }

  const reloadFailed = (line: string): boolean =>
    line.startsWith('{"level":50') && /certificate|TLS|tls/.test(line)

  for (const [transport, clientAuth] of [
    ['uws', undefined],
    ['node', 'optional'],
  ] as const) {
    test(`is renewed when its files are replaced (${transport})`, async () => {
      const { serverCa, server } = scene.pki
      const folder = await newFolder(`replace-${transport}`, server)
      const { running, certificateFile, keyFile } = await start(folder, clientAuth)
      assert.equal(await serialOf(running), server.serial)
      const next = await serverCa.serverCertificate({ key: 'rsa' })
      await replace(keyFile, next.keyPem)
      await replace(certificateFile, next.bundlePem)
      await untilServed(running, next)
      const third = await serverCa.serverCertificate()
      // In place, without a rename, as an editor or `cp` does it.
      await writeFile(certificateFile, third.bundlePem)
      await writeFile(keyFile, third.keyPem)
      await untilServed(running, third)
      await stopServer(running.server)
    })

    test(`is renewed by a swap of Kubernetes’ ..data link (${transport})`, async () => {
      const { serverCa, server } = scene.pki
      const folder = join(scene.dir, `kube-${transport}`)
      await mkdir(folder)
      await newFolder(join(`kube-${transport}`, '..first'), server)
      await symlink('..first', join(folder, '..data'))
      for (const file of ['tls.crt', 'tls.key']) {
        await symlink(join('..data', file), join(folder, file))
      }
      const { running } = await start(folder, clientAuth)
      assert.equal(await serialOf(running), server.serial)
      const next = await serverCa.serverCertificate()
      await newFolder(join(`kube-${transport}`, '..second'), next)
      await symlink('..second', join(folder, '..data_tmp'))
      await rename(join(folder, '..data_tmp'), join(folder, '..data'))
      await untilServed(running, next)
      await stopServer(running.server)
    })

    test(`stays when the new one is no good, until it is repaired (${transport})`, async () => {
      const { serverCa, server } = scene.pki
      const folder = await newFolder(`bad-${transport}`, server)
      const { running, certificateFile, keyFile } = await start(folder, clientAuth)
      const { log, pid } = running.server
      const expired = await serverCa.serverCertificate({
        notBefore: new Date(Date.now() - 2 * dayMs),
        notAfter: new Date(Date.now() - dayMs),
      })
      const other = await serverCa.serverCertificate()
      const faults: readonly (readonly [string, Pair])[] = [
        ['garbage', { bundlePem: 'not a certificate\n', keyPem: server.keyPem }],
        ['another key', { bundlePem: server.bundlePem, keyPem: other.keyPem }],
        ['an expired certificate', expired],
      ]
      for (const [fault, pair] of faults) {
        const reported = log.filter(reloadFailed).length
        await replace(keyFile, pair.keyPem)
        await replace(certificateFile, pair.bundlePem)
        process.kill(pid, 'SIGHUP')
        await until(`an error about ${fault}`, () => log.filter(reloadFailed).length > reported)
        assert.equal(await serialOf(running), server.serial, fault)
      }
      const mended = await serverCa.serverCertificate()
      await replace(keyFile, mended.keyPem)
      await replace(certificateFile, mended.bundlePem)
      process.kill(pid, 'SIGHUP')
      await untilServed(running, mended)
      await stopServer(running.server)
    })
  }
})

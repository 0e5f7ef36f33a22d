// Goal: the Docker engine pushes and pulls over TLS with the CA of its certs.d folder, and not without.
// Method: an engine on a host of its own, where the registry has a name and an address, since
// Docker checks no certificate of a registry on a loopback address.
import assert from 'node:assert/strict'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { startDockerd } from '../support/engines.ts'
import { dockerArchive, makeImage, sha256 } from '../support/images.ts'
import { needsPrivateHostAnd, openPrivateHost } from '../support/private-host.ts'
import { attempt, run } from '../support/run.ts'
import { untar } from '../support/tar.ts'
import { startTlsServer, stopServer, usePki } from '../support/tls-server.ts'

const options = { layers: 2, bytesPerLayer: 1_500_000, seed: 'tls-docker' }
describe('over TLS', needsPrivateHostAnd('openssl', 'docker', 'dockerd'), () => {
  const scene = usePki()

  test('docker pushes and pulls with certs.d', async (t) => {
    const { dir, pki } = scene
    const steps: (() => Promise<unknown>)[] = []
    t.after(async () => {
      for (const step of steps.reverse()) await step()
    })
    const host = await openPrivateHost(dir, ['registry.test'])
    steps.push(() => host.close())
    const { server, port } = await startTlsServer(pki, {
      wrap: host.enter,
      listener: 'bind_address = "0.0.0.0"\nport = 0',
    })
    steps.push(() => stopServer(server))
    const DOCKER_HOST = await startDockerd({ dir, onEnd: (step) => steps.push(step) }, { host })
    const env = { ...process.env, DOCKER_HOST, DOCKER_CONFIG: join(dir, 'config') }
    const docker = (...args: readonly string[]): Promise<string> => run('docker', args, { env })

    const image = await makeImage(join(dir, 'made'), options)
    const reference = `registry.test:${port}/team/app:v1`
    const archive = join(dir, 'load.tar')
    await writeFile(archive, await dockerArchive(image, options, reference))
    await docker('load', '-i', archive)
    const blind = await attempt('docker', ['push', reference], { env })
    assert.notEqual(blind.code, 0)
    assert.match(blind.stderr, /x509: certificate signed by unknown authority/)

    const ca = join(dir, 'ca.crt')
    await copyFile(pki.serverCa.certificateFile, ca)
    const certs = `/etc/docker/certs.d/registry.test:${port}`
    await host.run('install', ['-D', ca, `${certs}/ca.crt`])
    await docker('push', reference)
    await docker('rmi', reference)
    await docker('pull', reference)
    const id = ['image', 'inspect', '--format', '{{.Id}}', reference]
    assert.equal(await docker(...id), image.config.digest)
    await docker('save', '-o', join(dir, 'saved.tar'), reference)
    const files = untar(await readFile(join(dir, 'saved.tar')))
    const [saved] = JSON.parse(files.get('manifest.json')!.toString())
    const digests = saved.Layers.map((name: string) => sha256(files.get(name)!))
    assert.deepEqual(digests, image.diffIds)
  })
})

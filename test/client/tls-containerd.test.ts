// Goal: containerd pushes and pulls over TLS and mTLS as its hosts.toml says. Method: one daemon, and a
// folder of hosts with the CA of a TLS server and the certificate pair for one that requires it.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { startContainerd } from '../support/engines.ts'
import { digestsOf, layoutArchive, makeImage } from '../support/images.ts'
import { attempt, run } from '../support/run.ts'
import { assertServesImage } from '../support/served.ts'
import { type TlsServer, usePki, useTlsServer } from '../support/tls-server.ts'
import { needsRootAnd } from '../support/tools.ts'

const options = { layers: 2, bytesPerLayer: 1_500_000, seed: 'tls-containerd' }

/** The `hosts.toml` of a server in the folder `hosts`. */
async function writeHost(hosts: string, { host, url }: TlsServer, tls: string): Promise<void> {
  await mkdir(join(hosts, host), { recursive: true })
  const lines = [
    `server = "${url}"`,
    `[host."${url}"]`,
    'capabilities = ["pull", "resolve", "push"]',
    tls,
  ]
  await writeFile(join(hosts, host, 'hosts.toml'), `${lines.join('\n')}\n`)
}

describe('over TLS', needsRootAnd('openssl', 'containerd', 'ctr'), () => {
  const scene = usePki()
  const plain = useTlsServer(scene, () => ({}))
  const mutual = useTlsServer(scene, () => ({ clientAuth: 'required' }))

  test('containerd pushes and pulls', async (t) => {
    const { dir, pki } = scene
    const steps: (() => Promise<unknown>)[] = []
    t.after(() => Promise.all(steps.map((step) => step())))
    const address = await startContainerd({ dir, onEnd: (step) => steps.push(step) })
    const ctr = (...args: readonly string[]): Promise<string> =>
      run('ctr', ['--address', address, ...args])
    const image = await makeImage(join(dir, 'made'), options)
    const archive = join(dir, 'layout.tar')
    await writeFile(archive, await layoutArchive(image.dir, digestsOf(image)))
    const importing = ['images', 'import', '--all-platforms', '--no-unpack', '--base-name', 'made']
    await ctr(...importing, archive)

    const { serverCa, client } = pki
    const ca = `ca = ${JSON.stringify(serverCa.certificateFile)}`
    const pair = JSON.stringify([[client.bundleFile, client.keyFile]])
    const hosts = join(dir, 'hosts')
    await writeHost(hosts, plain.get(), ca)
    await writeHost(hosts, mutual.get(), `${ca}\nclient = ${pair}`)
    for (const [name, { host, server }] of [
      ['tls/app', plain.get()],
      ['mtls/app', mutual.get()],
    ] as const) {
      const reference = `${host}/${name}:v1`
      await ctr('images', 'tag', 'made:latest', reference)
      await ctr('images', 'push', '--hosts-dir', hosts, reference)
      await assertServesImage(server.url, name, 'v1', image)
      await ctr('images', 'rm', '--sync', reference)
      const pulling = ['images', 'pull', '--hosts-dir', hosts, '--snapshotter', 'native']
      await ctr(...pulling, reference)
      assert.ok((await ctr('images', 'ls', '-q')).split('\n').includes(reference))
    }

    const blind = join(dir, 'blind')
    await writeHost(blind, plain.get(), '')
    await writeHost(blind, mutual.get(), ca)
    const refused = { [plain.get().host]: /x509/, [mutual.get().host]: /tls: |certificate/ }
    for (const [host, message] of Object.entries(refused)) {
      const pulling = ['--address', address, 'images', 'pull', '--hosts-dir', blind]
      const { code, stderr } = await attempt('ctr', [...pulling, `${host}/tls/app:v1`])
      assert.notEqual(code, 0)
      assert.match(stderr, message)
    }
  })
})

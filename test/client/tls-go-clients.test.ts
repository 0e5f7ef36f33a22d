// Goal: crane and regctl push and pull over TLS, and regctl over mTLS, which crane has no option for.
// Method: the system's trusted roots are the test's CA, by the variable that Go's programs read.
import assert from 'node:assert/strict'
import { mkdtemp, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, type TestContext, test } from 'node:test'
import { goTool, needsGo } from '../support/go-tools.ts'
import { digestsOf, type Image, makeImage } from '../support/images.ts'
import { needsOpenssl } from '../support/pki.ts'
import { attempt, type Finished, run } from '../support/run.ts'
import { assertSameBlobs, assertServesImage } from '../support/served.ts'
import { usePki, useTlsServer } from '../support/tls-server.ts'

const programs = {
  crane: 'github.com/google/go-containerregistry/cmd/crane',
  regctl: 'github.com/regclient/regclient/cmd/regctl',
} as const

describe('over TLS', { skip: needsGo().skip || needsOpenssl.skip }, () => {
  const scene = usePki()
  const plain = useTlsServer(scene, () => ({}))
  const mutual = useTlsServer(scene, () => ({ clientAuth: 'required' }))
  let image: Image
  before(async () => {
    const options = { layers: 2, bytesPerLayer: 1_500_000, seed: 'tls-go' }
    image = await makeImage(join(scene.dir, 'made'), options)
  })

  interface Client {
    readonly dir: string
    run(...args: readonly string[]): Promise<string>
    attempt(...args: readonly string[]): Promise<Finished>
  }

  async function openClient(
    t: TestContext,
    name: keyof typeof programs,
  ): Promise<Client | undefined> {
    const program = await goTool(t, 'test/client/go', programs[name])
    if (program === undefined) return undefined
    const dir = await mkdtemp(join(scene.dir, `${name}-`))
    const trust = { SSL_CERT_FILE: scene.pki.serverCa.certificateFile, SSL_CERT_DIR: dir }
    const env = { PATH: process.env['PATH'], HOME: dir, DOCKER_CONFIG: dir, ...trust }
    return {
      dir,
      run: (...args) => run(program, args, { env }),
      attempt: (...args) => attempt(program, args, { env }),
    }
  }

  test('crane pushes and pulls', async (t) => {
    const client = await openClient(t, 'crane')
    if (client === undefined) return
    const { host, server } = plain.get()
    await client.run('push', image.dir, `${host}/crane/app:v1`)
    await assertServesImage(server.url, 'crane/app', 'v1', image)
    await client.run('pull', '--format', 'oci', `${host}/crane/app:v1`, join(client.dir, 'back'))
    await assertSameBlobs(join(client.dir, 'back'), image.dir, digestsOf(image))
  })

  test('regctl pushes and pulls', async (t) => {
    const client = await openClient(t, 'regctl')
    if (client === undefined) return
    const { host, server } = plain.get()
    await client.run('image', 'copy', `ocidir://${image.dir}:latest`, `${host}/regctl/app:v1`)
    await assertServesImage(server.url, 'regctl/app', 'v1', image)
    await client.run('image', 'copy', `${host}/regctl/app:v1`, `ocidir://${client.dir}/back:v1`)
    await assertSameBlobs(join(client.dir, 'back'), image.dir, digestsOf(image))
  })

  test('regctl pushes and pulls with its client certificate alone', async (t) => {
    const client = await openClient(t, 'regctl')
    if (client === undefined) return
    const { host, server } = mutual.get()
    const target = `${host}/regctl/app:v1`
    const without = await client.attempt('image', 'copy', `ocidir://${image.dir}:latest`, target)
    assert.notEqual(without.code, 0)
    assert.match(without.stderr, /tls: |certificate/)
    const { bundleFile, keyFile } = scene.pki.client
    const [cert, key] = await Promise.all([readFile(bundleFile, 'utf8'), readFile(keyFile, 'utf8')])
    await client.run('registry', 'set', host, '--client-cert', cert, '--client-key', key)
    await client.run('image', 'copy', `ocidir://${image.dir}:latest`, target)
    await assertServesImage(server.url, 'regctl/app', 'v1', image)
    await client.run('image', 'copy', target, `ocidir://${client.dir}/back:v1`)
    await assertSameBlobs(join(client.dir, 'back'), image.dir, digestsOf(image))
  })
})

// Goal: docker, podman and containerd 1.x and 2.x pull with the certificate folders and the settings of
// the document "Configure mTLS". Method: its commands as they stand, on a host whose /etc is the test's
// own, against a registry that requires client certificates and listens where the references point.
import assert from 'node:assert/strict'
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { pullImage } from '../support/cri.ts'
import { startContainerd, startDockerd } from '../support/engines.ts'
import { goTool, needsGo } from '../support/go-tools.ts'
import { type Image, makeImage } from '../support/images.ts'
import { needsPrivateHostAnd, openPrivateHost, type PrivateHost } from '../support/private-host.ts'
import { attempt, run } from '../support/run.ts'
import { containersEnv } from '../support/scene.ts'
import { type Server, startServer } from '../support/server.ts'
import { stopServer, usePki } from '../support/tls-server.ts'
import { needs, needsThat } from '../support/tools.ts'
import {
  certificateFolders,
  configuration,
  containerdConfigurations,
  dockerCommand,
  withFilesIn,
} from './configure-mtls.ts'
import { layOut, type MtlsFiles, storeIn } from './mtls-scene.ts'

const reference = 'registry.example.com/test/alpine:latest'
const options = { layers: 2, bytesPerLayer: 1_500_000, seed: 'seed' }

describe('with the document’s settings', needsPrivateHostAnd('openssl', 'skopeo'), () => {
  const scene = usePki()
  let host: PrivateHost
  let server: Server
  let files: MtlsFiles
  let image: Image

  before(async () => {
    const { dir } = scene
    files = await layOut(scene, scene.pki.client)
    host = await openPrivateHost(dir, ['registry.example.com'])
    // References without a port mean this one.
    const base = withFilesIn(files.tls, configuration).replace('port = 8000', 'port = 443')
    const open = '[global.access_policy]\ndefault = "allow"\n'
    server = await startServer({
      base,
      toml: open + storeIn(join(dir, 'store')),
      wrap: host.enter,
    })
    image = await makeImage(join(dir, 'made'), options)
    await type('podman')
    const env = await containersEnv(dir)
    const target = `docker://${reference}`
    // The folder of podman's is skopeo's too.
    await host.run('skopeo', ['copy', `oci:${image.dir}:latest`, target], { env })
  })
  after(async () => {
    await stopServer(server)
    await host.close()
  })

  /** Type the commands that make a runtime's folder. */
  async function type(runtime: keyof typeof certificateFolders): Promise<void> {
    const script = `set -e\n${certificateFolders[runtime]}`
    await host.run('bash', ['-c', script], { cwd: files.work })
  }

  async function engineScene(t: TestContext): Promise<{
    readonly dir: string
    onEnd(step: () => Promise<unknown>): void
  }> {
    const dir = await mkdtemp(join(scene.dir, 'e-'))
    return { dir, onEnd: (step) => t.after(step) }
  }

  test('docker pulls', needs('docker', 'dockerd'), async (t) => {
    const engine = await engineScene(t)
    const DOCKER_HOST = await startDockerd(engine, { host })
    const env = { ...process.env, DOCKER_HOST, DOCKER_CONFIG: join(engine.dir, 'config') }
    const [docker = '', ...args] = dockerCommand.split(' ')
    const without = await attempt(docker, args, { env })
    assert.notEqual(without.code, 0)
    assert.match(without.stderr, /x509|certificate/)
    await type('docker')
    await run(docker, args, { env })
    const inspecting = ['image', 'inspect', '--format', '{{.Id}}', reference]
    assert.equal(await run(docker, inspecting, { env }), image.config.digest)
  })

  test('podman pulls', needs('podman'), async () => {
    const dir = await mkdtemp(join(scene.dir, 'p-'))
    const env = await containersEnv(dir)
    const storage = ['--root', join(dir, 'root'), '--runroot', join(dir, 'run')]
    const flags = [...storage, '--storage-driver', 'vfs', '--log-level', 'error']
    const id = await host.run('podman', [...flags, 'pull', '--quiet', reference], { env })
    assert.equal(`sha256:${id}`, image.config.digest)
    const certificate = '/etc/containers/certs.d/registry.example.com/client.cert'
    await host.run('mv', [certificate, `${certificate}.away`])
    const without = await host.attempt('podman', [...flags, 'pull', reference], { env })
    await host.run('mv', [`${certificate}.away`, certificate])
    assert.notEqual(without.code, 0)
    assert.match(without.stderr, /certificate|tls/)
  })

  const native = {
    '1.x': '[plugins."io.containerd.grpc.v1.cri".containerd]\nsnapshotter = "native"\n',
    '2.x': `[plugins."io.containerd.cri.v1.images"]\nsnapshotter = "native"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux/amd64"
snapshotter = "native"
`,
  } as const

  async function pullByCri(t: TestContext, version: '1.x' | '2.x', program: string): Promise<void> {
    const engine = await engineScene(t)
    await host.run('rm', ['-rf', '/etc/containerd/certs.d'])
    const config = containerdConfigurations[version] + native[version]
    const address = await startContainerd(engine, { host, program, config })
    await assert.rejects(pullImage(address, reference), /x509|certificate/)
    await type('containerd')
    const id = await pullImage(address, reference)
    assert.equal(id, image.config.digest)
  }

  test('containerd 1.x pulls for the kubelet', needs('containerd', 'ctr'), async (t) => {
    const version = await run('containerd', ['--version'])
    const { skip } = needsThat(/ v?1\.\d/.test(version) ? [] : [`containerd 1.x: ${version}`])
    if (skip !== false) return t.skip(skip)
    await pullByCri(t, '1.x', 'containerd')
  })

  test('containerd 2.x pulls for the kubelet', needsGo(), async (t) => {
    const module = 'github.com/containerd/containerd/v2/cmd/containerd'
    const tags = ['no_btrfs', 'no_devmapper', 'no_zfs']
    const program = await goTool(t, 'test/client/go-containerd', module, tags)
    if (program !== undefined) await pullByCri(t, '2.x', program)
  })
})

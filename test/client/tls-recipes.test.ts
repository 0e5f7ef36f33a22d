// Goal: what docs/clients-tls.md tells people to type works. Method: each section's bash blocks run as
// one script on a host of their own, where the page's registry has its name, its port and /etc.
import assert from 'node:assert/strict'
import { copyFile, mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { startContainerd, startDockerd } from '../support/engines.ts'
import { goTool, needsGo } from '../support/go-tools.ts'
import { needsPrivateHostAnd, openPrivateHost, type PrivateHost } from '../support/private-host.ts'
import { recipesOf } from '../support/recipes.ts'
import { containersEnv } from '../support/scene.ts'
import { type Server, startServer } from '../support/server.ts'
import { stopServer, tlsTable, usePki } from '../support/tls-server.ts'
import { needs } from '../support/tools.ts'

const scripts = await recipesOf('clients-tls.md')
const [, address = ''] = /^REGISTRY=(\S+)$/m.exec(scripts.get('') ?? '') ?? []

// Who shows no certificate may read: crane has no option for one.
const policy = `
[global.access_policy]
default = "deny"
rules = [
  "size(identity.certificate.common_names) > 0",
  "request.action in ['get-api-version', 'get-manifest', 'get-blob', 'list-tags']",
]
`

test('every section of the page with a script has a test here', () => {
  const engines = ['docker', 'podman', 'buildah', 'skopeo', 'containerd', 'crane', 'regctl']
  assert.deepEqual([...scripts.keys()], ['', 'curl', ...engines, 'When it does not work'])
})

describe('the page’s recipes', needsPrivateHostAnd('openssl', 'curl'), () => {
  const scene = usePki()
  let host: PrivateHost
  let server: Server
  let work: string
  let env: NodeJS.ProcessEnv

  before(async () => {
    const { dir, pki } = scene
    work = join(dir, 'work')
    await mkdir(work)
    await mkdir(join(dir, 'bin'))
    host = await openPrivateHost(dir, [address])
    const certificate = await pki.serverCa.serverCertificate({ sans: [`DNS:${address}`] })
    const tls = {
      server_certificate_bundle: certificate.bundleFile,
      server_private_key: certificate.keyFile,
    }
    server = await startServer({
      wrap: host.enter,
      listeners: ['bind_address = "0.0.0.0"\nport = 443'],
      toml: tlsTable(pki, { clientAuth: 'optional', tls }) + policy,
    })
    await copyFile(pki.serverCa.certificateFile, join(work, 'ca.crt'))
    await copyFile(pki.client.bundleFile, join(work, 'client.cert'))
    await copyFile(pki.client.keyFile, join(work, 'client.key'))
    const storage = join(dir, 'storage.conf')
    const places = `graphroot = "${dir}/graph"\nrunroot = "${dir}/run"\n`
    await writeFile(storage, `[storage]\ndriver = "vfs"\n${places}`)
    const base = await containersEnv(dir)
    env = {
      ...base,
      PATH: `${join(dir, 'bin')}:${base['PATH']}`,
      CONTAINERS_STORAGE_CONF: storage,
      BUILDAH_ISOLATION: 'chroot',
      DOCKER_CONFIG: dir,
      DOCKER_HOST: `unix://${join(dir, 'docker.sock')}`,
      CONTAINERD_ADDRESS: join(dir, 'containerd.sock'),
      CONTAINERD_SNAPSHOTTER: 'native',
    }
    await section('curl')
  })
  after(async () => {
    await stopServer(server)
    await host.close()
  })

  async function section(heading: string, cwd = work): Promise<void> {
    const body = scripts.get(heading)
    assert.ok(body, `docs/clients-tls.md has no bash block under "${heading}"`)
    const script = `set -euxo pipefail\n${scripts.get('')}${body}`
    const { code, stderr } = await host.attempt('bash', ['-c', script], { cwd, env })
    // The trace ends with the recipe's line that failed.
    assert.equal(code, 0, `"${heading}" ended with ${code}\n${stderr.slice(-2000)}`)
  }

  /** A folder of its own for a recipe, with the files that the page speaks of. */
  async function newFolder(): Promise<string> {
    const folder = await mkdtemp(join(scene.dir, 'w-'))
    for (const file of ['ca.crt', 'client.cert', 'client.key', 'hello.txt']) {
      await copyFile(join(work, file), join(folder, file))
    }
    return folder
  }

  async function assertTagged(name: string): Promise<void> {
    const url = `https://${address}/v2/${name}/manifests/v1`
    const accept = 'application/vnd.docker.distribution.manifest.v2+json, */*'
    const args = ['-fsS', '--cacert', 'ca.crt', '-H', `Accept: ${accept}`, url]
    const manifest = JSON.parse(await host.run('curl', args, { cwd: work }))
    assert.equal(manifest.layers.length, 1)
  }

  test('curl', () => assertTagged('demo/hello'))

  for (const name of ['podman', 'buildah', 'skopeo']) {
    test(name, needs(name), async () => {
      await section(name, await newFolder())
      await assertTagged(`demo/${name}`)
    })
  }

  test('docker', needs('docker', 'dockerd'), async (t) => {
    await startDockerd({ dir: scene.dir, onEnd: (step) => t.after(step) }, { host })
    await section('docker', await newFolder())
    await assertTagged('demo/docker')
  })

  test('containerd', needs('containerd', 'ctr'), async (t) => {
    await startContainerd({ dir: scene.dir, onEnd: (step) => t.after(step) }, { host })
    await section('containerd', await newFolder())
    await assertTagged('demo/containerd')
  })

  async function link(t: TestContext, name: string, program: string): Promise<boolean> {
    const built = await goTool(t, 'test/client/go', program)
    if (built !== undefined) await symlink(built, join(scene.dir, 'bin', name))
    return built !== undefined
  }

  test('crane', needsGo(), async (t) => {
    if (!(await link(t, 'crane', 'github.com/google/go-containerregistry/cmd/crane'))) return
    await section('crane', await newFolder())
  })

  test('regctl', needsGo(), async (t) => {
    if (!(await link(t, 'regctl', 'github.com/regclient/regclient/cmd/regctl'))) return
    await section('regctl', await newFolder())
    await assertTagged('demo/regctl')
  })

  test('openssl', () => section('When it does not work'))
})

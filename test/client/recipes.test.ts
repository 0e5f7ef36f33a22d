// Goal: what docs/clients.md tells people to type works. Method: each section's bash blocks run as
// one script, in the page's order, against a fresh registry; any failing line fails its section.
import assert from 'node:assert/strict'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startContainerd, startDockerd } from '../support/engines.ts'
import { goTool, needsGo } from '../support/go-tools.ts'
import { recipesOf } from '../support/recipes.ts'
import { attempt } from '../support/run.ts'
import { containersEnv, openScene, type Scene } from '../support/scene.ts'
import { getManifest } from '../support/served.ts'
import { needs, needsRootAnd } from '../support/tools.ts'

const scripts = await recipesOf('clients.md')
const address = /^REGISTRY=(\S+)$/m.exec(scripts.get('') ?? '')?.[1]

interface Page extends Scene {
  section(heading: string): Promise<void>
}

async function openPage(t: TestContext): Promise<Page> {
  const scene = await openScene(t)
  const { dir, server } = scene
  const work = join(dir, 'work')
  await mkdir(work)
  await mkdir(join(dir, 'bin'))
  const storage = join(dir, 'storage.conf')
  await writeFile(
    storage,
    `[storage]\ndriver = "vfs"\ngraphroot = "${dir}/graph"\nrunroot = "${dir}/run"\n`,
  )
  const base = await containersEnv(dir)
  const env = {
    ...base,
    PATH: `${join(dir, 'bin')}:${base['PATH']}`,
    CONTAINERS_STORAGE_CONF: storage,
    BUILDAH_ISOLATION: 'chroot',
    DOCKER_CONFIG: dir,
    DOCKER_HOST: `unix://${join(dir, 'docker.sock')}`,
    CONTAINERD_ADDRESS: join(dir, 'containerd.sock'),
    CONTAINERD_SNAPSHOTTER: 'native',
  }
  const section = async (heading: string): Promise<void> => {
    const body = scripts.get(heading)
    assert.ok(body, `docs/clients.md has no bash block under "${heading}"`)
    const script = `set -euxo pipefail\nREGISTRY=${server.host}\n${body}`
    const { code, stderr } = await attempt('bash', ['-c', script], { cwd: work, env })
    // The trace ends with the recipe's line that failed.
    assert.equal(code, 0, `"${heading}" ended with ${code}\n${stderr.slice(-2000)}`)
  }
  return { ...scene, section }
}

/** Opens the page's registry with the image that its curl section leaves there. */
async function openSeededPage(t: TestContext): Promise<Page> {
  const page = await openPage(t)
  await page.section('curl')
  return page
}

async function assertTagged(page: Page, name: string, tag: string): Promise<void> {
  const { bytes } = await getManifest(page.server.url, name, tag)
  assert.equal(JSON.parse(bytes.toString()).layers.length, 1)
}

test('the page names the address of the quick start', () => {
  assert.equal(address, '127.0.0.1:8000')
})

test('every section of the page with a script has a test here', () => {
  const tested = ['', 'curl', 'docker', 'podman', 'buildah', 'skopeo', 'containerd']
  const others = ['crane', 'regctl', 'Logging in']
  assert.deepEqual([...scripts.keys()], [...tested, ...others])
})

test('the curl recipes work', needs('bash', 'curl'), async (t) => {
  const page = await openPage(t)
  await page.section('curl')
  await assertTagged(page, 'demo/hello', 'v1')
})

test('the docker recipes work', needsRootAnd('curl', 'docker', 'dockerd'), async (t) => {
  const page = await openSeededPage(t)
  await startDockerd(page)
  await page.section('docker')
  await assertTagged(page, 'demo/docker', 'v1')
})

for (const name of ['podman', 'buildah', 'skopeo']) {
  test(`the ${name} recipes work`, needsRootAnd('curl', name), async (t) => {
    const page = await openSeededPage(t)
    await page.section(name)
    if (name !== 'skopeo') return assertTagged(page, `demo/${name}`, 'v1')
    await assertTagged(page, 'mirror/hello', 'v1')
  })
}

test('the containerd recipes work', needsRootAnd('curl', 'containerd', 'ctr'), async (t) => {
  const page = await openSeededPage(t)
  await startContainerd(page)
  await page.section('containerd')
  await assertTagged(page, 'demo/containerd', 'v1')
})

for (const [name, program] of [
  ['crane', 'github.com/google/go-containerregistry/cmd/crane'],
  ['regctl', 'github.com/regclient/regclient/cmd/regctl'],
] as const) {
  test(`the ${name} recipes work`, { skip: needs('curl').skip || needsGo().skip }, async (t) => {
    const built = await goTool(t, 'test/client/go', program)
    if (built === undefined) return
    const page = await openSeededPage(t)
    await symlink(built, join(page.dir, 'bin', name))
    await page.section(name)
    await assertTagged(page, `demo/${name}`, 'v1')
  })
}

// Goal: containerd pushes and pulls through the registry over plain HTTP. Method: a daemon of its
// own, and every blob of its content store compared with the image that was made.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { containerdRoot, startContainerd } from '../support/engines.ts'
import {
  blobPath,
  digestsOf,
  layoutArchive,
  makeImage,
  makeIndex,
  sha256,
} from '../support/images.ts'
import { run } from '../support/run.ts'
import { openScene, type Scene } from '../support/scene.ts'
import { assertServesImage, assertServesIndex } from '../support/served.ts'
import { needsRootAnd } from '../support/tools.ts'

interface ContainerdScene extends Scene {
  ctr(...args: readonly string[]): Promise<string>
}

const options = { layers: 4, bytesPerLayer: 3_000_000, seed: 'containerd' }
const architectures = ['amd64', 'arm64']

async function openContainerd(t: TestContext): Promise<ContainerdScene> {
  const scene = await openScene(t)
  const flags = ['--address', await startContainerd(scene)]
  return { ...scene, ctr: (...args) => run('ctr', [...flags, ...args]) }
}

async function importAs(
  scene: ContainerdScene,
  layout: string,
  digests: readonly string[],
  reference: string,
): Promise<void> {
  const archive = join(scene.dir, 'layout.tar')
  await writeFile(archive, await layoutArchive(layout, digests))
  await scene.ctr(
    'images',
    'import',
    '--all-platforms',
    '--no-unpack',
    '--base-name',
    'made',
    archive,
  )
  await scene.ctr('images', 'tag', 'made:latest', reference)
}

/** Without an image to hold it, the daemon's collector has emptied the content store. */
async function forgetAll(scene: ContainerdScene, ...references: readonly string[]): Promise<void> {
  await scene.ctr('images', 'rm', '--sync', ...references)
  assert.equal(await scene.ctr('content', 'ls', '-q'), '')
}

async function assertStored(
  scene: ContainerdScene,
  layout: string,
  digests: readonly string[],
): Promise<void> {
  const stored = (await scene.ctr('content', 'ls', '-q')).split('\n').sort()
  assert.deepEqual(stored, [...digests].sort())
  for (const digest of digests) {
    const path = join(containerdRoot(scene.dir), 'io.containerd.content.v1.content')
    const bytes = await readFile(blobPath(path, digest))
    assert.equal(sha256(bytes), digest)
    assert.ok(bytes.equals(await readFile(blobPath(layout, digest))), digest)
  }
}

test(
  'containerd pushes an image and pulls it back',
  needsRootAnd('containerd', 'ctr'),
  async (t) => {
    const scene = await openContainerd(t)
    const { dir, server, ctr } = scene
    const image = await makeImage(join(dir, 'made'), options)
    const reference = `${server.host}/team/app:v1`
    await importAs(scene, image.dir, digestsOf(image), reference)
    await ctr('images', 'push', '--plain-http', reference)
    await assertServesImage(server.url, 'team/app', 'v1', image)
    await forgetAll(scene, reference, 'made:latest')
    await ctr('images', 'pull', '--plain-http', '--snapshotter', 'native', reference)
    await assertStored(scene, image.dir, digestsOf(image))
  },
)

test('containerd pushes and pulls all platforms', needsRootAnd('containerd', 'ctr'), async (t) => {
  const scene = await openContainerd(t)
  const { dir, server, ctr } = scene
  const made = await makeIndex(join(dir, 'made'), { ...options, layers: 2, architectures })
  const digests = [made.index.digest, ...made.images.flatMap(digestsOf)]
  const reference = `${server.host}/team/multi:v1`
  await importAs(scene, made.dir, digests, reference)
  await ctr('images', 'push', '--plain-http', reference)
  await assertServesIndex(server.url, 'team/multi', 'v1', made)
  await forgetAll(scene, reference, 'made:latest')
  const pull = ['images', 'pull', '--plain-http', '--all-platforms', '--snapshotter', 'native']
  await ctr(...pull, reference)
  await assertStored(scene, made.dir, digests)
})

test('containerd pulls one platform by digest', needsRootAnd('containerd', 'ctr'), async (t) => {
  const scene = await openContainerd(t)
  const { dir, server, ctr } = scene
  const made = await makeIndex(join(dir, 'made'), { ...options, layers: 2, architectures })
  const digests = [made.index.digest, ...made.images.flatMap(digestsOf)]
  const reference = `${server.host}/team/multi:v1`
  await importAs(scene, made.dir, digests, reference)
  await ctr('images', 'push', '--plain-http', reference)
  await forgetAll(scene, reference, 'made:latest')
  const byDigest = `${server.host}/team/multi@${made.index.digest}`
  const pull = ['images', 'pull', '--plain-http', '--platform', 'linux/arm64']
  await ctr(...pull, '--snapshotter', 'native', byDigest)
  const wanted = digestsOf(made.images[1]!)
  const stored = new Set((await ctr('content', 'ls', '-q')).split('\n'))
  for (const digest of [made.index.digest, ...wanted]) assert.ok(stored.has(digest), digest)
  assert.ok(!stored.has(made.images[0]!.layers[0]!.digest))
})

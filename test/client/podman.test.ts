// Goal: podman pushes and pulls through the registry. Method: storage of its own under the test's
// folder; digests, image id and the unpacked files are compared.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  digestsOf,
  type Image,
  layoutArchive,
  makeImage,
  makeIndex,
  seededBytes,
} from '../support/images.ts'
import { run } from '../support/run.ts'
import { containersEnv, openScene, type Scene } from '../support/scene.ts'
import { assertServesWhole, pushImage } from '../support/served.ts'
import { needsRootAnd } from '../support/tools.ts'

interface PodmanScene extends Scene {
  podman(...args: readonly string[]): Promise<string>
}

const options = { layers: 4, bytesPerLayer: 3_000_000, seed: 'podman' }

async function openPodman(t: TestContext): Promise<PodmanScene> {
  const scene = await openScene(t)
  const env = await containersEnv(scene.dir)
  const storage = ['--root', join(scene.dir, 'root'), '--runroot', join(scene.dir, 'run')]
  const flags = [...storage, '--storage-driver', 'vfs', '--log-level', 'error']
  const podman = (...args: readonly string[]): Promise<string> =>
    run('podman', [...flags, ...args], { env })
  scene.onEnd(() => podman('image', 'umount', '--all'))
  return { ...scene, podman }
}

/** The files that podman unpacked are the ones the layers were made of. */
async function assertUnpacked(scene: PodmanScene, reference: string): Promise<void> {
  const root = await scene.podman('image', 'mount', reference)
  for (let i = 0; i < options.layers; i++) {
    const seed = `podman-amd64-${i}`
    const bytes = await readFile(join(root, seed, 'link'))
    assert.ok(bytes.equals(seededBytes(seed, options.bytesPerLayer)), seed)
  }
}

async function assertPulled(
  scene: PodmanScene,
  reference: string,
  digest: string,
  image: Image,
): Promise<void> {
  const [found] = JSON.parse(await scene.podman('image', 'inspect', reference))
  assert.equal(found.Digest, digest)
  assert.equal(`sha256:${found.Id}`, image.config.digest)
  assert.deepEqual(found.RootFS.Layers, image.diffIds)
}

test('podman pushes an image and pulls it back', needsRootAnd('podman'), async (t) => {
  const scene = await openPodman(t)
  const { dir, server, podman } = scene
  const image = await makeImage(join(dir, 'made'), options)
  const reference = `${server.host}/team/app:v1`
  const digestFile = join(dir, 'digest')
  const archive = join(dir, 'layout.tar')
  await writeFile(archive, await layoutArchive(image.dir, digestsOf(image)))
  await podman('load', '--input', archive)
  await podman('tag', image.config.digest.slice('sha256:'.length), reference)
  await podman('push', '--tls-verify=false', '--digestfile', digestFile, reference)
  const { digest, manifest } = await assertServesWhole(server.url, 'team/app', 'v1')
  assert.equal((await readFile(digestFile, 'utf8')).trim(), digest)
  assert.equal(manifest.config.digest, image.config.digest)

  await podman('rmi', '--all', '--force')
  assert.equal(await podman('images', '-aq'), '')
  await podman('pull', '--tls-verify=false', reference)
  await assertPulled(scene, reference, digest, image)
  await assertUnpacked(scene, reference)
})

test('podman pulls an OCI image by digest', needsRootAnd('podman'), async (t) => {
  const scene = await openPodman(t)
  const { dir, server, podman } = scene
  const image = await makeImage(join(dir, 'made'), options)
  await pushImage(server.url, 'team/oci', 'v1', image)
  const reference = `${server.host}/team/oci@${image.manifest.digest}`
  await podman('pull', '--tls-verify=false', reference)
  await assertPulled(scene, reference, image.manifest.digest, image)
  await assertUnpacked(scene, reference)
})

test(
  'podman pushes a manifest list and pulls one platform of it',
  needsRootAnd('podman'),
  async (t) => {
    const { dir, server, podman } = await openPodman(t)
    const architectures = ['amd64', 'arm64']
    const made = await makeIndex(join(dir, 'made'), { ...options, layers: 2, architectures })
    const reference = `${server.host}/team/multi:v1`
    for (const image of made.images) {
      await pushImage(server.url, 'team/multi', image.manifest.digest, image)
    }
    await podman('manifest', 'create', 'local/multi')
    for (const { manifest } of made.images) {
      const member = `docker://${server.host}/team/multi@${manifest.digest}`
      await podman('manifest', 'add', '--tls-verify=false', 'local/multi', member)
    }
    await podman('manifest', 'push', '--all', '--tls-verify=false', 'local/multi', reference)
    await podman('manifest', 'rm', 'local/multi')
    await podman('pull', '--tls-verify=false', '--arch', 'arm64', reference)
    const [found] = JSON.parse(await podman('image', 'inspect', reference))
    assert.equal(`sha256:${found.Id}`, made.images[1]!.config.digest)
  },
)

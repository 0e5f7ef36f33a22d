// Goal: the Docker engine pushes and pulls through the registry. Method: an engine of its own per
// test file on a unix socket, without networking; the saved layers are compared byte by byte.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startDockerd } from '../support/engines.ts'
import {
  dockerArchive,
  type Image,
  type ImageOptions,
  makeImage,
  sha256,
} from '../support/images.ts'
import { run } from '../support/run.ts'
import { openScene, type Scene } from '../support/scene.ts'
import { assertServesWhole, pushImage } from '../support/served.ts'
import { untar } from '../support/tar.ts'
import { needsRootAnd } from '../support/tools.ts'

interface DockerScene extends Scene {
  docker(...args: readonly string[]): Promise<string>
}

const options: ImageOptions = { layers: 4, bytesPerLayer: 3_000_000, seed: 'docker' }

async function openDocker(t: TestContext): Promise<DockerScene> {
  const scene = await openScene(t)
  const env = {
    ...process.env,
    DOCKER_HOST: await startDockerd(scene),
    DOCKER_CONFIG: join(scene.dir, 'config'),
  }
  return { ...scene, docker: (...args) => run('docker', args, { env }) }
}

/** The layers that `docker save` writes are the ones the image was made of. */
async function assertSaved(scene: DockerScene, reference: string, image: Image): Promise<void> {
  const path = join(scene.dir, 'saved.tar')
  await scene.docker('save', '-o', path, reference)
  const files = untar(await readFile(path))
  const [saved] = JSON.parse(files.get('manifest.json')!.toString())
  const digests = saved.Layers.map((name: string) => sha256(files.get(name)!))
  assert.deepEqual(digests, image.diffIds)
}

async function loadAs(scene: DockerScene, image: Image, reference: string): Promise<void> {
  const path = join(scene.dir, 'load.tar')
  await writeFile(path, await dockerArchive(image, options, reference))
  await scene.docker('load', '-i', path)
}

function inspect(scene: DockerScene, reference: string, field: string): Promise<string> {
  return scene.docker('image', 'inspect', '--format', `{{${field}}}`, reference)
}

test('docker pushes an image and pulls it back', needsRootAnd('docker', 'dockerd'), async (t) => {
  const scene = await openDocker(t)
  const { server, docker } = scene
  const image = await makeImage(join(scene.dir, 'made'), options)
  const reference = `${server.host}/team/app:v1`
  await loadAs(scene, image, reference)
  const pushed = await docker('push', reference)
  const { digest, manifest } = await assertServesWhole(server.url, 'team/app', 'v1')
  assert.match(pushed, new RegExp(`digest: ${digest} `))
  assert.equal(manifest.config.digest, image.config.digest)
  assert.equal(manifest.layers.length, options.layers)

  await docker('rmi', reference)
  assert.equal(await docker('images', '-aq'), '')
  await docker('pull', reference)
  assert.equal(await inspect(scene, reference, '.Id'), image.config.digest)
  const [repoDigest] = JSON.parse(await inspect(scene, reference, 'json .RepoDigests'))
  assert.equal(repoDigest, `${server.host}/team/app@${digest}`)
  await assertSaved(scene, reference, image)
})

test('docker pulls an OCI image by digest', needsRootAnd('docker', 'dockerd'), async (t) => {
  const scene = await openDocker(t)
  const { server, docker } = scene
  const image = await makeImage(join(scene.dir, 'made'), options)
  await pushImage(server.url, 'team/oci', 'v1', image)
  const reference = `${server.host}/team/oci@${image.manifest.digest}`
  await docker('pull', reference)
  assert.equal(await inspect(scene, reference, '.Id'), image.config.digest)
  await assertSaved(scene, reference, image)
})

test(
  'docker mounts known layers and sends none twice',
  needsRootAnd('docker', 'dockerd'),
  async (t) => {
    const scene = await openDocker(t)
    const { server, docker } = scene
    const image = await makeImage(join(scene.dir, 'made'), options)
    const [first, second] = [`${server.host}/team/one:v1`, `${server.host}/team/two:v1`]
    await loadAs(scene, image, first)
    await docker('push', first)
    await docker('tag', first, second)
    const mounted = await docker('push', second)
    assert.equal(mounted.match(/Mounted from team\/one/g)?.length, options.layers, mounted)
    const again = await docker('push', first)
    assert.equal(again.match(/Layer already exists/g)?.length, options.layers, again)
    const one = await assertServesWhole(server.url, 'team/one', 'v1')
    const two = await assertServesWhole(server.url, 'team/two', 'v1')
    assert.equal(one.digest, two.digest)
  },
)

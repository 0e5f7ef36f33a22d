// Goal: skopeo can do all it offers against the registry. Method: images made in the test go up and
// come back with skopeo alone, and every byte is compared on both ends.
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { digestsOf, makeImage, makeIndex } from '../support/images.ts'
import { attempt, run } from '../support/run.ts'
import { containersEnv, openScene, type Scene } from '../support/scene.ts'
import {
  assertSameBlobs,
  assertServesImage,
  assertServesIndex,
  getManifest,
} from '../support/served.ts'
import { needs } from '../support/tools.ts'

interface SkopeoScene extends Scene {
  skopeo(...args: readonly string[]): Promise<string>
  readonly env: NodeJS.ProcessEnv
}

async function openSkopeo(t: TestContext): Promise<SkopeoScene> {
  const scene = await openScene(t)
  const env = await containersEnv(scene.dir)
  return { ...scene, env, skopeo: (...args) => run('skopeo', args, { env }) }
}

const plainSource = '--src-tls-verify=false'
const plainTarget = '--dest-tls-verify=false'
const options = { layers: 4, bytesPerLayer: 3_000_000, seed: 'skopeo' }
const architectures = ['amd64', 'arm64', 's390x']

test('skopeo copies an image in and out unchanged', needs('skopeo'), async (t) => {
  const { dir, server, skopeo } = await openSkopeo(t)
  const image = await makeImage(join(dir, 'made'), options)
  const reference = `docker://${server.host}/team/app:v1`
  await skopeo('copy', plainTarget, `oci:${image.dir}:latest`, reference)
  await assertServesImage(server.url, 'team/app', 'v1', image)
  await skopeo('copy', plainSource, reference, `oci:${join(dir, 'back')}:latest`)
  await assertSameBlobs(join(dir, 'back'), image.dir, digestsOf(image))
})

test('skopeo copies an index with all its images', needs('skopeo'), async (t) => {
  const { dir, server, skopeo } = await openSkopeo(t)
  const made = await makeIndex(join(dir, 'made'), { ...options, layers: 2, architectures })
  const reference = `docker://${server.host}/team/multi:v1`
  await skopeo('copy', '--all', plainTarget, `oci:${made.dir}:latest`, reference)
  await assertServesIndex(server.url, 'team/multi', 'v1', made)
  await skopeo('copy', '--all', plainSource, reference, `oci:${join(dir, 'back')}:latest`)
  const digests = [made.index.digest, ...made.images.flatMap(digestsOf)]
  await assertSameBlobs(join(dir, 'back'), made.dir, digests)
})

test('skopeo copies from repository to repository, by digest too', needs('skopeo'), async (t) => {
  const { dir, server, skopeo } = await openSkopeo(t)
  const image = await makeImage(join(dir, 'made'), options)
  const host = `docker://${server.host}`
  await skopeo('copy', plainTarget, `oci:${image.dir}:latest`, `${host}/from/app:v1`)
  const byDigest = `${host}/from/app@${image.manifest.digest}`
  await skopeo('copy', plainSource, plainTarget, byDigest, `${host}/into/app:v2`)
  await assertServesImage(server.url, 'into/app', 'v2', image)
})

test('skopeo inspects an image and lists its tags', needs('skopeo'), async (t) => {
  const { dir, server, skopeo } = await openSkopeo(t)
  const image = await makeImage(join(dir, 'made'), options)
  const repository = `docker://${server.host}/team/app`
  for (const tag of ['v2', 'v1', 'edge']) {
    await skopeo('copy', plainTarget, `oci:${image.dir}:latest`, `${repository}:${tag}`)
  }
  const inspected = JSON.parse(await skopeo('inspect', '--tls-verify=false', `${repository}:v1`))
  assert.equal(inspected.Digest, image.manifest.digest)
  assert.deepEqual(
    inspected.Layers,
    image.layers.map((layer) => layer.digest),
  )
  assert.deepEqual(inspected.Labels, { seed: 'skopeo' })
  assert.deepEqual(inspected.RepoTags, ['edge', 'v1', 'v2'])
  const listed = JSON.parse(await skopeo('list-tags', '--tls-verify=false', repository))
  assert.deepEqual(listed.Tags, ['edge', 'v1', 'v2'])
})

test('skopeo syncs a repository out and in again', needs('skopeo'), async (t) => {
  const { dir, server, skopeo } = await openSkopeo(t)
  const image = await makeImage(join(dir, 'one'), options)
  const made = await makeIndex(join(dir, 'many'), { ...options, layers: 2, architectures })
  const repository = `${server.host}/team/app`
  await skopeo('copy', plainTarget, `oci:${image.dir}:latest`, `docker://${repository}:v1`)
  await skopeo('copy', '--all', plainTarget, `oci:${made.dir}:latest`, `docker://${repository}:v2`)
  const out = join(dir, 'out')
  await skopeo('sync', '--all', plainSource, '--src', 'docker', '--dest', 'dir', repository, out)
  assert.deepEqual((await readdir(out)).sort(), ['app:v1', 'app:v2'])
  const manifest = await readFile(join(out, 'app:v1', 'manifest.json'))
  assert.ok(manifest.equals((await getManifest(server.url, 'team/app', 'v1')).bytes))
  const target = `${server.host}/copy`
  await skopeo('sync', '--all', plainTarget, '--src', 'dir', '--dest', 'docker', out, target)
  await assertServesImage(server.url, 'copy/app', 'v1', image)
  await assertServesIndex(server.url, 'copy/app', 'v2', made)
})

test('skopeo deletes an image and it is gone at once', needs('skopeo'), async (t) => {
  const { dir, server, skopeo, env } = await openSkopeo(t)
  const image = await makeImage(join(dir, 'made'), options)
  const reference = `docker://${server.host}/team/app:v1`
  await skopeo('copy', plainTarget, `oci:${image.dir}:latest`, reference)
  await skopeo('delete', '--tls-verify=false', reference)
  for (const name of ['v1', image.manifest.digest]) {
    const head = await fetch(`${server.url}/v2/team/app/manifests/${name}`, { method: 'HEAD' })
    assert.equal(head.status, 404, name)
  }
  const again = await attempt('skopeo', ['inspect', '--tls-verify=false', reference], { env })
  assert.notEqual(again.code, 0)
  assert.match(again.stderr, /manifest unknown/)
})

// Goal: an image built from nothing reaches the registry and is built upon from there. Method:
// buildah makes two layers from scratch, pushes, forgets all it had, and pulls them again.
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { run } from '../support/run.ts'
import { containersEnv, openScene, type Scene } from '../support/scene.ts'
import { assertServesWhole } from '../support/served.ts'
import { needsRootAnd } from '../support/tools.ts'

interface BuildahScene extends Scene {
  buildah(...args: readonly string[]): Promise<string>
}

async function openBuildah(t: TestContext): Promise<BuildahScene> {
  const scene = await openScene(t)
  const env = { ...(await containersEnv(scene.dir)), BUILDAH_ISOLATION: 'chroot' }
  const storage = ['--root', join(scene.dir, 'root'), '--runroot', join(scene.dir, 'run')]
  const flags = [...storage, '--storage-driver', 'vfs']
  const buildah = (...args: readonly string[]): Promise<string> =>
    run('buildah', [...flags, ...args], { env })
  scene.onEnd(() => buildah('umount', '--all'))
  return { ...scene, buildah }
}

/** One layer on top of `base`, pushed as `reference`; the digest that buildah reports. */
async function build(
  scene: BuildahScene,
  base: string,
  file: string,
  reference: string,
): Promise<string> {
  const { dir, buildah } = scene
  const container = await buildah('from', '--tls-verify=false', base)
  await buildah('add', container, join(dir, 'files', file), `/${file}`)
  await buildah('config', '--label', `file=${file}`, container)
  await buildah('commit', '--rm', container, reference)
  const digestFile = join(dir, 'digest')
  await buildah('push', '--tls-verify=false', '--digestfile', digestFile, reference)
  return (await readFile(digestFile, 'utf8')).trim()
}

test('buildah pushes a build from scratch and builds on it', needsRootAnd('buildah'), async (t) => {
  const scene = await openBuildah(t)
  const { dir, server, buildah } = scene
  await mkdir(join(dir, 'files'))
  for (const file of ['first', 'second']) {
    await writeFile(join(dir, 'files', file), seededBytes(file, 4_000_000))
  }
  const base = `${server.host}/build/base:v1`
  const top = `${server.host}/build/top:v1`
  const baseDigest = await build(scene, 'scratch', 'first', base)
  const served = await assertServesWhole(server.url, 'build/base', 'v1')
  assert.equal(served.digest, baseDigest)

  // Without local images the second build must fetch its base from the registry.
  await buildah('rmi', '--all', '--force')
  const topDigest = await build(scene, base, 'second', top)
  const topServed = await assertServesWhole(server.url, 'build/top', 'v1')
  assert.equal(topServed.digest, topDigest)
  assert.equal(topServed.manifest.layers.length, 2)
  assert.equal(topServed.manifest.layers[0]!.digest, served.manifest.layers[0]!.digest)

  await buildah('rmi', '--all', '--force')
  const container = await buildah('from', '--tls-verify=false', top)
  const root = await buildah('mount', container)
  for (const file of ['first', 'second']) {
    const bytes = await readFile(join(root, file))
    assert.ok(bytes.equals(seededBytes(file, 4_000_000)), file)
  }
})

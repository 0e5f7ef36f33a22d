// Goal: a real docker-registry's images come over whole, and its tree can be shared with it. Method: trees that
// hold what it has written itself beside a thousand images in its format; a real one serves them all the time.

import assert from 'node:assert/strict'
import { lstat, mkdir, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { createGcJob } from '../../../src/maintain/gc/job.ts'
import { parseDigest } from '../../../src/oci/digest.ts'
import { DistributionTree } from '../../support/distribution-tree.ts'
import { type DockerRegistry, startDockerRegistry } from '../../support/docker-registry.ts'
import { type Image, makeImage } from '../../support/images.ts'
import { getBlob, getManifest, pushImage } from '../../support/served.ts'
import { needs } from '../../support/tools.ts'
import { countsOf, importJob, pulled, type TransferScene, withTransfer } from './scene.ts'

const imageCount = 1000
const dayMs = 86_400_000
const gc = createGcJob(() => ({
  ...{ graceMs: 3_600_000, restoreWindowMs: dayMs, everyMs: 0, untagged: 'keep' },
  ...{ untaggedAfterMs: dayMs, orphanReferrers: 'keep', blobsPerSecond: 0, rateBytes: 0 },
  overwrite: false,
}))

interface Known {
  readonly repository: string
  readonly tag: string
  readonly digest: string
}

async function withRegistry(
  rootDirectory: string,
  { dir }: TransferScene,
  body: (registry: DockerRegistry) => Promise<void>,
): Promise<void> {
  const registry = await startDockerRegistry(rootDirectory, dir)
  try {
    await body(registry)
  } finally {
    await registry.daemon.stop()
  }
}

async function pushSome(registry: DockerRegistry, dir: string): Promise<readonly Image[]> {
  const images: Image[] = []
  for (const seed of ['one', 'two']) {
    const options = { layers: 2, bytesPerLayer: 20_000, seed }
    const image = await makeImage(join(dir, `made-${seed}`), options)
    await pushImage(registry.url, `pushed/${seed}`, 'v1', image)
    images.push(image)
  }
  return images
}

async function generate(tree: DistributionTree, count: number): Promise<readonly Known[]> {
  const known: Known[] = []
  for (let i = 0; i < count; i++) {
    const repository = `team${i % 4}/app${i % 20}`
    const layers = [`layer ${i % 40}`, `layer ${(i + 1) % 40}`]
    const { digest } = await tree.addImage(repository, `image ${i}`, { layers })
    const tag = `v${i}`
    await tree.tag(repository, tag, digest)
    known.push({ repository, tag, digest })
  }
  return known
}

test(
  'a tree of a thousand images, some of them pushed to a real docker-registry, keeps every digest and tag',
  needs('docker-registry'),
  async () => {
    await withTransfer(async (transfer) => {
      const { scene, dir } = transfer
      const root = join(dir, 'registry')
      const tree = new DistributionTree(join(root, 'docker/registry/v2'))
      const known = await generate(tree, imageCount)
      await withRegistry(root, transfer, async (registry) => {
        const images = await pushSome(registry, dir)
        const { report } = await scene.run(importJob, { from: 'distribution', source: root })
        assert.equal(report.ok, true, report.summary.join('\n'))
        assert.equal(countsOf(report)['tagsNew'], imageCount + images.length)
        for (const { repository, tag, digest } of known) {
          assert.equal(await pulled(scene, `/v2/${repository}/manifests/${tag}`), digest)
        }
        for (const [i, image] of images.entries()) {
          const name = ['pushed/one', 'pushed/two'][i]
          assert.equal(await pulled(scene, `/v2/${name}/manifests/v1`), image.manifest.digest)
          for (const { digest } of [image.config, ...image.layers]) {
            assert.equal(await pulled(scene, `/v2/${name}/blobs/${digest}`), digest)
          }
        }
        // What it served before is served by both.
        const [first] = known
        const served = await getManifest(registry.url, first!.repository, first!.tag)
        assert.equal(served.digest, first!.digest)
      })
    })
  },
)

test(
  'a tree that is shared is served by both, loses nothing to garbage collection, and does after a take-over',
  needs('docker-registry'),
  async () => {
    await withTransfer(async (transfer) => {
      const { scene, dir } = transfer
      const { rootDir = '' } = scene.disk
      const root = join(dir, 'registry')
      await mkdir(join(root, 'docker/registry'), { recursive: true })
      await symlink(rootDir, join(root, 'docker/registry/v2'))
      const tree = new DistributionTree(rootDir)
      const known = await generate(tree, 20)
      await withRegistry(root, transfer, async (registry) => {
        const images = await pushSome(registry, dir)
        const { report } = await scene.run(importJob, { from: 'distribution', source: rootDir })
        assert.equal(report.ok, true, report.summary.join('\n'))
        const { adopted, copied, linked } = countsOf(report)['blobs'] as Record<string, number>
        assert.deepEqual({ copied, linked }, { copied: 0, linked: 0 })
        assert.ok(adopted! > 40, `${adopted} blobs`)
        assert.match((await scene.metadata.readAdoption())?.of ?? '', /docker-registry tree/)
        const all = [
          ...known,
          ...images.map(({ manifest }, i) => ({
            ...{ repository: ['pushed/one', 'pushed/two'][i]!, tag: 'v1', digest: manifest.digest },
          })),
        ]
        await assertBothServe(all, transfer, registry)
        // Deleted here: there it stays, whatever time passes.
        for (const { repository, digest } of all) {
          const { status } = await scene.send('DELETE', `/v2/${repository}/manifests/${digest}`)
          assert.equal(status, 202)
        }
        await passTime(transfer)
        for (const { repository, tag, digest } of all) {
          assert.equal((await getManifest(registry.url, repository, tag)).digest, digest)
        }
        const layer = images[0]!.layers[0]!.digest
        await getBlob(registry.url, 'pushed/one', layer)
        const kept = await lstat(tree.dataPath(parseDigest(layer)!))
        assert.ok(kept.isFile())
        const { report: told } = await scene.run(importJob, { takeOver: true })
        assert.equal(told.ok, true)
        assert.equal(await scene.metadata.readAdoption(), undefined)
        await passTime(transfer)
        await assert.rejects(lstat(tree.dataPath(parseDigest(layer)!)), { code: 'ENOENT' })
      })
    })
  },
)

async function assertBothServe(
  all: readonly Known[],
  { scene }: TransferScene,
  registry: DockerRegistry,
): Promise<void> {
  for (const { repository, tag, digest } of all) {
    const there = await getManifest(registry.url, repository, tag)
    assert.equal(there.digest, digest)
    assert.equal(await pulled(scene, `/v2/${repository}/manifests/${tag}`), digest)
    const { config, layers } = JSON.parse(there.bytes.toString()) as {
      readonly config: { readonly digest: string }
      readonly layers: readonly { readonly digest: string }[]
    }
    for (const blob of [config, ...layers]) {
      await getBlob(registry.url, repository, blob.digest)
      assert.equal(await pulled(scene, `/v2/${repository}/blobs/${blob.digest}`), blob.digest)
    }
  }
}

/** Leases end, and what they held is condemned; the window to restore it ends, and it is destroyed. */
async function passTime({ scene }: TransferScene): Promise<void> {
  for (let i = 0; i < 3; i++) {
    scene.advance(2 * dayMs)
    const { report } = await scene.run(gc)
    assert.equal(report.ok, true, report.summary.join('\n'))
  }
}

test('a tree is found where its directory is a link, and is not the same as a copy of it', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    await tree.tag('app', 'v1', (await tree.addImage('app', 'image')).digest)
    const link = join(dir, 'link')
    await symlink(dirname(tree.root), link)
    const { report } = await scene.run(importJob, { from: 'distribution', source: link })
    assert.equal(countsOf(report)['tagsNew'], 1)
    assert.equal(await scene.metadata.readAdoption(), undefined)
  })
})

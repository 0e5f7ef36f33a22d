// Goal: the repositories, tags and blobs of an angos 1.6 come in, in both shapes that it keeps. Method: trees
// written by the layout that its sources describe; nothing of angos runs here.

import assert from 'node:assert/strict'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { type Digest, digestOfBytes } from '../../../src/oci/digest.ts'
import { parseRepositoryName } from '../../../src/oci/name.ts'
import { parseTag } from '../../../src/oci/tag.ts'
import { assertFault, countsOf, importJob, pulled, withTransfer } from './scene.ts'

const imageType = 'application/vnd.oci.image.manifest.v1+json'

class AngosTree {
  readonly root: string

  constructor(root: string) {
    this.root = root
  }

  async write(path: string, content: string | Uint8Array): Promise<void> {
    const whole = join(this.root, path)
    await mkdir(dirname(whole), { recursive: true })
    await writeFile(whole, content)
  }

  async addBlob(text: string): Promise<{ readonly digest: Digest; readonly size: number }> {
    const bytes = Buffer.from(text)
    const digest = digestOfBytes('sha256', bytes)
    const hex = digest.slice(7)
    await this.write(`v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`, bytes)
    return { digest, size: bytes.length }
  }

  /** Its manifest leaves out its media type, which the record has. */
  async addImage(seed: string): Promise<Digest> {
    const config = { mediaType: 'application/vnd.oci.image.config.v1+json' }
    const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar' }
    const manifest = {
      schemaVersion: 2,
      config: { ...config, ...(await this.addBlob(`{"of":"${seed}"}`)) },
      layers: [{ ...layer, ...(await this.addBlob(`layer of ${seed}`)) }],
    }
    return (await this.addBlob(JSON.stringify(manifest))).digest
  }

  async revision(name: string, digest: Digest): Promise<void> {
    const hex = digest.slice(7)
    const record = { media_type: imageType, created_at: '2025-01-02T03:04:05Z' }
    const path = `v2/ns/${name}!rev/sha256/${hex.slice(0, 2)}/${hex}`
    await this.write(path, JSON.stringify(record))
  }

  async tagEntry(
    name: string,
    tag: string,
    digest: Digest,
    at: string,
    kind = 'set',
  ): Promise<void> {
    const order = (2n ** 64n - 2n - BigInt(Date.parse(at))).toString(16).padStart(16, '0')
    await this.write(`v2/ns/${name}!tag/${tag}!/${order}.${kind}.sha256.${digest.slice(7)}`, '{}')
  }

  async olderTag(name: string, tag: string, digest: Digest): Promise<void> {
    const link = { target: digest, created_at: '2024-01-01T00:00:00Z', media_type: imageType }
    const base = `v2/repositories/${name}/_manifests`
    await this.write(`${base}/tags/${tag}/current/link`, JSON.stringify(link))
    await this.write(`${base}/revisions/sha256/${digest.slice(7)}/link`, JSON.stringify(link))
  }
}

test('tags and manifests of angos come in: of each tag the last thing that happened', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new AngosTree(dir)
    const [one, two] = [await tree.addImage('one'), await tree.addImage('two')]
    for (const digest of [one, two]) await tree.revision('org/app', digest)
    await tree.tagEntry('org/app', 'v1', one, '2025-03-01')
    await tree.tagEntry('org/app', 'v1', two, '2025-04-01')
    await tree.tagEntry('org/app', 'gone', one, '2025-03-01')
    await tree.tagEntry('org/app', 'gone', one, '2025-03-02', 'del')
    await tree.revision('app', one)
    await tree.tagEntry('app', 'v1', one, '2025-03-01')
    await tree.tagEntry('app', 'v1.1', one, '2025-03-01')
    const { report } = await scene.run(importJob, { from: 'angos', source: dir })
    assert.equal(report.ok, true, report.summary.join('\n'))
    assert.equal(await pulled(scene, '/v2/org/app/manifests/v1'), two)
    assert.equal(await pulled(scene, '/v2/org/app/manifests/gone'), '404')
    assert.equal(await pulled(scene, `/v2/org/app/manifests/${one}`), one)
    assert.equal(await pulled(scene, '/v2/app/manifests/v1.1'), one)
    const history = await scene.metadata.readTagHistory(
      parseRepositoryName('org/app')!,
      parseTag('v1')!,
      9,
    )
    assert.equal(history[0]?.atMs, Date.parse('2025-04-01'))
    assert.deepEqual((countsOf(report)['blobs'] as Record<string, number>)['linked'], 0)
  })
})

test('the older shape of angos comes in, and what both tell of counts in the newer one', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new AngosTree(dir)
    const [one, two] = [await tree.addImage('one'), await tree.addImage('two')]
    await tree.olderTag('legacy/app', 'v1', one)
    await tree.olderTag('app', 'v1', one)
    await tree.olderTag('app', 'v2', one)
    await tree.revision('app', two)
    await tree.tagEntry('app', 'v1', two, '2025-04-01')
    const { report } = await scene.run(importJob, { from: 'angos', source: dir })
    assert.equal(report.ok, true, report.summary.join('\n'))
    assert.equal(await pulled(scene, '/v2/legacy/app/manifests/v1'), one)
    assert.equal(await pulled(scene, '/v2/app/manifests/v1'), two)
    assert.equal(await pulled(scene, '/v2/app/manifests/v2'), one)
    assert.equal(countsOf(report)['repositories'], 2)
  })
})

test('blobs of angos may lie elsewhere', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new AngosTree(join(dir, 'meta'))
    const one = await tree.addImage('one')
    await tree.revision('app', one)
    await tree.tagEntry('app', 'v1', one, '2025-04-01')
    await mkdir(join(dir, 'bytes/v2'), { recursive: true })
    await rename(join(dir, 'meta/v2/blobs'), join(dir, 'bytes/v2/blobs'))
    const input = { from: 'angos', source: tree.root }
    await assert.rejects(scene.run(importJob, input), /say where with --blobs/)
    const options = { blobs: join(dir, 'bytes') }
    const { report } = await scene.run(importJob, { ...input, options })
    assert.equal(report.ok, true, report.summary.join('\n'))
    assert.equal(await pulled(scene, '/v2/app/manifests/v1'), one)
  })
})

test('what does not look like a tree of angos is refused, and records that do not are told of', async () => {
  await withTransfer(async ({ scene, dir }) => {
    await mkdir(join(dir, 'other'))
    const other = { from: 'angos', source: join(dir, 'other') }
    await assert.rejects(scene.run(importJob, other), /is not the root_dir of an angos/)
    const tree = new AngosTree(join(dir, 'tree'))
    const one = await tree.addImage('one')
    await tree.write(`v2/ns/app!rev/sha256/${one.slice(7, 9)}/${one.slice(7)}`, 'not JSON')
    await tree.tagEntry('app', 'v1', one, '2025-04-01')
    await tree.write('v2/ns/app!tag/odd!/some-other-shape', '')
    const { report } = await scene.run(importJob, { from: 'angos', source: tree.root })
    assert.equal(report.ok, false)
    assertFault(report, 'app', /is no record of angos/)
    assertFault(report, 'app', /what it names cannot be read/)
    await assert.rejects(
      scene.run(importJob, { from: 'distribution', source: tree.root }),
      /tree of angos/,
    )
  })
})

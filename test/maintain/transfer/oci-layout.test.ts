// Goal: OCI layouts of other tools come in, and what is exported is one to them. Method: layouts as written by
// hand and by skopeo and umoci, both ways, compared byte for byte.

import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createExportJob } from '../../../src/maintain/transfer/export-job.ts'
import { blobPath, type Image, makeImage, makeIndex, sha256 } from '../../support/images.ts'
import { run } from '../../support/run.ts'
import { needs } from '../../support/tools.ts'
import {
  assertFault,
  countsOf,
  importJob,
  pulled,
  type TransferScene,
  withTransfer,
} from './scene.ts'

const exportJob = createExportJob(() => ({ descriptorsMax: 2000 }))
const size = { layers: 2, bytesPerLayer: 30_000 }

interface LayoutIndex {
  readonly manifests: readonly {
    readonly digest: string
    readonly annotations?: Readonly<Record<string, string>>
  }[]
}

async function indexOf(dir: string): Promise<LayoutIndex> {
  return JSON.parse(await readFile(join(dir, 'index.json'), 'utf8')) as LayoutIndex
}

function namesOf({ manifests }: LayoutIndex): readonly (string | undefined)[] {
  return manifests.map(({ annotations }) => annotations?.['org.opencontainers.image.ref.name'])
}

async function assertWhole(dir: string): Promise<number> {
  let count = 0
  for (const algorithm of ['sha256', 'sha512']) {
    for (const name of await readdir(join(dir, 'blobs', algorithm))) {
      const bytes = await readFile(join(dir, 'blobs', algorithm, name))
      if (algorithm === 'sha256') assert.equal(sha256(bytes), `sha256:${name}`)
      count += 1
    }
  }
  return count
}

async function importImage({ scene, dir }: TransferScene, seed: string): Promise<Image> {
  const image = await makeImage(join(dir, `made-${seed}`), { ...size, seed })
  const input = { from: 'oci-layout', source: image.dir, repository: `app-${seed}` }
  const { report } = await scene.run(importJob, input)
  assert.equal(report.ok, true, report.summary.join('\n'))
  return image
}

test('an image and an index of layouts come in under the name that is given', async () => {
  await withTransfer(async (transfer) => {
    const { scene, dir } = transfer
    const image = await importImage(transfer, 'one')
    assert.equal(await pulled(scene, '/v2/app-one/manifests/latest'), image.manifest.digest)
    const index = await makeIndex(join(dir, 'index'), {
      ...{ ...size, seed: 'many', architectures: ['amd64', 'arm64'] },
    })
    await scene.run(importJob, { from: 'oci-layout', source: index.dir, repository: 'many' })
    assert.equal(await pulled(scene, '/v2/many/manifests/latest'), index.index.digest)
    for (const { manifest, layers } of index.images) {
      assert.equal(await pulled(scene, `/v2/many/manifests/${manifest.digest}`), manifest.digest)
      for (const { digest } of layers) {
        assert.equal(await pulled(scene, `/v2/many/blobs/${digest}`), digest)
      }
    }
  })
})

test('a layout is never linked to, since its owner may edit it', async () => {
  await withTransfer(async (transfer) => {
    const { scene } = transfer
    const image = await importImage(transfer, 'edited')
    const [layer] = image.layers
    await writeFile(blobPath(image.dir, layer!.digest), 'edited in place')
    assert.equal(await pulled(scene, `/v2/app-edited/blobs/${layer!.digest}`), layer!.digest)
  })
})

test('what is no layout, of another version, or without a name is refused in a sentence', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const input = { from: 'oci-layout', source: dir, repository: 'app' }
    await assert.rejects(scene.run(importJob, input), /is no OCI layout/)
    await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}')
    await assert.rejects(scene.run(importJob, input), /another version than 1\.0\.0/)
    await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
    await assert.rejects(scene.run(importJob, input), /no index\.json/)
    const parsed = importJob.parse({ from: 'oci-layout', source: dir })
    assert.deepEqual(parsed, { error: 'a layout has no name: say --repository' })
  })
})

test('names that are whole references give their tag; two images of one tag are told of', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const one = await makeImage(join(dir, 'layout'), { ...size, seed: 'one' })
    const two = await makeImage(join(dir, 'layout'), { ...size, seed: 'two' })
    const entry = (image: Image, name?: string): object => ({
      ...image.manifest,
      ...(name === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': name } }),
    })
    const manifests = [
      entry(one, 'docker.io/library/alpine:3.20'),
      entry(two, '3.20'),
      entry(two),
      { ...one.manifest, mediaType: 'application/vnd.example.thing' },
    ]
    await writeFile(join(dir, 'layout/index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
    const source = join(dir, 'layout')
    const { report } = await scene.run(importJob, { from: 'oci-layout', source, repository: 'a' })
    assert.equal(await pulled(scene, '/v2/a/manifests/3.20'), one.manifest.digest)
    assert.equal(await pulled(scene, `/v2/a/manifests/${two.manifest.digest}`), two.manifest.digest)
    assert.equal(report.ok, false)
    assertFault(report, '', /names another image before it/)
    assertFault(report, '', /no manifest/)
  })
})

test('an export is a layout whose files all are what their names say, and comes in again', async () => {
  await withTransfer(async (transfer) => {
    const { scene, dir } = transfer
    const image = await importImage(transfer, 'one')
    const path = join(dir, 'out')
    const input = { to: 'oci-layout', path, images: ['app-one:latest'] }
    const { report } = await scene.run(exportJob, input)
    assert.equal(report.ok, true, report.summary.join('\n'))
    assert.equal(await assertWhole(path), 4)
    assert.deepEqual(namesOf(await indexOf(path)), ['latest'])
    assert.deepEqual((await readdir(path)).sort(), ['blobs', 'index.json', 'oci-layout'])
    await scene.run(importJob, { from: 'oci-layout', source: path, repository: 'again' })
    assert.equal(await pulled(scene, '/v2/again/manifests/latest'), image.manifest.digest)
  })
})

test('an export adds to a layout: a name moves, others stay, and a broken file is made whole', async () => {
  await withTransfer(async (transfer) => {
    const { scene, dir } = transfer
    await importImage(transfer, 'one')
    const two = await importImage(transfer, 'two')
    const path = join(dir, 'out')
    const to = 'oci-layout'
    await scene.run(exportJob, { to, path, images: ['app-one:latest'] })
    await scene.run(exportJob, { to, path, images: ['app-two'] })
    const index = await indexOf(path)
    assert.deepEqual(
      index.manifests.map(({ digest }) => digest),
      [two.manifest.digest],
    )
    await scene.run(exportJob, { to, path, images: ['app-one', 'app-two'] })
    assert.deepEqual(namesOf(await indexOf(path)), ['latest', 'app-one:latest', 'app-two:latest'])
    await writeFile(blobPath(path, two.config.digest), 'x'.repeat(two.config.size))
    await scene.run(exportJob, { to, path, images: ['app-two'] })
    await assertWhole(path)
  })
})

test('an export with referrers has what refers to its images, and what refers to that', async () => {
  await withTransfer(async (transfer) => {
    const { scene, dir } = transfer
    const image = await importImage(transfer, 'one')
    const config = { ...image.config }
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const signature = { schemaVersion: 2, mediaType, config, layers: [], subject: image.manifest }
    const first = await scene.pushManifest('app-one', signature)
    const subject = { mediaType, digest: first, size: Buffer.byteLength(JSON.stringify(signature)) }
    const second = await scene.pushManifest('app-one', { ...signature, subject })
    const path = join(dir, 'out')
    const input = { to: 'oci-layout', path, images: ['app-one'], referrers: true }
    const { report } = await scene.run(exportJob, input)
    assert.equal(report.ok, true)
    const digests = (await indexOf(path)).manifests.map(({ digest }) => digest)
    assert.deepEqual(digests, [image.manifest.digest, first, second])
    await scene.run(importJob, { from: 'oci-layout', source: path, repository: 'b' })
    const { body } = await scene.send('GET', `/v2/b/referrers/${image.manifest.digest}`)
    assert.match(body.toString(), new RegExp(first))
  })
})

test('an export refuses other directories, the store itself, links, and what is not there', async () => {
  await withTransfer(async (transfer) => {
    const { scene, dir } = transfer
    const image = await importImage(transfer, 'one')
    const input = { to: 'oci-layout', path: join(dir, 'out'), images: ['app-one'] }
    const { rootDir = '' } = scene.disk
    await assert.rejects(
      scene.run(exportJob, { ...input, path: join(rootDir, '_keelson') }),
      /lies in the store/,
    )
    await symlink(rootDir, join(dir, 'way'))
    await assert.rejects(
      scene.run(exportJob, { ...input, path: join(dir, 'way/out') }),
      /lies in the store/,
    )
    await rm(join(dir, 'way'))
    await assert.rejects(
      scene.run(exportJob, { ...input, path: join(dir, 'nowhere/out') }),
      /nowhere is not there: make it first/,
    )
    await assert.rejects(scene.run(exportJob, { ...input, path: dir }), /is no OCI layout/)
    await mkdir(join(dir, 'out'))
    await symlink(rootDir, join(dir, 'out/blobs'))
    await writeFile(join(dir, 'out/oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
    await writeFile(join(dir, 'out/index.json'), '{"schemaVersion":2,"manifests":[]}')
    await assert.rejects(scene.run(exportJob, input), /is not a directory/)
    await rm(join(dir, 'out'), { recursive: true })
    const { report } = await scene.run(exportJob, { ...input, images: ['app-one', 'none:v1'] })
    assert.equal(report.ok, false)
    assert.match(report.summary.join('\n'), /not exported none:v1: there is none/)
    assert.equal((await indexOf(input.path)).manifests[0]?.digest, image.manifest.digest)
  })
})

test('a dry export writes nothing', async () => {
  await withTransfer(async (transfer) => {
    const { scene, dir } = transfer
    await importImage(transfer, 'one')
    const path = join(dir, 'out')
    const input = { to: 'oci-layout', path, images: ['app-one'], dryRun: true }
    const { report } = await scene.run(exportJob, input)
    assert.equal(countsOf(report)['images'], 1)
    await assert.rejects(readdir(path), { code: 'ENOENT' })
  })
})

test('an export that is cut short leaves no half file under a name that counts', async () => {
  await withTransfer(async (transfer) => {
    const { scene, dir } = transfer
    await importImage(transfer, 'one')
    const path = join(dir, 'out')
    const input = { to: 'oci-layout', path, images: ['app-one'] }
    const stop = new AbortController()
    let left = 3
    const onPace = (): void => {
      left -= 1
      if (left === 0) stop.abort()
    }
    await assert.rejects(scene.run(exportJob, input, { signal: stop.signal, onPace }), {
      name: 'AbortError',
    })
    await assertWhole(path)
    assert.deepEqual((await indexOf(path)).manifests, [])
    const { report } = await scene.run(exportJob, input)
    assert.equal(report.ok, true)
    assert.equal(await assertWhole(path), 4)
  })
})

test(
  'skopeo copies out of an exported layout, and into one that is imported',
  needs('skopeo'),
  async () => {
    await withTransfer(async (transfer) => {
      const { scene, dir } = transfer
      const image = await importImage(transfer, 'one')
      const path = join(dir, 'out')
      await scene.run(exportJob, { to: 'oci-layout', path, images: ['app-one'] })
      const copy = join(dir, 'copy')
      const env = { ...process.env, HOME: dir }
      await run(
        'skopeo',
        ['copy', '--insecure-policy', `oci:${path}:latest`, `oci:${copy}:moved`],
        { env },
      )
      await scene.run(importJob, { from: 'oci-layout', source: copy, repository: 'copied' })
      assert.equal(await pulled(scene, '/v2/copied/manifests/moved'), image.manifest.digest)
    })
  },
)

test('umoci unpacks an exported layout, and what it writes comes in', needs('umoci'), async () => {
  await withTransfer(async (transfer) => {
    const { scene, dir } = transfer
    const image = await importImage(transfer, 'one')
    const path = join(dir, 'out')
    await scene.run(exportJob, { to: 'oci-layout', path, images: ['app-one'] })
    const bundle = join(dir, 'bundle')
    await run('umoci', ['unpack', '--rootless', '--image', `${path}:latest`, bundle])
    const unpacked = await readdir(join(bundle, 'rootfs'))
    assert.equal(unpacked.length, image.layers.length)
    await run('umoci', [
      'config',
      '--image',
      `${path}:latest`,
      '--tag',
      'labelled',
      '--config.label',
      'a=b',
    ])
    const { report } = await scene.run(importJob, {
      ...{ from: 'oci-layout', source: path, repository: 'umoci' },
    })
    assert.equal(report.ok, true, report.summary.join('\n'))
    assert.equal((await scene.send('GET', '/v2/umoci/manifests/labelled')).status, 200)
  })
})

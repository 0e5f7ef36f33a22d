// Goal: a source can neither lead an import out of itself nor make it take anything on trust, and is never
// written to. Method: trees with what an attacker or a broken disk leaves in them.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { DistributionTree } from '../../support/distribution-tree.ts'
import { needs } from '../../support/tools.ts'
import { assertFault, countsOf, importJob, pulled, withTransfer } from './scene.ts'

test('links out of a tree are not followed', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    const outside = await mkdtemp(join(tmpdir(), 'keelson-outside-'))
    try {
      const image = await tree.addImage('app', 'image')
      await tree.tag('app', 'v1', image.digest)
      const good = await tree.addImage('good', 'good')
      await tree.tag('good', 'v1', good.digest)
      // The right bytes, but somebody else's file.
      const [config] = image.blobs
      await rename(tree.dataPath(config!), join(outside, 'data'))
      await symlink(join(outside, 'data'), tree.dataPath(config!))
      await symlink('/etc', tree.path('repositories/etc'))
      await tree.tag('linked', 'v1', good.digest)
      await rm(tree.path('repositories/linked/_manifests/tags/v1/current/link'))
      await symlink('/etc/passwd', tree.path('repositories/linked/_manifests/tags/v1/current/link'))
      const { report } = await scene.run(importJob, { from: 'distribution', source: dir })
      assertFault(report, 'app', /is a link out of .*which is not followed/)
      assertFault(report, 'linked', /is a link out of/)
      assert.doesNotMatch(report.summary.join('\n'), /root:/)
      assert.equal(await pulled(scene, '/v2/good/manifests/v1'), good.digest)
    } finally {
      await rm(outside, { recursive: true })
    }
  })
})

test('names that are none are told of, and harm nobody', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    const good = await tree.addImage('good', 'good')
    await tree.tag('good', 'v1', good.digest)
    await tree.tag('good', '-bad', good.digest)
    for (const name of ['UPPER', 'a b', 'new\nline', 'x'.repeat(250)]) {
      await tree.tag(name, 'v1', good.digest)
    }
    const notText = Buffer.concat([
      Buffer.from(tree.path('repositories/')),
      Buffer.from([0xff, 0xfe]),
    ])
    await mkdir(Buffer.concat([notText, Buffer.from('/_manifests')]), { recursive: true })
    const deep = Array.from({ length: 130 }, () => 'd').join('/')
    await mkdir(tree.path('repositories', deep, '_manifests/tags'), { recursive: true })
    const { report } = await scene.run(importJob, {
      ...{ from: 'distribution', source: dir, repository: 'prefix' },
    })
    assert.equal(await pulled(scene, '/v2/prefix/good/manifests/v1'), good.digest)
    assertFault(report, 'UPPER', /not a name/)
    assertFault(report, '"a b"', /not a name/)
    assertFault(report, '"new\\nline"', /not a name/)
    assertFault(report, '"\ufffd\ufffd"', /not UTF-8/)
    assertFault(report, 'good', /is not a tag/)
    // With the prefix, its name is too long.
    assertFault(report, `prefix/${'x'.repeat(250)}`, /more than 255 characters/)
    assert.match(report.summary.join('\n'), /too long|more than 255/)
  })
})

test('what is too large, or no file, is told of', needs('mkfifo'), async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    const large = await tree.addManifest('large', Buffer.alloc((4 << 20) + 1, ' '))
    await tree.tag('large', 'v1', large)
    const piped = await tree.addImage('piped', 'piped')
    await tree.tag('piped', 'v1', piped.digest)
    await rm(tree.dataPath(piped.blobs[0]!))
    execFileSync('mkfifo', [tree.dataPath(piped.blobs[0]!)])
    await tree.tag('link', 'v1', piped.digest)
    const link = tree.path('repositories/link/_manifests/tags/v1/current/link')
    await writeFile(link, `${piped.digest}${' '.repeat(1000)}`)
    const { report } = await scene.run(importJob, { from: 'distribution', source: dir })
    assertFault(report, 'large', /more than 4194304/)
    assertFault(report, 'piped', /is not a file/)
    assertFault(report, 'link', /more than 512/)
    assert.equal(countsOf(report)['tagsNew'], 0)
  })
})

test('indexes that share images 16 wide and 8 deep are gone through once', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    const mediaType = 'application/vnd.docker.distribution.manifest.list.v2+json'
    let level = [await tree.addImage('app', 'leaf')].map(({ mediaType: type, digest, size }) => ({
      ...{ mediaType: type, digest, size },
    }))
    for (let depth = 0; depth < 8; depth++) {
      const next = []
      for (let i = 0; i < 16; i++) {
        const manifests = level.map((each) => ({
          ...each,
          platform: { os: 'linux', architecture: `${i}` },
        }))
        const index = { schemaVersion: 2, mediaType, manifests }
        const digest = await tree.addManifest('app', index)
        next.push({ mediaType, digest, size: Buffer.byteLength(JSON.stringify(index, null, 3)) })
      }
      level = next
    }
    await tree.tag('app', 'v1', level[0]!.digest)
    const { report } = await scene.run(importJob, { from: 'distribution', source: dir })
    assert.equal(report.ok, true, report.summary.join('\n'))
    assert.equal(countsOf(report)['manifests'], 1 + 8 * 16)
  })
})

test('a source is only read', needs('find'), async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    for (const seed of ['one', 'two']) {
      await tree.tag(seed, 'v1', (await tree.addImage(seed, seed)).digest)
    }
    // Without times of access; a second name of a file shows in its count of links alone.
    const listing = (): string =>
      execFileSync('find', [dir, '-printf', '%p %i %m %U %G %s %T@\n']).toString()
    const before = listing()
    await scene.run(importJob, { from: 'distribution', source: dir })
    assert.equal(listing(), before)
  })
})

// Goal: an import that is cut short goes on, and ends where one that was not would. Method: runs that are
// stopped, killed or out of room at some point, and the next one after them.

import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { DoneLine, Lanes } from '../../../src/maintain/transfer/in-order.ts'
import { StorageError } from '../../../src/storage/error.ts'
import { DistributionTree } from '../../support/distribution-tree.ts'
import { until } from '../../support/until.ts'
import { countsOf, importJob, pulled, withTransfer } from './scene.ts'

const count = 100

async function generate(dir: string): Promise<ReadonlyMap<string, string>> {
  const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
  const known = new Map<string, string>()
  for (let i = 0; i < count; i++) {
    const name = `app${String(i).padStart(3, '0')}`
    const { digest } = await tree.addImage(name, name, { layers: ['shared'] })
    await tree.tag(name, 'v1', digest)
    known.set(name, digest)
  }
  return known
}

test('a run that is stopped goes on behind what it has done', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const known = await generate(dir)
    const input = { from: 'distribution', source: dir }
    const stop = new AbortController()
    let left = count / 2
    const onPace = ({ items }: { readonly items: number }): void => {
      left -= items
      if (left <= 0) stop.abort()
    }
    await assert.rejects(scene.run(importJob, input, { signal: stop.signal, onPace }), {
      name: 'AbortError',
    })
    // What lies before the checkpoint is not even looked at.
    await rm(join(dir, 'docker/registry/v2/repositories/app000'), { recursive: true })
    const { report } = await scene.run(importJob, input)
    assert.equal(report.ok, true, report.summary.join('\n'))
    assert.equal(countsOf(report)['repositories'], count)
    assert.equal(countsOf(report)['tagsNew'], count)
    for (const [name, digest] of known) {
      assert.equal(await pulled(scene, `/v2/${name}/manifests/v1`), digest)
    }
  })
})

test('after a kill the next run brings the rest, and nothing is staged any more', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const known = await generate(dir)
    const input = { from: 'distribution', source: dir }
    scene.life.dieIn(300, true)
    const { life } = scene
    void scene.run(importJob, input).catch(() => undefined)
    await until('the process is dead', () => life.isOver)
    await scene.restart()
    const { report } = await scene.run(importJob, input)
    assert.equal(report.ok, true, report.summary.join('\n'))
    for (const [name, digest] of known) {
      assert.equal(await pulled(scene, `/v2/${name}/manifests/v1`), digest)
    }
    // What the kill has left in the way has a session, by which it expires.
    const uploads = await scene.metadata.listUploads({ limit: 1000 })
    const sessions = new Set<string>(uploads.map(({ id }) => id))
    for await (const upload of scene.blobs.listStaged()) assert.ok(sessions.has(upload), upload)
  })
})

test('no room on the disk ends the run, and leaves nothing', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    const image = await tree.addImage('app', 'app')
    await tree.tag('app', 'v1', image.digest)
    const { blobs } = scene
    const full = new Proxy(blobs, {
      get: (target, name) => {
        if (name === 'publish') {
          return async () => {
            throw new StorageError('full', 'no room')
          }
        }
        const member: unknown = Reflect.get(target, name, target)
        return typeof member === 'function' ? member.bind(target) : member
      },
    })
    const input = { from: 'distribution', source: dir }
    await assert.rejects(scene.run(importJob, input, { context: { blobs: full } }), {
      name: 'StorageError',
      kind: 'full',
    })
    for await (const upload of scene.blobs.listStaged()) assert.fail(upload)
    assert.deepEqual(await scene.metadata.listUploads({ limit: 9 }), [])
    assert.deepEqual(await scene.metadata.listRepositories({ limit: 9 }), [])
  })
})

test('what is done is told up to the first that is not', () => {
  const line = new DoneLine()
  const [a, b, c] = ['a', 'b', 'c'].map((name) => line.begin(name))
  b!()
  assert.equal(line.last, undefined)
  a!()
  assert.equal(line.last, 'b')
  c!()
  assert.equal(line.last, 'c')
})

test('lanes run a bounded number at once, and end with the first error', async () => {
  const lanes = new Lanes(2)
  let running = 0
  let most = 0
  const work = async (): Promise<void> => {
    running += 1
    most = Math.max(most, running)
    await new Promise(setImmediate)
    running -= 1
  }
  for (let i = 0; i < 10; i++) await lanes.start(work)
  await lanes.idle()
  assert.equal(most, 2)
  await lanes.start(async () => {
    throw new Error('first')
  })
  await assert.rejects(lanes.idle(), /first/)
  await assert.rejects(lanes.start(work), /first/)
})

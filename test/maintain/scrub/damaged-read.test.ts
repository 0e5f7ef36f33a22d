// Goal: a blob that a request finds damaged is looked at at once: what is lost can be pushed again, and what only the
// record had wrong is served. Method: files of a running registry changed under it.

import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { JobDeed } from '../../../src/maintain/job/contract.ts'
import { DamageWatch } from '../../../src/maintain/scrub/damage-watch.ts'
import { DamageReport } from '../../../src/operation/damage.ts'
import { dataKey } from '../../../src/storage/blob/keys.ts'
import { blobKey } from '../../../src/storage/metadata/kv/keys.ts'
import { type MaintainScene, withScene } from '../../support/maintain.ts'

interface Watched {
  readonly scene: MaintainScene
  readonly watch: DamageWatch
  readonly deeds: readonly JobDeed[]
  readonly looks: () => number
  pass(ms: number): void
}

async function withWatch(body: (watched: Watched) => Promise<void>): Promise<void> {
  const damage = new DamageReport()
  await withScene({ stores: 'lmdb', registry: { damage } }, async (scene) => {
    const deeds: JobDeed[] = []
    let looks = 0
    let elapsedMs = 0
    const watch = new DamageWatch({
      parts: scene.jobParts(),
      settings: () => ({ rateBytes: 0, graceMs: scene.graceMs }),
      record: (deed) => deeds.push(deed),
      onLook: () => {
        looks += 1
      },
      elapsed: () => elapsedMs,
    })
    damage.onFound = (digest) => watch.look(digest)
    const pass = (ms: number): void => {
      elapsedMs += ms
    }
    await body({ scene, watch, deeds, looks: () => looks, pass })
    await watch.close()
  })
}

const text = Buffer.from('what was pushed')

for (const [what, damage] of [
  ['is gone', (path: string) => rm(path)],
  ['is shorter', (path: string) => writeFile(path, 'what')],
] as const) {
  test(`a blob whose file ${what} is served to nobody, and can be pushed again`, async () => {
    await withWatch(async ({ scene, watch, deeds, looks }) => {
      const digest = await scene.pushBlob('app', text)
      const target = `/v2/app/blobs/${digest}`
      await damage(join(scene.disk.rootDir!, dataKey(digest)))
      assert.equal((await scene.send('GET', target)).status, 500)
      await watch.idle()
      assert.equal((await scene.send('GET', target)).status, 404)
      assert.equal((await scene.send('HEAD', target)).status, 404)
      assert.deepEqual(
        deeds.map(({ deed }) => deed),
        ['quarantine-blob'],
      )
      assert.equal(looks(), 1)
      await scene.pushBlob('app', text)
      const answer = await scene.send('GET', target)
      assert.deepEqual([answer.status, answer.body], [200, text])
    })
  })
}

test('where the record alone is wrong, the bytes are served once they were hashed', async () => {
  await withWatch(async ({ scene, watch, deeds }) => {
    const digest = await scene.pushBlob('app', text)
    const target = `/v2/app/blobs/${digest}`
    const key = blobKey(digest)
    const record = scene.disk.records.reader.get(key)!
    await scene.disk.records.write('durable', (t) => t.put(key, record.replace(/^\d+/, '7')))
    assert.equal((await scene.send('GET', target)).status, 500)
    await watch.idle()
    const answer = await scene.send('GET', target)
    assert.deepEqual([answer.status, answer.body], [200, text])
    assert.deepEqual(
      deeds.map(({ deed }) => deed),
      ['repair-record'],
    )
  })
})

test('what cannot be helped is not looked at again for each request', async () => {
  await withWatch(async ({ watch, looks, pass, scene }) => {
    const digest = await scene.pushBlob('app', text)
    for (let i = 0; i < 5; i++) {
      watch.look(digest)
      await watch.idle()
    }
    assert.equal(looks(), 1)
    pass(60_000)
    watch.look(digest)
    await watch.idle()
    assert.equal(looks(), 2)
    assert.equal((await scene.send('GET', `/v2/app/blobs/${digest}`)).status, 200)
  })
})

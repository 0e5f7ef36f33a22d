// Goal: the scene of the tests of maintenance does what they believe of it. Method: push, kill and look.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type MaintainScene, withScene } from '../support/maintain.ts'
import { until } from '../support/until.ts'

const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const bytes = Buffer.from('{}')

async function pushImage(scene: MaintainScene): Promise<void> {
  const digest = await scene.pushBlob('app', bytes)
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: 2 }
  const manifest = { schemaVersion: 2, mediaType: manifestType, config, layers: [] }
  await scene.pushManifest('app', manifest, 'v1')
}

for (const stores of ['memory', 'lmdb'] as const) {
  test(`${stores}: what was pushed outlives a kill of the process`, async () => {
    await withScene({ stores }, async (scene) => {
      await pushImage(scene)
      await scene.restart()
      assert.equal((await scene.send('GET', '/v2/app/manifests/v1')).status, 200)
      assert.deepEqual(scene.backgroundFaults, [])
    })
  })

  test(`${stores}: a call in which the process dies has happened or not, and is never answered`, async () => {
    await withScene({ stores }, async (scene) => {
      assert.equal(await dieOfPush(scene, 'before', false), 404)
      assert.equal(await dieOfPush(scene, 'after', true), 200)
    })
  })
}

/** Dies of the transaction that stores the manifest; what the next process says of the repository. */
async function dieOfPush(
  scene: MaintainScene,
  repository: string,
  isAfter: boolean,
): Promise<number> {
  const mediaType = 'application/vnd.oci.image.index.v1+json'
  scene.life.dieIn(0, isAfter)
  const { life } = scene
  let isAnswered = false
  const answered = (): void => {
    isAnswered = true
  }
  scene
    .pushManifest(repository, { schemaVersion: 2, mediaType, manifests: [] })
    .then(answered, answered)
  await until('the process is dead', () => life.isOver)
  await scene.restart()
  assert.equal(isAnswered, false)
  return (await scene.send('GET', `/v2/${repository}/tags/list`)).status
}

// Goal: who publishes a blob while a reclaimer removes an older one of the same digest is never refused for
// it. Method: both at once, the removal a little later each time, and what is left is published once more.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId } from '../../../../src/oci/upload-id.ts'
import { openFsScene } from './scene.ts'

const rounds = 240
const latestTurns = 24

test('a blob can be published while it is removed', async () => {
  const { store, stage, close } = await openFsScene()
  try {
    const bytes = Buffer.from('the same bytes')
    const digest = digestOfBytes('sha256', bytes)
    for (let round = 0; round < rounds; round++) {
      const upload = newUploadId(randomUUID)
      await stage(upload, bytes)
      const publish = (): Promise<void> => store.publish(upload, digest, bytes.length)
      await publish()
      // The second one waits for the sync of the first.
      const published = Promise.all([publish(), publish()])
      published.catch(() => undefined)
      for (let turn = round % latestTurns; turn > 0; turn--) await setImmediate()
      await Promise.all([published, store.remove(digest)])
      await publish()
      assert.equal(await store.size(digest), bytes.length)
      await store.discard(upload)
    }
  } finally {
    await close()
  }
})

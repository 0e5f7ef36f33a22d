// Goal: a removal that may happen late, or in the name of a server that has lost its lease, takes nothing that was pushed
// since. Method: a real S3 server behind a gate that keeps answers back, and counts what is sent.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId } from '../../../../src/oci/upload-id.ts'
import { StorageError } from '../../../../src/storage/error.ts'
import { type S3Call, S3Gate } from '../../../support/s3-faults.ts'
import { needsVersitygw, S3Server } from '../../../support/versitygw.ts'
import { openS3Scene, type S3Scene } from './scene.ts'

const bytes = Buffer.from('of a blob')
const digest = digestOfBytes('sha256', bytes)

describe('a removal', needsVersitygw, () => {
  let server: S3Server
  let gate: S3Gate
  let scene: S3Scene
  before(async () => {
    server = await S3Server.start()
    gate = await S3Gate.open(server.endpoint)
    const connection = { attemptTimeoutMs: 2_000 }
    scene = openS3Scene(gate.endpoint, await server.bucket(), { connection })
  })
  after(async () => {
    await scene?.close()
    await gate?.close()
    await server?.stop()
  })

  async function stored(): Promise<void> {
    gate.behave(() => undefined)
    const upload = newUploadId(randomUUID)
    await scene.stage(upload, bytes)
    await scene.store.publish(upload, digest, bytes.length)
    await scene.store.discard(upload)
    gate.calls.length = 0
  }

  const removals = (): number => gate.calls.filter(isRemoval).length

  for (const manner of [
    { kind: 'stalls' },
    { kind: 'is-silent' },
    { kind: 'fails', status: 500, code: 'InternalError' },
    { kind: 'fails', status: 503, code: 'ServiceUnavailable' },
  ] as const) {
    test(`is sent once where the bucket ${manner.kind}`, async () => {
      await stored()
      gate.spoil(1, isRemoval, manner)
      const isAway = (error: unknown): boolean =>
        error instanceof StorageError && error.kind === 'unavailable'
      await assert.rejects(scene.store.remove(digest), isAway)
      assert.equal(removals(), 1)
    })
  }

  test('is sent again where the bucket says that it did nothing', async () => {
    await stored()
    gate.spoil(2, isRemoval, { kind: 'fails', status: 503, code: 'SlowDown' })
    assert.equal(await scene.store.remove(digest), true)
    assert.equal(removals(), 3)
    assert.equal(await scene.store.size(digest), undefined)
  })

  test('is not sent by whoever does not hold it any more', async () => {
    await stored()
    const refusal = new Error('the lease has ended')
    const requireHeld = (): never => {
      throw refusal
    }
    await assert.rejects(scene.store.remove(digest, { overwrite: false, requireHeld }), refusal)
    assert.equal(removals(), 0)
    assert.equal(await scene.store.size(digest), bytes.length)
    let asked = 0
    const requireOnce = (): void => {
      asked += 1
    }
    const held = { overwrite: false, requireHeld: requireOnce }
    assert.equal(await scene.store.remove(digest, held), true)
    assert.deepEqual([asked, removals()], [1, 1])
  })
})

function isRemoval({ method }: S3Call): boolean {
  return method === 'DELETE'
}

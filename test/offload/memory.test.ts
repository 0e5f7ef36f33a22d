// Goal: bodies for a memory store take the same way as those for files, without a thread.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { digestOfBytes } from '../../src/oci/digest.ts'
import { newUploadId } from '../../src/oci/upload-id.ts'
import type { IngestPlan } from '../../src/offload/contract.ts'
import { MemoryBlobStore } from '../../src/storage/blob/memory/store.ts'
import { StorageError } from '../../src/storage/error.ts'
import { patternBytes } from '../support/pattern-source.ts'
import { FedBody, patternBody } from './fed-body.ts'
import { withPool } from './scene.ts'

function setUp(): {
  store: MemoryBlobStore
  upload: ReturnType<typeof newUploadId>
  plan: IngestPlan
} {
  const store = new MemoryBlobStore()
  const upload = newUploadId(randomUUID)
  const plan: IngestPlan = {
    target: store.staging(upload),
    offset: 0,
    algorithm: 'sha256',
    hash: { kind: 'stream' },
    bytesMax: 10_000_000,
    sync: true,
  }
  return { store, upload, plan }
}

test('a session of two requests is staged, rehashed and published', async () => {
  const { store, upload, plan } = setUp()
  await withPool({ workers: 0, memory: store }, async ({ pool }) => {
    const first = await pool.receive(plan, patternBody(2_000_000, 300_000))
    assert.equal(first.kind === 'complete' && first.offset, 2_000_000)
    const interrupted = new FedBody().feed(new Uint8Array(5000))
    const lost = pool.receive({ ...plan, offset: 2_000_000 }, interrupted)
    setImmediate(() => interrupted.abort())
    assert.deepEqual(await lost, { kind: 'aborted' })
    const rest = patternBody(77, 10, { from: 2_000_000 })
    const second = await pool.receive({ ...plan, offset: 2_000_000 }, rest)
    const digest = digestOfBytes('sha256', patternBytes(2_000_077))
    assert.deepEqual(second, { kind: 'complete', offset: 2_000_077, digest })
    assert.equal(await pool.rehash(plan.target, 2_000_077, 'sha256'), digest)
    await pool.sync(plan.target)
    await store.publish(upload, digest, 2_000_077)
    await store.discard(upload)
    assert.equal(await store.size(digest), 2_000_077)
  })
})

test('fewer staged bytes than were committed are corrupt', async () => {
  const { store, plan } = setUp()
  await withPool({ workers: 0, memory: store }, async ({ pool }) => {
    await pool.receive(plan, patternBody(10, 10))
    const isCorrupt = (error: unknown): boolean =>
      error instanceof StorageError && error.kind === 'corrupt'
    await assert.rejects(pool.receive({ ...plan, offset: 11 }, patternBody(1, 1)), isCorrupt)
    await assert.rejects(pool.rehash(plan.target, 11, 'sha256'), isCorrupt)
  })
})

test('an empty body makes an empty blob', async () => {
  const { store, upload, plan } = setUp()
  await withPool({ workers: 0, memory: store }, async ({ pool }) => {
    const outcome = await pool.receive(plan, patternBody(0, 1))
    assert.equal(outcome.kind, 'complete')
    assert.equal(await store.stagedSize(upload), 0)
  })
})

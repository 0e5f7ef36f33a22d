// Goal: after a power loss nothing is believed of staged bytes that were not synced: their hash state
// would make a blob of zeros look right. Method: an ingest pool that only remembers its plan.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOfBytes } from '../../src/oci/digest.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'
import { parseUploadId } from '../../src/oci/upload-id.ts'
import type { IngestPlan } from '../../src/offload/contract.ts'
import { receiveBody } from '../../src/operation/receive-body.ts'
import type { Registry } from '../../src/operation/registry.ts'
import { StorageError } from '../../src/storage/error.ts'
import type { UploadRecord } from '../../src/storage/metadata/contract.ts'

const digest = digestOfBytes('sha256', Buffer.from('committed'))
const record: UploadRecord = {
  id: parseUploadId('0b5ec4ba-0000-4000-8000-000000000000')!,
  repository: parseRepositoryName('a')!,
  algorithm: 'sha256',
  offset: 9,
  digest,
  hashState: 'c3RhdGU=',
  synced: false,
  bootId: 'this boot',
  fence: 1,
  startedAtMs: 0,
  touchedAtMs: 0,
}

async function planned(
  held: UploadRecord,
  closes = false,
  sealing?: { keepActive(): void },
): Promise<IngestPlan> {
  let plan: IngestPlan | undefined
  const registry = {
    bootId: 'this boot',
    rules: { rulesFor: () => ({ blobBytesMax: 100, quotas: [] }) },
    blobs: { staging: () => ({ kind: 'memory', key: 'k' }), sealing },
    ingest: {
      receive: async (asked: IngestPlan) => {
        plan = asked
        return { kind: 'complete', offset: 10, digest }
      },
    },
  } as unknown as Registry
  const body = { length: 1, consume: () => {}, pause: () => {}, resume: () => {} }
  await receiveBody(held, { kind: 'in-order', bytes: 1 }, body, registry, {
    digest: closes ? digest : undefined,
    sync: closes,
  })
  return plan!
}

test('a stored hash state goes on under the same kernel, or after a sync', async () => {
  const goesOn = { kind: 'exportable', state: 'c3RhdGU=' }
  assert.deepEqual((await planned(record)).hash, goesOn)
  const synced = { ...record, synced: true, bootId: 'an earlier boot' }
  assert.deepEqual((await planned(synced)).hash, goesOn)
})

test('after another boot the state of unsynced bytes is not used', async () => {
  const plan = await planned({ ...record, bootId: 'an earlier boot' })
  assert.deepEqual(plan.hash, { kind: 'exportable' })
  assert.equal(plan.digest, undefined)
})

test('what was hashed goes on only where its digest is that of the record', async () => {
  assert.equal((await planned(record)).digest, digest)
  const synced = { ...record, synced: true, bootId: 'an earlier boot' }
  assert.equal((await planned(synced)).digest, digest)
  const { digest: _digest, ...unknown } = record
  assert.equal((await planned(unknown)).digest, undefined)
})

test('nothing is kept for a session that ends with this body', async () => {
  assert.equal((await planned(record)).keepsHasher, true)
  assert.equal((await planned(record, true)).keepsHasher, false)
})

test('a body is not told to be there whose key was retired while it came', async () => {
  const retired = new StorageError('unavailable', 'the key was retired')
  const keepActive = (): void => {
    throw retired
  }
  await assert.rejects(planned(record, false, { keepActive }), retired)
  assert.equal((await planned(record, false, { keepActive: () => {} })).digest, digest)
})

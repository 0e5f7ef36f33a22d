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

async function plannedHash(held: UploadRecord): Promise<IngestPlan['hash']> {
  let planned: IngestPlan | undefined
  const registry = {
    bootId: 'this boot',
    limits: { blobBytesMax: 100 },
    blobs: { staging: () => ({ kind: 'memory', key: 'k' }) },
    ingest: {
      receive: async (plan: IngestPlan) => {
        planned = plan
        return { kind: 'complete', offset: 10, digest }
      },
    },
  } as unknown as Registry
  const body = { length: 1, consume: () => {}, pause: () => {}, resume: () => {} }
  await receiveBody(held, { kind: 'in-order', bytes: 1 }, body, registry, false)
  return planned!.hash
}

test('a stored hash state goes on under the same kernel, or after a sync', async () => {
  const goesOn = { kind: 'exportable', state: 'c3RhdGU=' }
  assert.deepEqual(await plannedHash(record), goesOn)
  const synced = { ...record, synced: true, bootId: 'an earlier boot' }
  assert.deepEqual(await plannedHash(synced), goesOn)
})

test('after another boot the state of unsynced bytes is not used', async () => {
  const hash = await plannedHash({ ...record, bootId: 'an earlier boot' })
  assert.deepEqual(hash, { kind: 'exportable' })
})

// Goal: wherever a migration is cut short, the target is refused, the source takes writes again, and the next attempt
// ends with both stores the same; while it runs nothing that it copies is changed.
// Method: a registry in this process, moved to another folder; the run is stopped at each step that it tells of.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Job } from '../../../src/maintain/job/contract.ts'
import type { MigrateInput } from '../../../src/maintain/migrate/contract.ts'
import { createMigrateJob } from '../../../src/maintain/migrate/job.ts'
import type { UploadId } from '../../../src/oci/upload-id.ts'
import { createIngestPool } from '../../../src/offload/ingest-pool.ts'
import { expireUploads } from '../../../src/operation/expire-uploads.ts'
import { openFsBlobStore } from '../../../src/storage/blob/fs/store.ts'
import type { RestoreTarget } from '../../../src/storage/metadata/dump.ts'
import type { KeyValueReader } from '../../../src/storage/metadata/kv/contract.ts'
import { openLmdb, openLmdbRestore } from '../../../src/storage/metadata/lmdb/open.ts'
import { breaches } from '../../simulate/metadata-invariants.ts'
import { pushImage, withBackup } from '../backup/scene.ts'

/** To the folder `to`. `onEnd` is given the last write. */
function migrateJob(
  to: string,
  onEnd: (end: () => ReturnType<RestoreTarget['end']>) => ReturnType<RestoreTarget['end']> = (
    end,
  ) => end(),
): Job<MigrateInput> {
  return createMigrateJob(() => ({
    kinds: 'lmdb+fs',
    openTarget: async () => {
      const { target, store, close } = await openLmdbRestore({
        ...{ path: join(to, 'records'), now: Date.now },
      })
      const blobs = await openFsBlobStore({ rootDir: join(to, 'blobs'), durability: 'none' })
      const ingest = createIngestPool({
        ...{ workers: 1, slabBytes: 1 << 20, slabsPerUpload: 4, memoryBudgetBytes: 8 << 20 },
        durability: 'none',
      })
      return {
        ...{ kinds: 'lmdb+fs', blobs, ingest },
        records: {
          readState: () => target.readState(),
          begin: (...of) => target.begin(...of),
          load: (...of) => target.load(...of),
          end: (by) => onEnd(() => target.end(by)),
        },
        openDump: () => store.openDump(),
        pair: async () => undefined,
        close: async () => {
          await ingest.close()
          await blobs.close()
          await close()
        },
      }
    },
  }))
}

async function openTarget(to: string): Promise<Awaited<ReturnType<typeof openLmdb>>['store']> {
  const path = join(to, 'records')
  const how = { durability: 'none', sharing: 'exclusive', now: Date.now } as const
  return (await openLmdb({ path, ...how })).store
}

const ownRows = /^(s!lock|s!probe|s!job!|u!)/

function rows(reader: KeyValueReader): readonly (readonly [string, string])[] {
  return reader
    .entries({ start: ' ', end: '~' })
    .filter(({ key }) => !ownRows.test(key))
    .map(({ key, value }) => [key, value])
}

test('a migration that is cut at any step is refused, and ended by the next one', () =>
  withBackup(async (scene, to) => {
    for (const tag of ['v1', 'v2', 'v3']) await pushImage(scene, 'team/app', tag)
    await pushImage(scene, 'other', 'latest')
    await scene.send('DELETE', '/v2/team/app/manifests/v2')
    await scene.send('POST', '/v2/team/app/blobs/uploads/')
    const input = { to: '/target.toml', dryRun: false }
    for (const step of ['records 1', 'blobs 1', 'blobs 5', 'blobs 8'] as const) {
      const [phase = '', count] = step.split(' ')
      const cut = new AbortController()
      let isCut = false
      const progress = (now: { readonly phase: string; readonly done: number }): void => {
        if (now.phase !== phase || now.done < Number(count)) return
        isCut = true
        cut.abort(new Error('cut'))
      }
      const running = scene.run(migrateJob(to), input, {
        signal: cut.signal,
        context: { progress, signal: cut.signal },
      })
      await running.then(
        () => undefined,
        () => undefined,
      )
      assert.ok(isCut, step)
      await assert.rejects(openTarget(to), /has not ended; run it again/)
      // The source takes writes again.
      await pushImage(scene, 'team/app', 'v1')
    }
    const { report } = await scene.run(migrateJob(to), input)
    assert.equal(report.ok, true)
    assert.equal((report.details['blobs'] as { readonly copied: number }).copied, 0)
    const target = await openTarget(to)
    assert.deepEqual(rows(target.reader as KeyValueReader), rows(scene.disk.records.reader))
    await target.close()
  }))

for (const [what, isEnded] of [
  ['is done all the same', true],
  ['is not done', false],
] as const) {
  test(`a last write to the target that fails and ${what}`, () =>
    withBackup(async (scene, to) => {
      await pushImage(scene, 'team/app', 'v1')
      const lost = new Error('the connection is lost')
      const job = migrateJob(to, async (end) => {
        if (isEnded) await end()
        throw lost
      })
      const running = scene.run(job, { to: '/target.toml', dryRun: false })
      await assert.rejects(running, isEnded ? /may be done all the same: this server stays/ : lost)
      const { status } = await scene.send('POST', '/v2/team/app/blobs/uploads/')
      assert.equal(status, isEnded ? 503 : 202)
      if (isEnded) await (await openTarget(to)).close()
      else await assert.rejects(openTarget(to), /has not ended; run it again/)
    }))
}

test('the target holds what the source holds, row by row, and the source stays frozen', () =>
  withBackup(async (scene, to) => {
    for (const tag of ['v1', 'v2']) await pushImage(scene, 'team/app', tag)
    await scene.send('DELETE', '/v2/team/app/manifests/v2')
    await scene.send('POST', '/v2/team/app/blobs/uploads/')
    const { report } = await scene.run(migrateJob(to), { to: '/target.toml', dryRun: false })
    assert.equal(report.ok, true)
    assert.equal(report.details['uploadsLeft'], 1)
    const target = await openTarget(to)
    try {
      const { reader } = scene.disk.records
      assert.deepEqual(rows(target.reader as KeyValueReader), rows(reader))
      assert.deepEqual(breaches(target.reader as KeyValueReader), [])
      const manifests = reader.bodyKeys({ start: ' ', end: '~' })
      assert.deepEqual(target.reader.bodyKeys({ start: ' ', end: '~' }), manifests)
      for (const key of manifests) {
        assert.deepEqual(target.reader.getBody(key), reader.getBody(key), key)
      }
    } finally {
      await target.close()
    }
    const before = rows(scene.disk.records.reader)
    // Of a server on the new records, which has the same directory.
    const other = 'b6b0f5a8-7a35-4c35-8d4f-0e5a3f6c1d2e' as UploadId
    const staged = scene.registry.blobs.staging(other)
    assert.ok(staged.kind === 'fs')
    await writeFile(staged.path, 'half of it')
    assert.equal(await expireUploads(scene.registry, 0), 0)
    assert.equal(await scene.registry.blobs.stagedSize(other), 10)
    assert.equal((await scene.send('POST', '/v2/team/app/blobs/uploads/')).status, 503)
    assert.equal((await scene.send('DELETE', '/v2/team/app/manifests/v1')).status, 503)
    assert.equal((await scene.send('GET', '/v2/team/app/manifests/v1')).status, 200)
    assert.deepEqual(rows(scene.disk.records.reader), before)
  }))

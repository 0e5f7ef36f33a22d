// Goal: what a backup held is what its restore holds, row by row and byte by byte, and nothing but an empty
// store is ever restored to. Method: a registry in this process is backed up; its rows are compared with those
// of the store that the backup was restored to.

import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Layout } from '../../../src/maintain/backup/layout.ts'
import { listSnapshotIds } from '../../../src/maintain/backup/snapshot.ts'
import { digestOfBytes } from '../../../src/oci/digest.ts'
import { dataKey } from '../../../src/storage/blob/keys.ts'
import type { KeyValueReader } from '../../../src/storage/metadata/kv/contract.ts'
import { KeyValueMetadataStore } from '../../../src/storage/metadata/kv/store.ts'
import { repository, tag } from '../../contract/metadata/scene.ts'
import { breaches } from '../../simulate/metadata-invariants.ts'
import { opened, restoreTo, withRestored } from './restored.ts'
import { backupJob, filesIn, pushImage, withBackup, withFolder } from './scene.ts'

function rows(reader: KeyValueReader, without: RegExp): Map<string, string> {
  const all = reader.entries({ start: ' ', end: '~' })
  return new Map(all.filter(({ key }) => !without.test(key)).map(({ key, value }) => [key, value]))
}

const ownRows = /^(s!lock|s!probe|s!job!|u!)/

test('a restored store has the same rows, manifests and blobs, and serves all of them', () =>
  withBackup(async (scene, to) => {
    const images = [
      await pushImage(scene, 'team/app', 'v1'),
      await pushImage(scene, 'team/app', 'v2'),
      await pushImage(scene, 'other', 'latest'),
    ]
    await scene.send('POST', '/v2/team/app/blobs/uploads/')
    await scene.pushBlob('team/app', Buffer.alloc(0))
    const long = Buffer.alloc(3 << 20, 'long')
    const longDigest = digestOfBytes('sha512', long)
    const target = `/v2/team/app/blobs/uploads/?digest=${longDigest}`
    assert.equal((await scene.send('POST', target, { body: long })).status, 201)
    await new KeyValueMetadataStore(scene.disk.records).createApiKey(
      {
        ...{ id: '0123456789abcdef', name: 'ci', secretSha256: 'ab'.repeat(32), scopes: [] },
        ...{ createdAtMs: scene.nowMs, expiresAtMs: scene.nowMs + 1e9 },
      },
      10,
    )
    const { report } = await scene.run(backupJob(), { to })
    assert.equal(report.ok, true)
    await withRestored(to, { now: () => scene.nowMs }, async (store, result) => {
      assert.equal(result.copied.count, 8)
      assert.deepEqual(await readFile(join(store.rootDir, dataKey(longDigest))), long)
      assert.deepEqual([...result.usageFaults, ...result.unreadable, ...result.lacking], [])
      const source = scene.disk.records.reader
      assert.deepEqual(rows(store.records.reader, ownRows), rows(source, ownRows))
      assert.deepEqual(breaches(store.records.reader), [])
      for (const { manifest, blobs } of images.slice(0, 2)) {
        const name = repository('team/app')
        assert.deepEqual(
          store.metadata.readManifest(name, manifest)?.bytes,
          scene.disk.records.reader.getBody(`r!team/app!m!${manifest}`),
        )
        for (const blob of blobs) {
          assert.deepEqual(
            await readFile(join(store.rootDir, dataKey(blob))),
            await readFile(join(scene.disk.rootDir!, dataKey(blob))),
          )
        }
      }
      assert.equal(store.metadata.readStoreId(), scene.metadata.readStoreId())
      assert.deepEqual(store.metadata.readUsage(''), scene.metadata.readUsage(''))
      assert.deepEqual(await readdir(join(store.rootDir, '_keelson', 'uploads')), [])
    })
  }))

test('any snapshot can be restored, also after later ones', () =>
  withBackup(async (scene, to) => {
    await pushImage(scene, 'team/app', 'v1')
    await scene.run(backupJob(), { to })
    await pushImage(scene, 'team/app', 'v2')
    scene.advance(60_000)
    await scene.run(backupJob(), { to })
    const [first] = await listSnapshotIds(new Layout(to))
    await withRestored(to, { at: first!.slice(0, -3) }, async ({ metadata }) => {
      assert.deepEqual(metadata.listTags(repository('team/app'), { limit: 10 }), ['v1'])
    })
    await withRestored(to, {}, async ({ metadata }) => {
      assert.deepEqual(metadata.listTags(repository('team/app'), { limit: 10 }), ['v1', 'v2'])
    })
  }))

test('leases last for the grace from the restore on, and what was dropped waits on', () =>
  withBackup(async (scene, to) => {
    const kept = await scene.pushBlob('team/app', Buffer.from('kept'))
    const dropped = await scene.pushBlob('team/app', Buffer.from('dropped'))
    const { metadata } = scene
    const app = repository('team/app')
    const leases = [{ untilMs: scene.nowMs + scene.graceMs, digest: dropped, repository: app }]
    scene.advance(scene.graceMs + 1)
    const by = { nowMs: scene.nowMs, run: 'run-1' }
    assert.deepEqual(await metadata.condemn(leases, by), ['condemned'])
    scene.advance(5_000)
    await scene.run(backupJob(), { to })
    const restoredAtMs = scene.nowMs + 30 * 86_400_000
    await withRestored(to, { now: () => restoredAtMs }, async (store) => {
      const leaseUntilMs = restoredAtMs + 3_600_000
      assert.equal(store.metadata.readBlob(app, kept)?.leaseUntilMs, leaseUntilMs)
      const page = { beforeMs: leaseUntilMs + 1, limit: 10 }
      assert.deepEqual(
        store.metadata.listEndedLeases(page).map(({ digest, untilMs }) => [digest, untilMs]),
        [[kept, leaseUntilMs]],
      )
      const found = store.metadata.listDropped({ limit: 10 })
      assert.deepEqual(
        found.map(({ digest, atMs }) => [digest, atMs]),
        found.map(() => [dropped, restoredAtMs - 5_000]),
      )
      assert.ok(found.length > 0)
      const restored = await store.metadata.restoreDropped(found, {
        ...{ nowMs: restoredAtMs, leaseUntilMs },
      })
      assert.ok(restored.includes('restored'))
      assert.equal(store.metadata.readBlob(app, dropped)?.size, 7)
      assert.deepEqual(breaches(store.records.reader), [])
    })
  }))

test('deleted manifests and marks of sweeps wait on, too', () =>
  withBackup(async (scene, to) => {
    const app = repository('team/app')
    const { manifest: first } = await pushImage(scene, 'team/app', 'v1')
    const { manifest: second } = await pushImage(scene, 'team/app', 'v2')
    const { metadata } = scene
    const removedAtMs = scene.nowMs
    await scene.send('DELETE', `/v2/team/app/manifests/${first}`)
    await metadata.deleteTag(app, tag('v2'), scene.nowMs)
    await metadata.markUnused(app, { unused: [second], used: [] }, scene.nowMs)
    scene.advance(1_000)
    await scene.run(backupJob(), { to })
    scene.advance(86_400_000)
    await withRestored(to, { now: () => scene.nowMs }, async (store) => {
      const [removed] = store.metadata.listRemovedManifests({ limit: 10 })
      assert.ok(removed)
      assert.equal(removed.digest, first)
      assert.equal(removed.atMs, removedAtMs + 86_400_000)
      const [summary] = store.metadata.listManifests(app, { limit: 10 })
      assert.equal(summary?.unusedSinceMs, removedAtMs + 86_400_000)
      const restored = await store.metadata.restoreManifest(removed, {
        ...{ nowMs: scene.nowMs, leaseUntilMs: scene.nowMs + 1, tags: removed.tags },
      })
      assert.equal(restored.kind, 'restored')
      assert.ok(store.metadata.readManifest(app, first))
      assert.deepEqual(breaches(store.records.reader), [])
    })
  }))

test('a store that holds something is refused, and not touched', () =>
  withBackup(async (scene, to) => {
    await pushImage(scene, 'team/app', 'v1')
    await scene.run(backupJob(), { to })
    await withFolder(async (rootDir) => {
      await restoreTo(rootDir, to)
      const files = await filesIn(join(rootDir, 'blobs'))
      await assert.rejects(restoreTo(rootDir, to), /the store holds the repository team\/app/)
      assert.deepEqual(await filesIn(join(rootDir, 'blobs')), files)
      await rm(join(rootDir, '_keelson', 'metadata'), { recursive: true })
      await assert.rejects(restoreTo(rootDir, to), /no records, but blobs such as sha256/)
      // The records are lost, the blobs are not, but for one that has changed.
      const [file] = files
      await writeFile(join(rootDir, 'blobs', file!), 'CHANGED')
      const { copied } = await restoreTo(rootDir, to, { keepsBlobs: true })
      assert.equal(copied.count, 1)
      const quarantined = await readdir(join(rootDir, '_keelson', 'quarantine'))
      assert.equal(quarantined.length, 1)
      await opened(rootDir, async ({ records }) => assert.deepEqual(breaches(records.reader), []))
    })
  }))

test('what a server makes by itself at its start keeps nobody from restoring', () =>
  withBackup(async (scene, to) => {
    await pushImage(scene, 'team/app', 'v1')
    await scene.run(backupJob(), { to })
    await withFolder(async (rootDir) => {
      await mkdir(join(rootDir, '_keelson', 'metadata'), { recursive: true })
      await opened(rootDir, async ({ metadata }) => {
        await metadata.ensureSecret('fresh')
        const key = { kid: 'k', privateKey: 'p', createdAtMs: 1 }
        await metadata.putSigningKey(key, undefined)
        await metadata.probe()
      })
      await restoreTo(rootDir, to)
      await opened(rootDir, async ({ metadata }) => {
        assert.equal(metadata.readStoreId(), scene.metadata.readStoreId())
        assert.deepEqual(metadata.readTokenState().signingKeys, [])
      })
    })
  }))

test('a restore that is cut short keeps everybody else out, and its next run ends it', () =>
  withBackup(async (scene, to) => {
    for (let i = 0; i < 4; i++) await pushImage(scene, 'team/app', `v${i}`)
    await scene.run(backupJob(), { to })
    scene.advance(1_000)
    await scene.run(backupJob(), { to })
    const [older, newer] = await listSnapshotIds(new Layout(to))
    for (const phase of ['blobs', 'rows']) {
      await withFolder(async (rootDir) => {
        const stop = new AbortController()
        const onProgress = (progress: { readonly phase: string; readonly done: number }): void => {
          if (progress.phase === phase && progress.done >= 1) stop.abort()
        }
        await assert.rejects(restoreTo(rootDir, to, { signal: stop.signal, onProgress }))
        await assert.rejects(
          opened(rootDir, async () => {}),
          /the restore of snapshot .* has not ended; run it again/,
        )
        await assert.rejects(
          restoreTo(rootDir, to, { at: older! }),
          new RegExp(`go on with --at ${newer}`),
        )
        const { copied } = await restoreTo(rootDir, to)
        assert.ok(copied.count < 8, 'what was copied before is not copied again')
        await opened(rootDir, async ({ records }) => {
          assert.deepEqual(
            rows(records.reader, ownRows).size,
            rows(scene.disk.records.reader, ownRows).size,
          )
          assert.deepEqual(breaches(records.reader), [])
        })
      })
    }
  }))

test('an incomplete snapshot is restored only when asked for, and lacking blobs read as absent', () =>
  withBackup(async (scene, to) => {
    const { blobs } = await pushImage(scene, 'team/app', 'v1')
    await rm(join(scene.disk.rootDir!, dataKey(blobs[1]!)))
    await scene.run(backupJob(), { to })
    await withFolder((rootDir) =>
      assert.rejects(restoreTo(rootDir, to), /is not complete, it lacks 1 blob:/),
    )
    await withRestored(to, { mayLack: true }, async ({ metadata, records }, { lacking }) => {
      const app = repository('team/app')
      assert.deepEqual(
        lacking.map(({ digest }) => digest),
        [blobs[1]],
      )
      assert.equal(metadata.readBlob(app, blobs[1]!), undefined)
      assert.ok(metadata.readBlob(app, blobs[0]!))
      assert.deepEqual(breaches(records.reader), [])
      const size = Buffer.byteLength('layer team/app:v1')
      const link = { repository: app, digest: blobs[1]!, size, leaseUntilMs: 1, quotas: [] }
      assert.equal(await metadata.linkBlob(link), 'linked')
      assert.equal(metadata.readBlob(app, blobs[1]!)?.referenced, true)
    })
  }))

for (const was of ['shared', 'adopted before'] as const) {
  test(`a tree of another registry stays ${was} when its records are restored over it`, () =>
    withBackup((scene, to) =>
      withFolder(async (rootDir) => {
        await pushImage(scene, 'team/app', 'v1')
        await scene.run(backupJob(), { to })
        await restoreTo(rootDir, to)
        const adoption = { sinceMs: 7, of: 'a registry of before' }
        if (was === 'shared') await mkdir(join(rootDir, 'repositories'))
        await opened(rootDir, async ({ metadata, records }) => {
          await metadata.setAdoption(was === 'shared' ? undefined : adoption)
          // Its records are lost.
          await records.write('durable', (transaction) => {
            for (const key of transaction.keys({ start: ' ', end: '~' })) {
              if (!/^(s!lock|s!adoption|s!format)/.test(key)) transaction.remove(key)
            }
          })
        })
        const { copied } = await restoreTo(rootDir, to, { keepsBlobs: true })
        assert.equal(copied.count, 0)
        await opened(rootDir, async ({ metadata }) => {
          const found = metadata.readAdoption()
          assert.match(found?.of ?? '', was === 'shared' ? /"repositories"/ : /of before/)
          assert.equal(metadata.readTag(repository('team/app'), tag('v1')) !== undefined, true)
        })
      }),
    ))
}

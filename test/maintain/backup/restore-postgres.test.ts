// Goal: a backup goes into PostgreSQL as it goes into LMDB: row by row, into an empty database alone, and one that was
// cut short is refused by a server and finished by the same command.
// Method: a registry in this process is backed up, and restored to databases of a real PostgreSQL.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Layout } from '../../../src/maintain/backup/layout.ts'
import { type RestoreOptions, restoreBackup } from '../../../src/maintain/backup/restore.ts'
import { createIngestPool } from '../../../src/offload/ingest-pool.ts'
import { openFsBlobStore } from '../../../src/storage/blob/fs/store.ts'
import type { KeyValueSnapshot } from '../../../src/storage/metadata/kv/contract.ts'
import {
  openPostgres,
  openPostgresMetadataStore,
  openPostgresRestore,
  type PostgresOptions,
} from '../../../src/storage/metadata/postgres/open.ts'
import { runCommand } from '../../support/command-line.ts'
import { needsPostgres, PostgresServer } from '../../support/postgres.ts'
import { backupJob, pushImage, withBackup, withFolder } from './scene.ts'

let server: PostgresServer

before(async () => {
  if (needsPostgres.skip === false) server = await PostgresServer.start()
})
after(() => server?.stop())

const bounds = { connectionsMax: 4, connectTimeoutMs: 10_000, statementTimeoutMs: 30_000 }

async function emptyDatabase(): Promise<PostgresOptions> {
  return { ...(await server.database()), ...bounds }
}

async function restoreTo(
  database: PostgresOptions,
  rootDir: string,
  from: string,
  options: Partial<RestoreOptions> = {},
): Promise<Awaited<ReturnType<typeof restoreBackup>>> {
  const { target, close } = await openPostgresRestore(database)
  const blobs = await openFsBlobStore({ rootDir, durability: 'none' })
  const ingest = createIngestPool({
    ...{ workers: 1, slabBytes: 1 << 20, slabsPerUpload: 4, memoryBudgetBytes: 8 << 20 },
    durability: 'none',
  })
  try {
    return await restoreBackup(
      new Layout(from),
      { target, blobs, ingest },
      {
        ...{ at: undefined, mayLack: false, keepsBlobs: false, graceMs: 3_600_000, now: Date.now },
        ...{ randomUuid: randomUUID, signal: new AbortController().signal, onProgress: () => {} },
        ...options,
      },
    )
  } finally {
    await ingest.close()
    await blobs.close()
    await close()
  }
}

const ownRows = /^(s!lock|s!probe|s!job!|u!)/

async function rowsOf(snapshot: KeyValueSnapshot): Promise<readonly unknown[]> {
  try {
    const everything = { start: ' ', end: '~' }
    const records = (await snapshot.entries(everything)).filter(({ key }) => !ownRows.test(key))
    const bodies: unknown[] = []
    for (const key of await snapshot.bodyKeys(everything)) {
      bodies.push([key, Buffer.from((await snapshot.getBody(key)) ?? []).toString('base64')])
    }
    return [records.map(({ key, value }) => ({ key, value })), bodies]
  } finally {
    snapshot.close()
  }
}

test('a database holds after a restore what the backed up store held', needsPostgres, () =>
  withBackup(async (scene, to) =>
    withFolder(async (rootDir) => {
      await pushImage(scene, 'team/app', 'v1')
      await pushImage(scene, 'other', 'latest')
      assert.equal((await scene.run(backupJob(), { to })).report.ok, true)
      const database = await emptyDatabase()
      const result = await restoreTo(database, rootDir, to, { now: () => scene.nowMs, graceMs: 0 })
      assert.equal(result.copied.count, 4)
      assert.deepEqual([...result.usageFaults, ...result.unreadable, ...result.lacking], [])
      const { store } = await openPostgres(database)
      try {
        assert.deepEqual(
          await rowsOf(store.snapshot()),
          await rowsOf(scene.disk.records.snapshot()),
        )
      } finally {
        await store.close()
      }
      await assert.rejects(restoreTo(database, rootDir, to), /the store holds the/)
    }),
  ),
)

test(
  'a restore that was cut short is refused by a server, and ended by another',
  needsPostgres,
  () =>
    withBackup(async (scene, to) =>
      withFolder(async (rootDir) => {
        await pushImage(scene, 'team/app', 'v1')
        await scene.run(backupJob(), { to })
        const database = await emptyDatabase()
        const cut = new AbortController()
        const onProgress = ({ phase }: { readonly phase: string }): void => {
          if (phase === 'rows') cut.abort(new Error('cut'))
        }
        await assert.rejects(
          restoreTo(database, rootDir, to, { signal: cut.signal, onProgress }),
          /cut/,
        )
        await assert.rejects(openPostgresMetadataStore(database), /has not ended; run it again/)
        const result = await restoreTo(database, rootDir, to)
        assert.equal(result.copied.count, 0)
        const store = await openPostgresMetadataStore(database)
        assert.equal((await store.listRepositories({ limit: 9 })).length, 1)
        await store.close()
      }),
    ),
)

test('a database that somebody is connected to is left alone', needsPostgres, () =>
  withFolder(async (rootDir) => {
    const database = await emptyDatabase()
    const store = await openPostgresMetadataStore(database)
    try {
      await assert.rejects(restoreTo(database, rootDir, rootDir), /the database is in use/)
    } finally {
      await store.close()
    }
  }),
)

test(
  'of two restores at once the one that began first writes nothing more',
  needsPostgres,
  async () => {
    const database = await emptyDatabase()
    const first = await openPostgresRestore(database)
    try {
      await first.target.begin('one')
      const { store } = await openPostgres({ ...database, isRestore: true })
      await store.write('durable', (transaction) =>
        transaction.put('s!format', 'restoring one two'),
      )
      const times = { takenAtMs: 0, nowMs: 0, leaseUntilMs: 0 }
      const entries = [{ kind: 'record', key: 'n!a', value: 'b' }] as const
      await assert.rejects(first.target.load(entries, times, new Set()), /another restore/)
      await assert.rejects(first.target.end({}), /another restore/)
      await store.close()
    } finally {
      await first.close()
    }
  },
)

test('the command restores to the database of the configuration', needsPostgres, () =>
  withBackup(async (scene, to) =>
    withFolder(async (rootDir) => {
      await pushImage(scene, 'team/app', 'v1')
      await scene.run(backupJob(), { to })
      const { host, port, user, database } = await emptyDatabase()
      const config = join(rootDir, 'config.toml')
      await writeFile(
        config,
        `[blob_store.fs]\nroot_dir = "${rootDir}/store"\n[metadata_store.postgres]\nhost = "${host}"\nport = ${port}\nusername = "${user}"\ndatabase = "${database}"\nsslmode = "disable"\n`,
      )
      const { code, out, err } = await runCommand(['-c', config, 'backup', 'restore', to], '/')
      assert.equal(code, 0, out + err)
      assert.match(out, /restored snapshot .*: 1 repository, 1 tag/)
      const again = await runCommand(['-c', config, 'backup', 'restore', to], '/')
      assert.equal(again.code, 1)
      assert.match(again.err, /the store holds the/)
    }),
  ),
)

// Goal: whatever becomes of the database, what was acknowledged is there, what failed is a refusal that can be
// tried again, and the process lives. Method: a real server that is killed, stalled, and cut off in its commits.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { StorageError } from '../../../src/storage/error.ts'
import {
  openPostgresMetadataStore,
  type PostgresOptions,
} from '../../../src/storage/metadata/postgres/open.ts'
import type { PostgresMetadataStore } from '../../../src/storage/metadata/postgres/store.ts'
import { app, isKind, latest, manifest, never, now, upload } from '../../contract/metadata/scene.ts'
import { type Cut, startCommitCutter } from '../../support/cut-commits.ts'
import { type Database, needsPostgres, PostgresServer } from '../../support/postgres.ts'
import { within } from '../../support/until.ts'

const bounds = { connectionsMax: 5, connectTimeoutMs: 20_000, statementTimeoutMs: 20_000 }

describe('a PostgreSQL in trouble', needsPostgres, () => {
  let server: PostgresServer
  before(async () => {
    server = await PostgresServer.start()
  })
  after(() => server?.stop())

  async function withStore(
    more: Partial<PostgresOptions>,
    body: (store: PostgresMetadataStore, database: Database) => Promise<void>,
  ): Promise<void> {
    const database = await server.database()
    const store = await openPostgresMetadataStore({ ...database, ...bounds, ...more })
    try {
      await body(store, database)
    } finally {
      await store.close()
    }
  }

  for (const cut of ['before', 'after'] as const satisfies readonly Cut[]) {
    test(`a connection that is lost ${cut} a commit is no success, and trying again is safe`, async () => {
      const cutter = await startCommitCutter((await server.database()).host)
      try {
        await withStore({ host: cutter.host }, async (store) => {
          const put = manifest('cut', { tags: [latest] })
          cutter.cut(cut, cut)
          for (const _ of [1, 2])
            await assert.rejects(store.putManifest(put), isKind('unavailable'))
          assert.equal(cutter.count(), 2)
          // Nobody could know: what was not answered may have happened.
          const found = await store.readTag(app, latest)
          assert.equal(found, cut === 'after' ? put.digest : undefined)
          assert.deepEqual(await store.putManifest(put), { kind: 'stored' })
          assert.equal(await store.readTag(app, latest), put.digest)
          const moves = await store.readTagHistory(app, latest, 9)
          assert.equal(moves.length, 1)
          assert.deepEqual(await store.recountUsage({ repair: false }), [])
        })
      } finally {
        await cutter.close()
      }
    })
  }

  test('a server that is killed takes back nothing that others have seen of an upload', async () => {
    await withStore({ connectTimeoutMs: 1000 }, async (store) => {
      for (let i = 0; i < 3; i++) {
        const made = upload()
        await store.createUpload(made)
        const claimed = await store.claimUpload(made.id, 'p1', now, never)
        await server.crash()
        await server.start()
        // Another body with the same fence could be taken for this one.
        assert.deepEqual(await store.readUpload(made.id), claimed)
      }
    })
  })

  test('a server that is killed under transactions and reads is found again when it is back', async () => {
    await withStore({ connectTimeoutMs: 1000 }, async (store, { database }) => {
      const acknowledged: string[] = []
      const outcomes: unknown[] = []
      let isOver = false
      const writing = (async () => {
        for (let i = 0; !isOver; i++) {
          const put = manifest(`killed ${i}`)
          await store.putManifest(put).then(
            () => acknowledged.push(put.digest),
            (error: unknown) => outcomes.push(error),
          )
          await Promise.resolve(store.readTag(app, latest)).catch((error: unknown) =>
            outcomes.push(error),
          )
        }
      })()
      for (let round = 0; round < 3; round++) {
        const before = acknowledged.length
        await within(
          'writes',
          reached(() => acknowledged.length > before + 5),
        )
        await server.crash()
        const failed = outcomes.length
        await within(
          'failures',
          reached(() => outcomes.length > failed),
        )
        await server.start()
      }
      const before = acknowledged.length
      await within(
        'writes again',
        reached(() => acknowledged.length > before + 5),
      )
      isOver = true
      await writing
      for (const outcome of outcomes) assert.ok(isKind('unavailable')(outcome), String(outcome))
      // Asked of the database itself. It syncs nothing here, but its process alone was killed.
      const rows = await server.query(database, 'SELECT key FROM keelson_records')
      for (const digest of acknowledged) assert.ok(rows.includes(digest), digest)
    })
  })

  test('a statement that hangs is given up, and hundreds that wait behind it do not add up', async () => {
    await withStore(
      { statementTimeoutMs: 300, connectTimeoutMs: 600 },
      async (store, { database }) => {
        await store.putManifest(manifest('there', { tags: [latest] }))
        const lock = server.query(
          database,
          "BEGIN; LOCK TABLE keelson_records; SELECT pg_sleep(8); COMMIT; SELECT 'done'",
        )
        await within('the lock', locked(server, database))
        const startMs = performance.now()
        const writes = Array.from({ length: 40 }, (_, i) =>
          store.putManifest(manifest(`hung ${i}`)),
        )
        const reads = Array.from({ length: 40 }, () => Promise.resolve(store.readTag(app, latest)))
        for (const { status, reason } of await Promise.allSettled([...writes, ...reads]).then(
          (all) => all.map((each) => ({ reason: undefined, ...each })),
        )) {
          assert.equal(status, 'rejected')
          assert.ok(isKind('unavailable')(reason), String(reason))
        }
        assert.ok(performance.now() - startMs < 6000, 'each waited for those before it')
        assert.match(await lock, /done/)
        assert.equal(await store.readTag(app, latest), manifest('there').digest)
        assert.deepEqual(await store.putManifest(manifest('hung 1')), { kind: 'stored' })
      },
    )
  })

  test('a connection that the server ends while it is used fails its transaction alone', async () => {
    await withStore({}, async (store, { database }) => {
      await store.probe()
      const lock = server.query(database, 'BEGIN; LOCK TABLE keelson_records; SELECT pg_sleep(60)')
      lock.catch(() => {})
      await within('the lock', locked(server, database))
      const write = store.putManifest(manifest('ended', { tags: [latest] }))
      write.catch(() => {})
      const blocked = "wait_event_type = 'Lock' AND application_name LIKE 'keelson%'"
      await within('the write', asked(server, database, blocked))
      const all = 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '
      await server.query('postgres', `${all}'${database}'`)
      await assert.rejects(write, isKind('unavailable'))
      assert.equal(await store.readTag(app, latest), undefined)
      assert.deepEqual(await store.putManifest(manifest('ended', { tags: [latest] })), {
        kind: 'stored',
      })
    })
  })

  test('a server that takes no writes is none, whatever it would answer', async () => {
    const database = await server.database()
    const standby = 'CREATE FUNCTION pg_is_in_recovery() RETURNS boolean RETURN true'
    await server.query(database.database, standby)
    const path = `ALTER DATABASE ${database.database} SET search_path = public, pg_catalog`
    await server.query(database.database, path)
    const opening = openPostgresMetadataStore({ ...database, ...bounds })
    await assert.rejects(opening, /a standby, which takes no writes/)
  })

  test('an error says nothing of rows', async () => {
    await withStore({}, async (store, { database }) => {
      await server.query(
        database,
        "ALTER TABLE keelson_records ADD CHECK (value NOT LIKE '%secret text%')",
      )
      await assert.rejects(store.ensureSecret('a secret text'), (error) => {
        assert.ok(error instanceof StorageError)
        assert.match(error.message, /refused a statement \(23514\)/)
        assert.doesNotMatch(JSON.stringify([error, error.cause, error.stack]), /secret text/)
        return true
      })
    })
  })

  test('of what goes together only what the database refuses fails', async () => {
    await withStore({}, async (store, { database }) => {
      const refused = manifest('refused')
      const check = `ALTER TABLE keelson_bodies ADD CHECK (length(body) <> ${refused.bytes.length})`
      await server.query(database, check)
      const puts = [manifest('first one'), refused, manifest('last of all')]
      const done = await Promise.allSettled(puts.map((put) => store.putManifest(put)))
      assert.deepEqual(
        done.map(({ status }) => status),
        ['fulfilled', 'rejected', 'fulfilled'],
      )
    })
  })

  test('more at once than connections is a wait, and no failure', async () => {
    await withStore({}, async (store, { database }) => {
      await store.putManifest(manifest('there', { tags: [latest] }))
      const reads = Array.from({ length: 300 }, () => store.readTag(app, latest))
      const digest = manifest('there').digest
      for (const found of await Promise.all(reads)) assert.equal(found, digest)
      const count = `SELECT count(*) FROM pg_stat_activity WHERE datname = '${database}'`
      assert.ok(Number(await server.query('postgres', count)) <= bounds.connectionsMax)
    })
  })
})

async function reached(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

async function asked(server: PostgresServer, database: string, where: string): Promise<void> {
  const text = `SELECT count(*) FROM pg_stat_activity WHERE datname = '${database}' AND ${where}`
  while (Number(await server.query('postgres', text)) === 0) {
    // Each look starts a program.
  }
}

function locked(server: PostgresServer, database: string): Promise<void> {
  return asked(server, database, "wait_event = 'PgSleep'")
}

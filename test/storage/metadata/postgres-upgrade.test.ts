// Goal: servers are upgraded one by one: one of a release before starts with the tables of a later one where that says so,
// and leaves them alone; otherwise it says what it needs. Method: rows of migrations that do not exist yet.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { openPostgresMetadataStore } from '../../../src/storage/metadata/postgres/open.ts'
import { migrations } from '../../../src/storage/metadata/postgres/schema.ts'
import { type Database, needsPostgres, PostgresServer } from '../../support/postgres.ts'

if (needsPostgres.skip === false) {
  const server = await PostgresServer.start()
  after(() => server.stop())
  const known = migrations.length

  const open = async (database: Database): Promise<void> => {
    const limits = { connectionsMax: 2, connectTimeoutMs: 5000, statementTimeoutMs: 10_000 }
    const store = await openPostgresMetadataStore({ ...database, ...limits })
    await store.probe()
    await store.close()
  }
  const migrated = async (): Promise<{
    database: Database
    query: (text: string) => Promise<string>
  }> => {
    const database = await server.database()
    await open(database)
    return { database, query: (text) => server.query(database.database, text) }
  }

  test('a later release that says so is started with, and left as it is', async () => {
    const { database, query } = await migrated()
    await query(`INSERT INTO keelson_migrations (version, oldest)
      VALUES (${known + 1}, ${known}), (${known + 2}, ${known})`)
    const before = await query('SELECT * FROM keelson_migrations ORDER BY version')
    await open(database)
    assert.equal(await query('SELECT * FROM keelson_migrations ORDER BY version'), before)
  })

  for (const oldest of [`${known + 1}`, 'NULL']) {
    test(`a later release that needs ${oldest} is not`, async () => {
      const { database, query } = await migrated()
      await query(`UPDATE keelson_migrations SET oldest = NULL`)
      await query(
        `INSERT INTO keelson_migrations (version, oldest) VALUES (${known + 1}, ${oldest})`,
      )
      const needs = new RegExp(`needs a build that knows ${known + 1}; this one knows ${known}`)
      await assert.rejects(open(database), needs)
    })
  }

  test('one that has tables of before gets the others, and says what goes on with them', async () => {
    const { database, query } = await migrated()
    await query('DELETE FROM keelson_migrations WHERE version > 2')
    await query('ALTER TABLE keelson_migrations DROP COLUMN oldest')
    await open(database)
    const made = await query('SELECT version, oldest FROM keelson_migrations ORDER BY version')
    assert.deepEqual(made.trim().split('\n').slice(0, 3), ['1|', '2|', '3|3'])
  })
} else {
  test('tables of other releases', needsPostgres, () => undefined)
}

// The metadata contract on PostgreSQL.

import { after, test } from 'node:test'
import { openPostgresMetadataStore } from '../../../src/storage/metadata/postgres/open.ts'
import { metadataStoreContract } from '../../contract/metadata-store.ts'
import { needsPostgres, PostgresServer } from '../../support/postgres.ts'

if (needsPostgres.skip === false) {
  const server = await PostgresServer.start()
  after(() => server.stop())

  metadataStoreContract('postgres', async () => {
    const database = await server.database()
    const open = () =>
      openPostgresMetadataStore({
        ...database,
        connectionsMax: 4,
        connectTimeoutMs: 5000,
        statementTimeoutMs: 10_000,
      })
    let store = await open()
    return {
      store,
      reopen: async () => {
        await store.close()
        store = await open()
        return store
      },
      cleanup: () => store.close(),
    }
  })
} else {
  test('the metadata contract on PostgreSQL', needsPostgres, () => undefined)
}

// Goal: the database that is spoken to is the one that is meant, or none. Method: a real server with a
// certificate, and every way in which that certificate can be wrong.

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import {
  openPostgresMetadataStore,
  type PostgresOptions,
} from '../../../src/storage/metadata/postgres/open.ts'
import { createPki, type Pki } from '../../support/pki.ts'
import { needsPostgres, PostgresServer } from '../../support/postgres.ts'

const password = 'a-password-that-nobody-may-see'

describe('TLS to PostgreSQL', needsPostgres, () => {
  let folder: string
  let pki: Pki
  let server: PostgresServer
  let common: PostgresOptions
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keelson-postgres-tls-'))
    pki = await createPki(folder)
    server = await PostgresServer.start()
    const { port } = await server.listen(pki)
    const { database } = await server.database()
    await server.query(database, `ALTER ROLE keelson PASSWORD '${password}'`)
    common = {
      ...{ host: 'localhost', port, database, user: 'keelson', password },
      ...{ connectionsMax: 5, connectTimeoutMs: 20_000, statementTimeoutMs: 20_000 },
    }
  })
  after(async () => {
    await server?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  const tls = (ca: string) => ({ ca, cert: undefined, key: undefined, passphrase: undefined })
  const caOfServer = (): Promise<string> => readFile(pki.serverCa.certificateFile, 'utf8')

  test('a certificate of the CA with the name is taken, by name and by address', async () => {
    for (const host of ['localhost', '127.0.0.1']) {
      const store = await openPostgresMetadataStore({
        ...{ ...common, host, tls: tls(await caOfServer()) },
      })
      await store.probe()
      await store.close()
    }
  })

  test('anything else is refused, and nothing told of the password', async () => {
    const rogue = await pki.rogueCa()
    const cases: readonly (readonly [what: RegExp, more: Partial<PostgresOptions>])[] = [
      [
        /self.signed|unable to verify|issuer/i,
        { tls: tls(await readFile(rogue.certificateFile, 'utf8')) },
      ],
      // 127.0.0.2 is on loopback too, and not in the certificate.
      [/does not match certificate|altnames/i, { host: '127.0.0.2', tls: tls(await caOfServer()) }],
      [/password authentication failed/, { password: 'wrong', tls: tls(await caOfServer()) }],
      // The server asks for TLS: pg_hba.conf has hostssl alone.
      [/no pg_hba.conf entry|no encryption/, {}],
    ]
    for (const [what, more] of cases) {
      await assert.rejects(openPostgresMetadataStore({ ...common, ...more }), (error: Error) => {
        assert.match(error.message, what)
        assert.doesNotMatch(`${error.stack}${JSON.stringify(error)}`, new RegExp(password))
        return true
      })
    }
  })

  test('a server without TLS is not spoken to in clear', async () => {
    const plain = await PostgresServer.start()
    try {
      const { port } = await plain.listen()
      const { database } = await plain.database()
      const opening = openPostgresMetadataStore({
        ...{ ...common, port, database, tls: tls(await caOfServer()) },
      })
      await assert.rejects(opening, /does not support SSL/)
    } finally {
      await plain.stop()
    }
  })
})

// The PostgreSQL that keeps the metadata: what its keys mean together.
import { isLoopbackHost } from '../http/loopback.ts'
import type { CheckedTables } from './checked-tables.ts'
import { refuseHalfPair } from './client-files.ts'
import type { PostgresConfig } from './schema.ts'

const table = 'metadata_store.postgres'

/** Errors: refuses a server that is spoken to in clear over a network, TLS over a socket, and half a pair of keys. */
export function composePostgres(tables: CheckedTables): PostgresConfig {
  const postgres = tables.values(table)
  const { host, sslmode } = postgres
  // A folder is missing where `host` is refused already.
  const isSocket = host?.startsWith('/') === true
  const isClear = sslmode === 'disable'
  if (isClear && !isSocket && host !== undefined && !isLoopbackHost(host)) {
    const message = `expected "verify-full", since ${host} is reached over a network; found "disable"`
    tables.refuse(table, 'sslmode', message)
  }
  if (isSocket && sslmode === 'verify-full') {
    tables.refuse(table, 'sslmode', 'expected "disable": a unix socket has no TLS')
  }
  if (host !== undefined && !isSocket && !/^[\w.:-]+$/.test(host)) {
    const message =
      'expected a name, an address or the folder of a socket, and the rest in its keys'
    tables.refuse(table, 'host', message)
  }
  refuseHalfPair(tables, table, postgres)
  return { ...postgres, sslmode: sslmode ?? (isSocket ? 'disable' : 'verify-full') }
}

// How a PostgreSQL is reached that a configuration names.

import type { PostgresConfig } from '../../../config/schema.ts'
import { readCallerTls } from '../../../outbound/tls-files.ts'
import type { ConnectOptions } from './connect.ts'

/** Errors: an Error that names the key and the file that cannot be used. */
export async function connectOptionsOf(config: PostgresConfig): Promise<ConnectOptions> {
  const { host, port, database, username, password, sslmode } = config
  const { ca, cert, key, passphrase } = await readCallerTls('metadata_store.postgres', config)
  const tls = { ca, cert, key, passphrase: passphrase?.reveal() }
  return {
    ...{ host, port, database, user: username, password: password?.reveal() },
    ...(sslmode === 'disable' ? {} : { tls }),
    connectionsMax: config.connectionsMax,
    connectTimeoutMs: config.connectTimeoutMs,
    statementTimeoutMs: config.statementTimeoutMs,
  }
}

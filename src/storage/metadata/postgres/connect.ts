// Connections to PostgreSQL: how many, for how long, and only to the server that is meant.

import { randomUUID } from 'node:crypto'
import pg, { type PoolClient, type PoolConfig } from 'pg'
import { StorageError } from '../../error.ts'

export interface PostgresTls {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly passphrase: string | undefined
}

export interface ConnectOptions {
  /** A name, an address, or the folder of a socket. */
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  readonly password?: string | undefined
  /** Chain and name of the server's certificate are checked; undefined: in clear. */
  readonly tls?: PostgresTls | undefined
  readonly connectionsMax: number
  /** Units: ms. To have a connection, waiting for a free one included. */
  readonly connectTimeoutMs: number
  /** Units: ms. Of each statement. */
  readonly statementTimeoutMs: number
}

// By then the server has ended the statement itself, unless it is the one that hangs.
const patienceMs = 1000
const keepAliveMs = 10_000
const idleMs = 60_000

/** How sessions begin to call themselves. */
export const applicationName = 'keelson'

/** `onLost`: a connection has ended that nobody had asked to. */
export function createPool(options: ConnectOptions, onLost: () => void): pg.Pool {
  const { host, port, database, user, password, tls } = options
  const config: PoolConfig & { readonly verify: typeof verify } = {
    ...{ host, port, database, user, verify },
    // Said in each case: the driver would take what is left out from the environment.
    password: () => password ?? '',
    ssl: tls === undefined ? false : { ...tls, rejectUnauthorized: true, minVersion: 'TLSv1.2' },
    max: options.connectionsMax,
    connectionTimeoutMillis: options.connectTimeoutMs,
    idleTimeoutMillis: idleMs,
    statement_timeout: options.statementTimeoutMs,
    query_timeout: options.statementTimeoutMs + patienceMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveMs,
    // One of each pool: so it can tell its own sessions from those of others.
    application_name: `${applicationName} ${randomUUID().slice(0, 8)}`,
    // A scan of a small table would make every transaction depend on all of it.
    options: '-c enable_seqscan=off',
  }
  const pool = new pg.Pool(config)
  // Without a listener the process ends with a connection that is lost while somebody uses it; that one is
  // told by the statement that fails.
  pool.on('connect', (client) => client.on('error', onLost))
  pool.on('error', () => {})
  return pool
}

type Verified = (error?: Error) => void

/** Each new connection: one that takes no writes may be behind the server that does. */
function verify(client: PoolClient, done: Verified): void {
  client
    .query<{ readonly standby: boolean }>('SELECT pg_is_in_recovery() AS standby')
    .then(({ rows }) => {
      const isStandby = rows[0]?.standby !== false
      done(isStandby ? new StorageError('unavailable', standby) : undefined)
    }, done)
}

const standby = 'metadata store: PostgreSQL: the server is a standby, which takes no writes'

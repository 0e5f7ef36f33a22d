// The rows of a PostgreSQL that keeps the metadata.
import { clientFilesAtStart } from './schema-logins.ts'

const own = {
  host: {
    kind: 'text',
    field: 'host',
    lengthMin: 1,
    required: true,
    example: 'db.example.com',
    reload: 'restart',
    doc: 'Name or address of the server, the primary of a group; or the folder of its unix socket, `/run/postgresql`.',
  },
  port: {
    kind: 'integer',
    field: 'port',
    default: 5432,
    min: 1,
    max: 65_535,
    reload: 'restart',
    doc: 'Port of the server, also in the name of its socket.',
  },
  database: {
    kind: 'text',
    field: 'database',
    lengthMin: 1,
    default: 'keelson',
    reload: 'restart',
    doc: 'Database, with the encoding UTF8. Its tables are made at the first start.',
  },
  username: {
    kind: 'text',
    field: 'username',
    lengthMin: 1,
    default: 'keelson',
    reload: 'restart',
    doc: 'Role that owns the tables.',
  },
  password: {
    kind: 'secret',
    field: 'password',
    required: false,
    example: 'a long random text',
    otherwise: 'none: a certificate, or `peer` over a socket',
    reload: 'restart',
    doc: 'Password of the role.',
  },
  sslmode: {
    kind: 'choice',
    field: 'sslmode',
    of: ['verify-full', 'disable'],
    required: false,
    example: 'verify-full',
    otherwise: '`"verify-full"`, but for a socket',
    reload: 'restart',
    doc: '`verify-full`: TLS, and the certificate of the server is checked with its name. `disable`: in clear, over a socket or loopback alone.',
  },
  connections_max: {
    kind: 'integer',
    field: 'connectionsMax',
    default: 10,
    min: 5,
    max: 1000,
    reload: 'restart',
    doc: 'Most connections of each process. One writes, each job that reads a moment of the database holds one.',
  },
  connect_timeout: {
    kind: 'duration',
    field: 'connectTimeoutMs',
    default: '5s',
    min: '100ms',
    max: '1m',
    reload: 'restart',
    doc: 'For a connection, the wait for a free one included; then 503.',
  },
  statement_timeout: {
    kind: 'duration',
    field: 'statementTimeoutMs',
    default: '10s',
    min: '100ms',
    max: '10m',
    reload: 'restart',
    doc: 'For each statement; then 503. The database ends a transaction that stays idle for half of it, as that of a host that is gone, so that those who wait for its locks get them.',
  },
} as const

type Postgres = {
  readonly 'metadata_store.postgres': {
    readonly doc: string
    readonly alternative: true
    readonly keys: typeof own & typeof clientFilesAtStart
  }
}

export const postgresSchema: Postgres = {
  'metadata_store.postgres': {
    doc: 'Manifests, tags, references and upload sessions in a PostgreSQL, in place of LMDB.',
    alternative: true,
    keys: { ...own, ...clientFilesAtStart },
  },
}

// The layer table: which room may import which. A stage never calls another, and of the stages
// operation alone reaches storage, through its contracts.

export interface Layer {
  /** A file, a folder with all below it, or with `/*` the files directly in a folder. */
  readonly room: string
  readonly imports: readonly string[]
  /** What it may `import type`, besides `imports`. */
  readonly types: readonly string[]
}

const contracts = ['src/storage/*', 'src/storage/blob/*', 'src/storage/metadata/*']
const foundation = ['src/oci', 'src/telemetry']

/** A file belongs to the last room that covers it, and may always import from its own room. */
export const layers: readonly Layer[] = [
  { room: 'src/oci', imports: [], types: [] },
  { room: 'src/telemetry', imports: [], types: [] },
  { room: 'src/http', imports: ['src/oci'], types: [] },
  // The event loop and the ingest threads speak to a bucket in the same way.
  {
    room: 'src/s3',
    imports: ['src/outbound/circuit-breaker.ts'],
    types: ['src/outbound/contract.ts'],
  },
  // So they do about what is encrypted.
  { room: 'src/sealing', imports: ['src/oci'], types: [] },
  { room: 'src/config', imports: ['src/oci', 'src/http/loopback.ts', 'src/sealing'], types: [] },
  {
    room: 'src/storage',
    imports: [...foundation, ...contracts],
    types: ['src/config', 'src/s3', 'src/sealing'],
  },
  // One backend each: siblings never import one another, but for the room that two of them share.
  {
    room: 'src/storage/blob/fs',
    imports: [...foundation, ...contracts, 'src/sealing'],
    types: ['src/config'],
  },
  {
    room: 'src/storage/blob/s3',
    imports: [...foundation, ...contracts, 'src/s3', 'src/outbound/tls-files.ts'],
    types: ['src/config'],
  },
  { room: 'src/storage/blob/memory', imports: [...foundation, ...contracts], types: [] },
  { room: 'src/storage/metadata/kv', imports: [...foundation, ...contracts], types: [] },
  {
    room: 'src/storage/metadata/lmdb',
    imports: [...foundation, ...contracts, 'src/storage/metadata/kv'],
    types: ['src/config'],
  },
  {
    room: 'src/storage/metadata/memory',
    imports: [...foundation, ...contracts, 'src/storage/metadata/kv'],
    types: [],
  },
  {
    room: 'src/storage/metadata/postgres',
    imports: [
      ...[...foundation, ...contracts, 'src/storage/metadata/kv'],
      'src/outbound/tls-files.ts',
    ],
    types: ['src/config'],
  },
  {
    room: 'src/offload',
    imports: [...foundation, 'src/http', 'src/storage/error.ts'],
    types: ['src/config', 'src/s3', ...contracts, 'workers'],
  },
  {
    room: 'workers',
    imports: ['src/oci', 'src/s3', 'src/sealing'],
    types: ['src/storage/blob/contract.ts'],
  },
  { room: 'src/route', imports: ['src/oci'], types: [] },
  {
    room: 'src/authenticate',
    imports: [...foundation, 'src/http', 'src/outbound'],
    types: ['src/route', 'src/config'],
  },
  {
    room: 'src/outbound',
    imports: [...foundation, 'src/http/loopback.ts'],
    types: ['src/config'],
  },
  {
    room: 'src/redis',
    imports: [...foundation, 'src/outbound'],
    types: ['src/config', 'src/limit/contract.ts', ...contracts],
  },
  { room: 'src/tracing', imports: [...foundation, 'src/outbound'], types: ['src/config'] },
  { room: 'src/pattern', imports: [], types: [] },
  { room: 'src/systemd', imports: [], types: ['src/telemetry'] },
  { room: 'src/file-watch', imports: [], types: [] },
  {
    room: 'src/health',
    imports: [...foundation],
    types: ['src/config', 'src/offload', ...contracts],
  },
  {
    room: 'src/supervise',
    // Of the server: what the parent of several does itself, which is to hold places and secrets.
    imports: [
      ...foundation,
      'src/config',
      'src/server/admin.ts',
      'src/server/listen.ts',
      'src/server/tls/ticket-keys.ts',
      'src/server/transport/node/bind.ts',
    ],
    types: ['src/runtime'],
  },
  {
    room: 'src/audit',
    imports: [...foundation],
    types: ['src/route', 'src/authenticate', 'src/authorize', 'src/config', 'src/operation'],
  },
  {
    room: 'src/limit',
    imports: [...foundation, 'src/http'],
    types: ['src/route', 'src/authenticate', 'src/config'],
  },
  {
    room: 'src/authorize',
    imports: [
      ...foundation,
      'src/http',
      'src/outbound',
      'src/pattern',
      'src/config/hint.ts',
      'src/authenticate/challenge.ts',
    ],
    types: ['src/route', 'src/authenticate', 'src/config'],
  },
  {
    room: 'src/operation',
    // What tokens look like is told once, for those who make them and those who read them.
    imports: [
      ...foundation,
      'src/http',
      'src/pattern',
      ...contracts,
      'src/offload',
      'src/authenticate/token',
    ],
    types: ['src/route', 'src/authenticate', 'src/config'],
  },
  // Jobs that keep a store clean: they work on the stores beside requests, and never through them.
  {
    room: 'src/maintain',
    imports: [...foundation, ...contracts],
    types: ['src/http', 'src/offload', 'src/outbound'],
  },
  {
    room: 'src/server',
    imports: [
      ...foundation,
      'src/http',
      'src/route',
      'src/authenticate',
      'src/authorize',
      'src/operation',
      'src/limit',
      'src/file-watch',
    ],
    types: ['src/config', 'src/audit', ...contracts],
  },
  {
    room: 'src/runtime',
    imports: [
      ...foundation,
      'src/http',
      'src/config',
      'src/sealing',
      'src/storage',
      'src/offload',
      'src/route',
      'src/authenticate',
      'src/authorize',
      'src/operation',
      'src/server',
      'src/outbound',
      'src/limit',
      'src/audit',
      'src/redis',
      'src/tracing',
      // To tell what is wrong with those of the configuration, and where.
      'src/pattern',
      'src/health',
      'src/maintain',
    ],
    types: ['src/supervise'],
  },
  {
    room: 'src/doctor',
    // It asks what the server asks, in the same way.
    imports: [
      ...foundation,
      'src/http',
      'src/authenticate',
      'src/authorize',
      'src/outbound',
      'src/redis',
      'src/storage/blob/s3/ask.ts',
      'src/storage/metadata/postgres/ask.ts',
      'src/storage/metadata/postgres/settings.ts',
      'src/server/tls',
      'src/config/named-secrets.ts',
    ],
    types: ['src/config'],
  },
  {
    room: 'src/cli',
    imports: [
      'src/runtime',
      'src/supervise',
      'src/systemd',
      'src/file-watch',
      'src/config',
      'src/telemetry',
      'src/authenticate',
      'src/authorize',
      'src/doctor',
      'src/audit',
      'src/server/tls',
      // For the doctor, which asks whether the binary loads.
      'src/server/transport/uws/listen.ts',
      'workers/credentials.ts',
    ],
    types: ['src/route'],
  },
  { room: 'src/main.ts', imports: ['src/cli'], types: [] },
]

/** Packages that one place alone may import. */
export const packageOwners: Readonly<Record<string, string>> = {
  'uWebSockets.js': 'src/server/transport/uws',
  piscina: 'src/offload',
  '@node-rs/argon2': 'workers',
  bcryptjs: 'workers',
  lmdb: 'src/storage/metadata/lmdb',
  pg: 'src/storage/metadata/postgres',
  '@aws-sdk/client-s3': 'src/s3',
  'smol-toml': 'src/config',
  '@marcbachmann/cel-js': 'src/authorize/policy',
  re2js: 'src/pattern',
  ldapts: 'src/authenticate/ldap',
  ioredis: 'src/redis',
  pino: 'src/telemetry',
  'prom-client': 'src/telemetry',
}

/** True when `place`, in the notation of `Layer.room`, covers the file. */
export function covers(place: string, file: string): boolean {
  if (!place.endsWith('/*')) return file === place || file.startsWith(`${place}/`)
  const folder = place.slice(0, -1)
  return file.startsWith(folder) && !file.slice(folder.length).includes('/')
}

/** The layer of a file, or undefined where the table has none. */
export function layerOf(file: string): Layer | undefined {
  return layers.findLast(({ room }) => covers(room, file))
}

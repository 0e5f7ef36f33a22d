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
  { room: 'src/config', imports: ['src/oci'], types: [] },
  { room: 'src/storage', imports: [...foundation, ...contracts], types: ['src/config'] },
  // One backend each: siblings never import one another, but for the room that two of them share.
  { room: 'src/storage/blob/fs', imports: [...foundation, ...contracts], types: ['src/config'] },
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
    room: 'src/offload',
    imports: [...foundation, 'src/http', 'src/storage/error.ts'],
    types: ['src/config', ...contracts, 'workers'],
  },
  { room: 'workers', imports: ['src/oci'], types: ['src/storage/blob/contract.ts'] },
  { room: 'src/route', imports: ['src/oci'], types: [] },
  {
    room: 'src/authenticate',
    imports: [...foundation, 'src/http'],
    types: ['src/route', 'src/config'],
  },
  {
    room: 'src/authorize',
    imports: ['src/oci', 'src/http', 'src/config/hint.ts', 'src/authenticate/challenge.ts'],
    types: ['src/route', 'src/authenticate', 'src/config'],
  },
  {
    room: 'src/operation',
    // What tokens look like is told once, for those who make them and those who read them.
    imports: [...foundation, 'src/http', ...contracts, 'src/offload', 'src/authenticate/token'],
    types: ['src/route', 'src/authenticate', 'src/config'],
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
    ],
    types: ['src/config', ...contracts],
  },
  {
    room: 'src/runtime.ts',
    imports: [
      ...foundation,
      'src/http',
      'src/config',
      'src/storage',
      'src/offload',
      'src/route',
      'src/authenticate',
      'src/authorize',
      'src/operation',
      'src/server',
    ],
    types: [],
  },
  {
    room: 'src/doctor',
    imports: ['src/oci', 'src/authenticate', 'src/server/tls'],
    types: ['src/config'],
  },
  {
    room: 'src/cli',
    imports: [
      'src/runtime.ts',
      'src/config',
      'src/telemetry',
      'src/authenticate',
      'src/authorize',
      'src/doctor',
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
  'smol-toml': 'src/config',
  '@marcbachmann/cel-js': 'src/authorize/policy',
  re2js: 'src/authorize/policy',
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

// Makes the Config of the checked tables: what one key means for another, and derived defaults.
import { join, relative } from 'node:path'
import type { ConfigProblem } from './problem.ts'
import type {
  AccessPolicy,
  BlobStoreConfig,
  Config,
  MetadataStoreConfig,
  Schema,
  SchemaValues,
} from './schema.ts'
import type { Place, TableNode } from './source.ts'
import { readTables, repositoryPolicies, type TableValues } from './tables.ts'
import { formatSize } from './units.ts'

// The address of a unix socket is 108 bytes with its final NUL (man 7 unix).
const socketPathBytesMax = 107

/**
 * The configuration that a merged tree stands for, or undefined when it has problems.
 * Errors: adds to `problems`.
 */
export function composeConfig(root: TableNode, problems: ConfigProblem[]): Config | undefined {
  const tables = readTables(root, problems)
  const compose = new Composition(tables, root.place, problems)
  const blobStore = compose.blobStore()
  const metadataStore = compose.metadataStore(blobStore)
  const config: Partial<Config> = {
    server: compose.values('server'),
    global: { ...compose.values('global'), accessPolicy: compose.accessPolicy() },
    ...(blobStore && { blobStore }),
    ...(metadataStore && { metadataStore }),
    storage: compose.values('storage'),
    ingest: compose.ingest(),
    gc: compose.values('gc'),
    cache: compose.values('cache'),
    log: compose.values('log'),
    admin: compose.admin(blobStore),
  }
  compose.refuseRepositoryPolicies()
  return isWhole(config) && problems.length === 0 ? deepFreeze(config) : undefined
}

class Composition {
  readonly #tables: ReadonlyMap<string, TableValues>
  readonly #top: Place
  readonly #problems: ConfigProblem[]

  constructor(tables: ReadonlyMap<string, TableValues>, top: Place, problems: ConfigProblem[]) {
    this.#tables = tables
    this.#top = top
    this.#problems = problems
  }

  values<Path extends keyof Schema>(path: Path): SchemaValues<Path> {
    // readTables has checked the values against the very rows that this type is derived from.
    return this.#tables.get(path)?.values as SchemaValues<Path>
  }

  accessPolicy(): AccessPolicy {
    const { default: decision, defaultAllow, rules } = this.values('global.access_policy')
    const place = this.#tables.get('global.access_policy')?.place
    const fromBoolean = defaultAllow === undefined ? undefined : defaultAllow ? 'allow' : 'deny'
    if (decision !== undefined && fromBoolean !== undefined && decision !== fromBoolean) {
      const message = `expected what default = "${decision}" says; found ${defaultAllow}`
      this.#refuse('global.access_policy', 'default_allow', message)
    }
    if (rules.length > 0) this.#refuse('global.access_policy', 'rules', rulesMessage)
    return { default: decision ?? fromBoolean ?? 'deny', configured: place !== undefined }
  }

  refuseRepositoryPolicies(): void {
    for (const [key, place] of repositoryPolicies(this.#tables)) {
      this.#problems.push({ ...place, key, message: repositoryPolicyMessage })
    }
  }

  blobStore(): BlobStoreConfig | undefined {
    const kind = this.#oneOf('blob_store', ['fs', 'memory'])
    if (kind === 'fs') return { kind, ...this.values('blob_store.fs') }
    if (kind === 'memory') return { kind }
    if (this.#given('blob_store', ['fs', 'memory']).length === 0) {
      const message = 'is missing: expected one of [blob_store.fs], [blob_store.memory]'
      this.#problems.push({ ...this.#top, key: 'blob_store', message })
    }
    return undefined
  }

  metadataStore(blobStore: BlobStoreConfig | undefined): MetadataStoreConfig | undefined {
    if (this.#given('metadata_store', ['lmdb', 'memory']).length > 1) {
      this.#oneOf('metadata_store', ['lmdb', 'memory'])
      return undefined
    }
    if (this.#has('metadata_store.memory')) return { kind: 'memory' }
    const { path } = this.values('metadata_store.lmdb')
    if (path !== undefined) return { kind: 'lmdb', path }
    const rootDir = rootDirOf(blobStore)
    if (rootDir !== undefined) return { kind: 'lmdb', path: join(rootDir, '_keelson', 'metadata') }
    if (blobStore?.kind === 'memory') {
      const message =
        'is missing: with [blob_store.memory] expected a path or [metadata_store.memory]'
      const place = this.#tables.get('blob_store.memory')?.place ?? this.#top
      this.#problems.push({ ...place, key: 'metadata_store.lmdb.path', message })
    }
    return undefined
  }

  ingest(): Config['ingest'] {
    const ingest = this.values('ingest')
    const perUpload = ingest.slabSizeBytes * ingest.slabsPerUpload
    if (perUpload > ingest.memoryBudgetBytes) {
      const message = `expected at least slab_size × slabs_per_upload, ${formatSize(perUpload)}; found ${formatSize(ingest.memoryBudgetBytes)}`
      this.#refuse('ingest', 'memory_budget', message)
    }
    return ingest
  }

  admin(blobStore: BlobStoreConfig | undefined): Config['admin'] {
    const rootDir = rootDirOf(blobStore)
    const absolute =
      this.values('admin').socket ?? (rootDir && join(rootDir, '_keelson', 'admin.sock'))
    const socket = absolute && shorterPath(absolute)
    if (socket !== undefined && Buffer.byteLength(socket) > socketPathBytesMax) {
      const message = `expected a path of at most ${socketPathBytesMax} bytes; found ${Buffer.byteLength(socket)}: ${socket}`
      this.#refuse('admin', 'socket', message)
    }
    return { socket }
  }

  #oneOf<Kind extends string>(parent: string, kinds: readonly Kind[]): Kind | undefined {
    const given = this.#given(parent, kinds)
    for (const extra of given.slice(1)) {
      const message = `expected one store; [${parent}.${given[0]}] is given too`
      const place = this.#tables.get(`${parent}.${extra}`)?.place ?? this.#top
      this.#problems.push({ ...place, key: `${parent}.${extra}`, message })
    }
    return given.length === 1 ? given[0] : undefined
  }

  #given<Kind extends string>(parent: string, kinds: readonly Kind[]): readonly Kind[] {
    return kinds.filter((kind) => this.#has(`${parent}.${kind}`))
  }

  #has(table: string): boolean {
    return this.#tables.get(table)?.place !== undefined
  }

  #refuse(table: keyof Schema, key: string, message: string): void {
    const { place, places } = this.#tables.get(table) ?? {}
    const where = places?.get(key) ?? place ?? this.#top
    this.#problems.push({ ...where, key: `${table}.${key}`, message })
  }
}

const rulesMessage =
  'this version does not evaluate CEL rules, and ignoring one could let somebody in: expected an empty array'

const repositoryPolicyMessage =
  'this version does not evaluate repository policies, and ignoring one could let somebody in: remove it'

function rootDirOf(store: BlobStoreConfig | undefined): string | undefined {
  return store?.kind === 'fs' ? store.rootDir : undefined
}

// A socket in a deep folder may be too far from the root and yet near to where the process runs.
function shorterPath(absolute: string): string {
  const near = relative(process.cwd(), absolute)
  const fits = Buffer.byteLength(absolute) <= socketPathBytesMax
  return fits || near.length >= absolute.length ? absolute : near
}

function isWhole(config: Partial<Config>): config is Config {
  return config.blobStore !== undefined && config.metadataStore !== undefined
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner)
    Object.freeze(value)
  }
  return value
}

// The one table of configuration keys. Types, defaults, bounds, errors, the example file and
// docs/configuration.md all come from it.
import type { Section, SectionValues } from './entry.ts'
import { authSchema } from './schema-auth.ts'
import { serverSchema } from './schema-server.ts'
import type { Secret } from './secret.ts'
import type { Place } from './source.ts'

const registrySchema = {
  global: {
    doc: 'Limits and rules that hold for every repository.',
    keys: {
      max_manifest_size: {
        kind: 'size',
        field: 'maxManifestSizeBytes',
        default: '4MiB',
        min: '64KiB',
        max: '64MiB',
        reload: 'live',
        doc: 'Largest manifest accepted; a larger one is answered 413.',
      },
      max_blob_size: {
        kind: 'size',
        field: 'maxBlobSizeBytes',
        default: '100GiB',
        min: '1KiB',
        max: '100TiB',
        reload: 'live',
        doc: 'Largest blob accepted; a larger one is answered 413.',
      },
      max_descriptors: {
        kind: 'integer',
        field: 'descriptorsMax',
        default: 10_000,
        min: 1,
        max: 1_000_000,
        reload: 'live',
        doc: 'Most descriptors (config, layers, manifests, blobs) that one manifest may list.',
      },
      allow_missing_manifests: {
        kind: 'boolean',
        field: 'allowMissingManifests',
        default: true,
        reload: 'live',
        doc: 'Accept an index that names manifests which the repository does not hold (a sparse index).',
      },
      allow_missing_blobs: {
        kind: 'boolean',
        field: 'allowMissingBlobs',
        default: false,
        reload: 'live',
        doc: 'Accept a manifest that names blobs which the repository does not hold.',
      },
    },
  },
  'global.access_policy': {
    doc: 'Who may do what. Without this table every request is denied.',
    keys: {
      default: {
        kind: 'choice',
        field: 'default',
        of: ['deny', 'allow'],
        required: false,
        example: 'deny',
        otherwise: 'deny',
        reload: 'live',
        doc: 'The decision where no rule holds; one that holds decides the opposite. `allow` without rules opens the registry, pushes and deletes included, to all who can reach it.',
      },
      default_allow: {
        kind: 'boolean',
        field: 'defaultAllow',
        required: false,
        example: false,
        otherwise: 'false',
        reload: 'live',
        doc: 'The same as a boolean: `true` is `default = "allow"`; it must not contradict `default`.',
      },
      rules: {
        kind: 'expressions',
        field: 'rules',
        default: [],
        reload: 'live',
        doc: 'CEL expressions about `identity` and `request`; they allow where the default denies, and deny where it allows.',
      },
    },
  },
  'blob_store.fs': {
    doc: 'Blobs in a directory of this host. Exactly one blob store must be given.',
    keys: {
      root_dir: {
        kind: 'path',
        field: 'rootDir',
        required: true,
        example: '/var/lib/keelson',
        reload: 'restart',
        doc: 'Directory of the store; it is created when it does not exist.',
      },
    },
  },
  'blob_store.memory': {
    doc: 'Blobs in memory, lost at exit. For tests only.',
    alternative: true,
    keys: {},
  },
  'metadata_store.lmdb': {
    doc: 'Manifests, tags, references and upload sessions in an LMDB environment. The default.',
    keys: {
      path: {
        kind: 'path',
        field: 'path',
        required: false,
        example: '/var/lib/keelson/_keelson/metadata',
        otherwise: '`_keelson/metadata` in `blob_store.fs.root_dir`',
        reload: 'restart',
        doc: 'Directory of the environment, on a local file system.',
      },
    },
  },
  'metadata_store.memory': {
    doc: 'Metadata in memory, lost at exit. For tests only.',
    alternative: true,
    keys: {},
  },
  storage: {
    doc: 'What holds for both stores.',
    keys: {
      durability: {
        kind: 'choice',
        field: 'durability',
        of: ['fsync', 'none'],
        default: 'fsync',
        reload: 'restart',
        doc: '`fsync`: a 201 means that the content is on disk. `none`: a power loss may take content that was acknowledged.',
      },
      sharing: {
        kind: 'choice',
        field: 'sharing',
        of: ['exclusive', 'shared'],
        default: 'exclusive',
        reload: 'restart',
        doc: '`exclusive`: one server process owns the store and may cache replies. `shared`: several instances on this host serve the same store.',
      },
    },
  },
  ingest: {
    doc: 'How uploads are received, hashed and written.',
    keys: {
      workers: {
        kind: 'integer-or-auto',
        field: 'workers',
        default: 'auto',
        min: 1,
        max: 64,
        reload: 'restart',
        doc: 'Threads that hash and write uploads; `auto` is one fewer than the cores, and at least one.',
      },
      sessions_max: {
        kind: 'integer',
        field: 'sessionsMax',
        default: 1024,
        min: 1,
        max: 65_536,
        reload: 'live',
        doc: 'Most uploads in progress; beyond it a new upload is answered 429 with `Retry-After`.',
      },
      memory_budget: {
        kind: 'size',
        field: 'memoryBudgetBytes',
        default: '64MiB',
        min: '4MiB',
        max: '16GiB',
        reload: 'restart',
        doc: 'Memory for upload buffers of the whole process; when it is used up, clients are made to wait.',
      },
      slab_size: {
        kind: 'size',
        field: 'slabSizeBytes',
        default: '1MiB',
        min: '64KiB',
        max: '4MiB',
        reload: 'restart',
        doc: 'Size of one upload buffer.',
      },
      slabs_per_upload: {
        kind: 'integer',
        field: 'slabsPerUpload',
        default: 4,
        min: 1,
        max: 64,
        reload: 'restart',
        doc: 'Most buffers that one upload may hold at a time.',
      },
      session_expiry: {
        kind: 'duration',
        field: 'sessionExpiryMs',
        default: '24h',
        min: '1m',
        max: '30d',
        reload: 'live',
        doc: 'An upload session that was idle for this long is removed.',
      },
    },
  },
  gc: {
    doc: 'Leases of content that nothing refers to.',
    keys: {
      grace: {
        kind: 'duration',
        field: 'graceMs',
        default: '24h',
        min: '1m',
        max: '365d',
        reload: 'live',
        doc: 'Lease of a blob without references, so that a push under way can still name it; this version removes no blob by itself.',
      },
    },
  },
  cache: {
    doc: 'Memory that is spent to answer faster.',
    keys: {
      reply_bytes: {
        kind: 'size',
        field: 'replyBytes',
        default: '64MiB',
        min: '0B',
        max: '64GiB',
        reload: 'restart',
        doc: 'Memory for finished replies to manifest requests; 0 turns the cache off.',
      },
    },
  },
  log: {
    doc: 'What is logged, on standard output.',
    keys: {
      level: {
        kind: 'choice',
        field: 'level',
        of: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
        default: 'info',
        reload: 'live',
        doc: 'Lowest severity that is logged.',
      },
      format: {
        kind: 'choice',
        field: 'format',
        of: ['json', 'human'],
        default: 'json',
        reload: 'restart',
        doc: 'One JSON object a line, or lines for people.',
      },
    },
  },
  admin: {
    doc: 'The administration interface, apart from the public listener.',
    keys: {
      socket: {
        kind: 'path',
        field: 'socket',
        required: false,
        example: '/var/lib/keelson/_keelson/admin.sock',
        otherwise: '`_keelson/admin.sock` in `blob_store.fs.root_dir`; none with a memory store',
        reload: 'restart',
        doc: 'Unix socket of the interface, made with mode 0600; at most 107 bytes long. Servers that share a store need one each.',
      },
    },
  },
} as const

export const schema: typeof serverSchema & typeof authSchema & typeof registrySchema = {
  ...serverSchema,
  ...authSchema,
  ...registrySchema,
}

// Not `satisfies`: with it the arrays above would have to state their types.
type Checked<S extends { readonly [path: string]: Section }> = S
export type Schema = Checked<typeof schema>
export type SchemaValues<Path extends keyof Schema> = SectionValues<Schema[Path]>

export type ListenerConfig =
  | {
      readonly kind: 'tcp'
      readonly address: string
      readonly port: number
      readonly tls: boolean
      readonly proxyProtocol: boolean
    }
  | {
      readonly kind: 'unix'
      readonly path: string
      readonly mode: number
      readonly tls: boolean
      readonly proxyProtocol: boolean
    }

/** `clientAuth` is 'required' only where there is a `clientCaBundle`. */
export interface TlsConfig {
  readonly serverCertificateBundle: string
  readonly serverPrivateKey: string
  readonly privateKeyPassphrase: Secret | undefined
  readonly clientCaBundle: string | undefined
  readonly clientAuth: 'optional' | 'required'
  readonly clientCrls: readonly string[]
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** TLS 1.2 suites in the notation of OpenSSL. */
  readonly ciphers: string | undefined
  readonly sessionTimeoutMs: number
  readonly sessionTicketSecret: string | undefined
  readonly ocspResponse: string | undefined
}

/** One CEL expression, uncompiled, and where it stands. */
export interface Rule {
  readonly text: string
  readonly place: Place
}

/** One `access_policy` table. Its rules are compiled in src/authorize/policy. */
export interface AccessPolicy {
  readonly default: 'deny' | 'allow'
  readonly rules: readonly Rule[]
}

/** What holds below one name, by whole components: `prod` stands for `prod/x`, not for `production`. */
export interface RepositoryConfig {
  readonly prefix: string
  readonly accessPolicy: AccessPolicy | undefined
}

/** One `[auth.identity.<id>]`. */
export interface IdentityConfig {
  readonly id: string
  readonly username: string
  /** A hash, though kept like a password: it can be guessed at. */
  readonly password: Secret
  readonly groups: readonly string[]
  readonly passwordExpires: number | undefined
  /** Of the password's key. */
  readonly place: Place
}

/** One `[auth.oidc.<name>]`. */
export interface OidcProviderConfig extends SchemaValues<'auth.oidc'> {
  readonly name: string
}

/** `[auth.token_service]`; `realm` is undefined where only the request tells the host. */
export interface TokenServiceConfig extends Omit<SchemaValues<'auth.token_service'>, 'service'> {
  readonly service: string
}

export interface AuthConfig {
  /** Undefined: none. */
  readonly tokenService: TokenServiceConfig | undefined
  readonly identities: readonly IdentityConfig[]
  readonly oidc: readonly OidcProviderConfig[]
  readonly htpasswd: string | undefined
}

export type BlobStoreConfig =
  | ({ readonly kind: 'fs' } & SchemaValues<'blob_store.fs'>)
  | { readonly kind: 'memory' }

export type MetadataStoreConfig =
  | { readonly kind: 'lmdb'; readonly path: string }
  | { readonly kind: 'memory' }

/**
 * The whole configuration: deeply frozen plain data, every default filled in, every path absolute.
 * Units: fields that end in Ms are milliseconds, in Bytes bytes.
 */
export interface Config {
  readonly server: SchemaValues<'server'>
  /** In the order of the file, never empty. */
  readonly listeners: readonly ListenerConfig[]
  readonly tls: TlsConfig | undefined
  readonly limits: SchemaValues<'server.limits'>
  readonly headers: SchemaValues<'server.headers'>
  /** `accessPolicy` undefined: no table, so that every request is denied. */
  readonly auth: AuthConfig
  readonly global: SchemaValues<'global'> & { readonly accessPolicy: AccessPolicy | undefined }
  readonly repositories: readonly RepositoryConfig[]
  readonly blobStore: BlobStoreConfig
  readonly metadataStore: MetadataStoreConfig
  readonly storage: SchemaValues<'storage'>
  readonly ingest: SchemaValues<'ingest'>
  readonly gc: SchemaValues<'gc'>
  readonly cache: SchemaValues<'cache'>
  readonly log: SchemaValues<'log'>
  readonly admin: SchemaValues<'admin'>
}

// The one table of configuration keys. Types, defaults, bounds, errors, the example file and
// docs/configuration.md all come from it.
import type { Section, SectionValues } from './entry.ts'
import { authSchema } from './schema-auth.ts'
import { encryptionSchema } from './schema-encryption.ts'
import { guardsSchema } from './schema-guards.ts'
import { loginsSchema } from './schema-logins.ts'
import { maintenanceSchema } from './schema-maintenance.ts'
import { operationsSchema } from './schema-operations.ts'
import { postgresSchema } from './schema-postgres.ts'
import { redisSchema } from './schema-redis.ts'
import { registrySchema } from './schema-registry.ts'
import { s3Schema } from './schema-s3.ts'
import { serverSchema } from './schema-server.ts'
import { usageSchema } from './schema-usage.ts'
import type { Secret } from './secret.ts'
import type { Place } from './source.ts'

export const schema: typeof serverSchema &
  typeof authSchema &
  typeof loginsSchema &
  typeof guardsSchema &
  typeof registrySchema &
  typeof maintenanceSchema &
  typeof operationsSchema &
  typeof postgresSchema &
  typeof encryptionSchema &
  typeof s3Schema &
  typeof redisSchema &
  typeof usageSchema = {
  ...serverSchema,
  ...authSchema,
  ...loginsSchema,
  ...guardsSchema,
  ...registrySchema,
  ...maintenanceSchema,
  ...operationsSchema,
  ...postgresSchema,
  ...encryptionSchema,
  ...s3Schema,
  ...redisSchema,
  ...usageSchema,
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

/** One `retention_policy` table. Its rules are compiled there, too. */
export interface RetentionPolicy {
  readonly rules: readonly Rule[]
}

/** What holds below one name, by whole components: `prod` stands for `prod/x`, not for `production`. */
export interface RepositoryConfig extends SchemaValues<'repository'> {
  readonly prefix: string
  readonly accessPolicy: AccessPolicy | undefined
  readonly retentionPolicy: RetentionPolicy | undefined
  readonly quota: QuotaConfig | undefined
  readonly validation: ValidationConfig | undefined
}

/** One `quota` table; undefined parts have no bound. */
export type QuotaConfig = SchemaValues<'global.quota'>

/** One `validation` table. */
export type ValidationConfig = SchemaValues<'global.validation'>

/** One `[limits.rate.<name>]`. */
export interface RateLimitConfig extends SchemaValues<'limits.rate'> {
  readonly name: string
}

/** How much one caller may do at a time: `[limits]` and the tables below it. */
export interface UsageConfig extends SchemaValues<'limits'> {
  readonly rates: readonly RateLimitConfig[]
}

/** One `[auth.ldap.<name>]`. */
export interface LdapConfig extends SchemaValues<'auth.ldap'> {
  readonly name: string
}

/** One `[auth.webhook.<name>]`. */
export interface WebhookConfig extends SchemaValues<'auth.webhook'> {
  readonly name: string
}

/** One `[auth.opa.<name>]`. */
export interface OpaConfig extends SchemaValues<'auth.opa'> {
  readonly name: string
}

/** One `[peer.<name>]`, with a user and a password or neither. */
export interface PeerConfig extends SchemaValues<'peer'> {
  readonly name: string
}

/** `[auth.gateway]`, with a shared secret, common names or both. */
export type GatewayConfig = SchemaValues<'auth.gateway'>

/** `[storage]`, with what is shared decided. */
export interface StorageConfig extends SchemaValues<'storage'> {
  readonly sharing: 'exclusive' | 'shared'
}

/** `[tracing]`. */
export type TracingConfig = SchemaValues<'tracing'>

/** `[redis]`. */
export type RedisConfig = SchemaValues<'redis'>

/** `[server.forward_auth]`. */
export type ForwardAuthConfig = SchemaValues<'server.forward_auth'>

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
  readonly ldap: readonly LdapConfig[]
  readonly webhooks: readonly WebhookConfig[]
  readonly opas: readonly OpaConfig[]
  readonly gateway: GatewayConfig | undefined
}

export type BlobStoreConfig =
  | ({
      readonly kind: 'fs'
      /** Absent: nothing is encrypted. */
      readonly encryption?: EncryptionConfig
    } & SchemaValues<'blob_store.fs'>)
  | ({ readonly kind: 's3' } & S3Config)
  | { readonly kind: 'memory' }

export type EncryptionConfig = SchemaValues<'blob_store.fs.encryption'>

export type S3Config = SchemaValues<'blob_store.s3'>

/** `[metadata_store.postgres]`, with how it is reached decided. */
export interface PostgresConfig extends SchemaValues<'metadata_store.postgres'> {
  readonly sslmode: 'verify-full' | 'disable'
}

export type MetadataStoreConfig =
  | { readonly kind: 'lmdb'; readonly path: string }
  | ({ readonly kind: 'postgres' } & PostgresConfig)
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
  readonly global: SchemaValues<'global'> & {
    readonly accessPolicy: AccessPolicy | undefined
    readonly retentionPolicy: RetentionPolicy | undefined
    readonly quota: QuotaConfig | undefined
    readonly validation: ValidationConfig | undefined
  }
  readonly usage: UsageConfig
  readonly audit: SchemaValues<'audit'>
  readonly forwardAuth: ForwardAuthConfig | undefined
  /** Undefined: this host is alone. */
  readonly redis: RedisConfig | undefined
  readonly repositories: readonly RepositoryConfig[]
  readonly blobStore: BlobStoreConfig
  readonly metadataStore: MetadataStoreConfig
  readonly storage: StorageConfig
  readonly ingest: SchemaValues<'ingest'>
  readonly gc: SchemaValues<'gc'>
  readonly retention: SchemaValues<'retention'>
  readonly scrub: SchemaValues<'scrub'>
  readonly backup: SchemaValues<'backup'>
  readonly peers: readonly PeerConfig[]
  readonly cache: SchemaValues<'cache'>
  readonly log: SchemaValues<'log'>
  readonly health: SchemaValues<'health'>
  /** Undefined: nothing is traced. */
  readonly tracing: TracingConfig | undefined
  readonly admin: SchemaValues<'admin'>
}

// A Config as the tables of TOML that stand for it, defaults included: what is printed and compared.
import type { Section } from './entry.ts'
import {
  type AccessPolicy,
  type Config,
  type ListenerConfig,
  type RepositoryConfig,
  type RetentionPolicy,
  type Schema,
  schema,
} from './schema.ts'
import { dottedName } from './tables.ts'

type Values = Readonly<Record<string, unknown>>

/** One table that is in use. */
export interface ConfigTable {
  /** Dotted, as TOML writes it; the tables of a list have the same one. */
  readonly path: string
  readonly section: Section
  /** By field; what is undefined is not written. */
  readonly values: Values
  /** The path without the name that the user chose; undefined where there is none. */
  readonly above?: string
}

// Where each table of the schema is in the Config: none for what is not in use, several for a list.
const places: { readonly [Path in keyof Schema]: (config: Config) => readonly Values[] } = {
  server: (config) => [
    // With a list of listeners these two may not be written.
    isPlainListener(config)
      ? config.server
      : { ...config.server, bindAddress: undefined, port: undefined },
  ],
  'server.listener': (config) => (isPlainListener(config) ? [] : config.listeners.map(listenerRow)),
  'server.tls': ({ tls }) =>
    tls ? [{ ...tls, minVersion: tls.minVersion === 'TLSv1.3' ? '1.3' : '1.2' }] : [],
  'server.limits': (config) => [config.limits],
  'server.headers': (config) => [config.headers],
  auth: ({ auth }) => (auth.htpasswd === undefined ? [] : [{ htpasswd: auth.htpasswd }]),
  'auth.token_service': ({ auth }) => (auth.tokenService ? [{ ...auth.tokenService }] : []),
  // Below, under the names that the user chose.
  'auth.identity': () => [],
  'auth.oidc': () => [],
  'auth.ldap': () => [],
  'auth.webhook': () => [],
  'auth.opa': () => [],
  'limits.rate': () => [],
  repository: () => [],
  'auth.gateway': ({ auth }) => (auth.gateway ? [auth.gateway] : []),
  'server.forward_auth': ({ forwardAuth }) => (forwardAuth ? [forwardAuth] : []),
  audit: (config) => [config.audit],
  redis: ({ redis }) => (redis ? [redis] : []),
  limits: ({ usage }) => [{ ...usage }],
  'global.quota': ({ global }) => (global.quota ? [global.quota] : []),
  'global.validation': ({ global }) => (global.validation ? [global.validation] : []),
  global: (config) => [config.global],
  'global.access_policy': ({ global }) => policyRows(global.accessPolicy),
  'global.retention_policy': ({ global }) => retentionRows(global.retentionPolicy),
  'blob_store.fs': ({ blobStore }) => (blobStore.kind === 'fs' ? [{ ...blobStore }] : []),
  'blob_store.fs.encryption': ({ blobStore }) =>
    blobStore.kind === 'fs' && blobStore.encryption ? [{ ...blobStore.encryption }] : [],
  'blob_store.s3': ({ blobStore }) => (blobStore.kind === 's3' ? [{ ...blobStore }] : []),
  'blob_store.memory': ({ blobStore }) => (blobStore.kind === 'memory' ? [{}] : []),
  'metadata_store.lmdb': ({ metadataStore }) =>
    metadataStore.kind === 'lmdb' ? [metadataStore] : [],
  'metadata_store.postgres': ({ metadataStore }) =>
    metadataStore.kind === 'postgres' ? [{ ...metadataStore }] : [],
  'metadata_store.memory': ({ metadataStore }) => (metadataStore.kind === 'memory' ? [{}] : []),
  storage: (config) => [{ ...config.storage }],
  ingest: (config) => [config.ingest],
  gc: (config) => [config.gc],
  retention: (config) => [config.retention],
  scrub: (config) => [config.scrub],
  backup: (config) => [config.backup],
  peer: () => [],
  cache: (config) => [config.cache],
  log: (config) => [config.log],
  health: (config) => [config.health],
  tracing: ({ tracing }) => (tracing ? [tracing] : []),
  admin: (config) => [config.admin],
}

/** Every table that is in use, in the order of the schema; then those with names of the user's. */
export function configTables(config: Config): readonly ConfigTable[] {
  const sections: readonly (readonly [path: string, section: Section])[] = Object.entries(schema)
  return [
    ...sections.flatMap(([path, section]) =>
      places[path as keyof Schema](config).map((values) => ({ path, section, values })),
    ),
    ...namedTables(config),
    ...config.repositories.flatMap(repositoryTables),
  ]
}

type Named = Extract<
  keyof Schema,
  'auth.identity' | 'auth.oidc' | 'auth.ldap' | 'auth.webhook' | 'auth.opa' | 'limits.rate' | 'peer'
>

// The tables whose last name the user chose.
function namedTables({ auth, peers, usage }: Config): readonly ConfigTable[] {
  const all: readonly (readonly [table: Named, name: string, values: object])[] = [
    ...auth.identities.map((each) => ['auth.identity', each.id, each] as const),
    ...auth.oidc.map((each) => ['auth.oidc', each.name, each] as const),
    ...auth.ldap.map((each) => ['auth.ldap', each.name, each] as const),
    ...auth.webhooks.map((each) => ['auth.webhook', each.name, each] as const),
    ...auth.opas.map((each) => ['auth.opa', each.name, each] as const),
    ...usage.rates.map((each) => ['limits.rate', each.name, each] as const),
    ...peers.map((each) => ['peer', each.name, each] as const),
  ]
  return all.map(([table, name, values]) => ({
    above: table,
    path: dottedName([...table.split('.'), name]),
    section: schema[table],
    values: { ...values },
  }))
}

function repositoryTables(repository: RepositoryConfig): readonly ConfigTable[] {
  const { prefix, accessPolicy, retentionPolicy, quota, validation } = repository
  const path = dottedName(['repository', prefix])
  const below = [
    ...policyRows(accessPolicy).map((rows) => ['access_policy', rows] as const),
    ...retentionRows(retentionPolicy).map((rows) => ['retention_policy', rows] as const),
    ...(quota ? [['quota', quota] as const] : []),
    ...(validation ? [['validation', validation] as const] : []),
  ]
  return [
    { path, above: 'repository', section: schema.repository, values: { ...repository } },
    ...below.map(([name, values]) => ({
      path: `${path}.${name}`,
      section: schema[`global.${name}`],
      values,
    })),
  ]
}

// Whether bind_address and port alone make these listeners.
function isPlainListener({ listeners, server, tls }: Config): boolean {
  const [only, other] = listeners
  return (
    other === undefined &&
    only?.kind === 'tcp' &&
    only.address === server.bindAddress &&
    only.port === server.port &&
    only.tls === (tls !== undefined) &&
    !only.proxyProtocol
  )
}

function listenerRow(listener: ListenerConfig): Values {
  const { tls, proxyProtocol } = listener
  return listener.kind === 'tcp'
    ? { bindAddress: listener.address, port: listener.port, tls, proxyProtocol }
    : { socket: listener.path, socketMode: listener.mode, tls, proxyProtocol }
}

function policyRows(policy: AccessPolicy | undefined): readonly Values[] {
  return policy ? [{ default: policy.default, rules: policy.rules.map(({ text }) => text) }] : []
}

function retentionRows(policy: RetentionPolicy | undefined): readonly Values[] {
  return policy ? [{ rules: policy.rules.map(({ text }) => text) }] : []
}

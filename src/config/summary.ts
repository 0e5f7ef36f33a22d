// Writes a Config as TOML, defaults included, so that people can see what their files amount to.
import type { Entry, Section } from './entry.ts'
import {
  type AccessPolicy,
  type Config,
  type ListenerConfig,
  type Schema,
  schema,
} from './schema.ts'
import { Secret } from './secret.ts'
import { dottedName } from './tables.ts'
import { formatDuration, formatSize } from './units.ts'

type Values = Readonly<Record<string, unknown>>

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
  global: (config) => [config.global],
  'global.access_policy': ({ global }) => policyRows(global.accessPolicy),
  'blob_store.fs': ({ blobStore }) => (blobStore.kind === 'fs' ? [blobStore] : []),
  'blob_store.memory': ({ blobStore }) => (blobStore.kind === 'memory' ? [{}] : []),
  'metadata_store.lmdb': ({ metadataStore }) =>
    metadataStore.kind === 'lmdb' ? [metadataStore] : [],
  'metadata_store.memory': ({ metadataStore }) => (metadataStore.kind === 'memory' ? [{}] : []),
  storage: (config) => [config.storage],
  ingest: (config) => [config.ingest],
  gc: (config) => [config.gc],
  cache: (config) => [config.cache],
  log: (config) => [config.log],
  admin: (config) => [config.admin],
}

/** The configuration as TOML that loads to the same configuration, but for literal secrets: `***`. */
export function formatConfig(config: Config): string {
  const sections: readonly (readonly [path: string, section: Section])[] = Object.entries(schema)
  const tables = sections.flatMap(([path, section]) =>
    places[path as keyof Schema](config).map((values) => formatTable(path, section, values)),
  )
  const repositories = config.repositories.flatMap(({ prefix, accessPolicy }) => {
    const path = dottedName(['repository', prefix])
    const rows = policyRows(accessPolicy)
    if (rows.length === 0) return [`[${path}]\n`]
    const section = schema['global.access_policy']
    return rows.map((values) => formatTable(`${path}.access_policy`, section, values))
  })
  const identities = config.auth.identities.map((identity) =>
    formatTable(dottedName(['auth', 'identity', identity.id]), schema['auth.identity'], {
      ...identity,
    }),
  )
  const providers = config.auth.oidc.map((provider) =>
    formatTable(dottedName(['auth', 'oidc', provider.name]), schema['auth.oidc'], { ...provider }),
  )
  return [...tables, ...identities, ...providers, ...repositories].join('\n')
}

function formatTable(path: string, section: Section, values: Values): string {
  const lines = Object.entries(section.keys).flatMap(([key, entry]) => {
    const value = values[entry.field]
    return value === undefined ? [] : [`${key} = ${formatValue(entry.kind, value)}\n`]
  })
  const header = section.list ? `[[${path}]]` : `[${path}]`
  return `${header}\n${lines.join('')}`
}

/** A value in base units as TOML writes it. */
export function formatValue(kind: Entry['kind'], value: unknown): string {
  if (kind === 'duration' && typeof value === 'number') return `"${formatDuration(value)}"`
  if (kind === 'size' && typeof value === 'number') return `"${formatSize(value)}"`
  if (kind === 'time' && typeof value === 'number') return `"${new Date(value).toISOString()}"`
  if (kind === 'mode' && typeof value === 'number')
    return `"0${value.toString(8).padStart(3, '0')}"`
  if (value instanceof Secret && value.reference !== undefined) return value.reference
  // A TOML string may hold whatever a JSON string may, and booleans, numbers and arrays agree too.
  return JSON.stringify(value)
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

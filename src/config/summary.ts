// Writes a Config as TOML, defaults included, so that people can see what their files amount to.
import type { Entry, Section } from './entry.ts'
import { type Config, type Schema, schema } from './schema.ts'
import { formatDuration, formatSize } from './units.ts'

type Values = Readonly<Record<string, unknown>>

// Where each table of the schema is in the Config; undefined for what is not in use.
const places: { readonly [Path in keyof Schema]: (config: Config) => Values | undefined } = {
  server: (config) => config.server,
  global: (config) => config.global,
  'global.access_policy': ({ global: { accessPolicy } }) =>
    accessPolicy.configured ? { default: accessPolicy.default } : undefined,
  'blob_store.fs': ({ blobStore }) => (blobStore.kind === 'fs' ? blobStore : undefined),
  'blob_store.memory': ({ blobStore }) => (blobStore.kind === 'memory' ? {} : undefined),
  'metadata_store.lmdb': ({ metadataStore }) =>
    metadataStore.kind === 'lmdb' ? metadataStore : undefined,
  'metadata_store.memory': ({ metadataStore }) =>
    metadataStore.kind === 'memory' ? {} : undefined,
  storage: (config) => config.storage,
  ingest: (config) => config.ingest,
  gc: (config) => config.gc,
  cache: (config) => config.cache,
  log: (config) => config.log,
  admin: (config) => config.admin,
}

/** The configuration as TOML that loads to the same configuration. */
export function formatConfig(config: Config): string {
  const sections: readonly (readonly [path: string, section: Section])[] = Object.entries(schema)
  return sections
    .flatMap(([path, section]) => {
      const values = places[path as keyof Schema](config)
      return values === undefined ? [] : [formatTable(path, section, values)]
    })
    .join('\n')
}

function formatTable(path: string, section: Section, values: Values): string {
  const lines = Object.entries(section.keys).flatMap(([key, entry]) => {
    const value = values[entry.field]
    return value === undefined ? [] : [`${key} = ${formatValue(entry.kind, value)}\n`]
  })
  return `[${path}]\n${lines.join('')}`
}

/** A value in base units as TOML writes it. */
export function formatValue(kind: Entry['kind'], value: unknown): string {
  if (kind === 'duration' && typeof value === 'number') return `"${formatDuration(value)}"`
  if (kind === 'size' && typeof value === 'number') return `"${formatSize(value)}"`
  // A TOML string may hold whatever a JSON string may, and booleans, numbers and arrays agree too.
  return JSON.stringify(value)
}

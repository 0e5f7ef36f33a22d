// Writes a Config as TOML, defaults included, so that people can see what their files amount to.
import { type ConfigTable, configTables } from './config-tables.ts'
import type { Entry } from './entry.ts'
import type { Config } from './schema.ts'
import { Secret } from './secret.ts'
import { formatDuration, formatSize } from './units.ts'

/** The configuration as TOML that loads to the same configuration, but for literal secrets: `***`. */
export function formatConfig(config: Config): string {
  return configTables(config).map(formatTable).join('\n')
}

function formatTable({ path, section, values }: ConfigTable): string {
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
  // Some services take their key there, though no key of ours says that it is a secret.
  if (kind === 'url' && typeof value === 'string') {
    return JSON.stringify(value.replace(/\?.*/s, '?***'))
  }
  if (value instanceof Secret && value.reference !== undefined) return value.reference
  // A TOML string may hold whatever a JSON string may, and booleans, numbers and arrays agree too.
  return JSON.stringify(value)
}

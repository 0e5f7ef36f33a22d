// Two configurations side by side: what changed, and what of it a running server takes up.
import { configTables } from './config-tables.ts'
import type { Entry } from './entry.ts'
import { mergeLive } from './merge-live.ts'
import { sameSettings } from './same-settings.ts'
import type { Config } from './schema.ts'
import { formatValue } from './summary.ts'

/** Of one key, such as `server.port`, `auth.ldap.office.url` or `server.listener[0].tls`. */
export interface ConfigChange {
  readonly key: string
  /** As TOML writes it, secrets as `***` or by where they are kept; empty where it was not there. */
  readonly before: string
  readonly after: string
  readonly reload: 'live' | 'restart'
}

/**
 * Every key whose effective value differs, and tables that come or go without any, in the order of
 * the schema but for what is new.
 * A secret with another value is a change, though both look alike; where something stands in its file
 * is none. The same tables, by names of the user's, in another order are a change of what is above them.
 */
export function diffConfigs(before: Config, after: Config): readonly ConfigChange[] {
  const [was, is, taken] = [rowsOf(before), rowsOf(after), rowsOf(mergeLive(before, after))]
  const all = [...new Set([...was.keys(), ...is.keys()])]
  const changed = all.filter((key) => !sameSettings(was.get(key)?.value, is.get(key)?.value))
  return changed
    .filter((key) => !isToldBelow(key, was.get(key), is.get(key), changed))
    .map((key) => ({
      key,
      before: shown(was.get(key)),
      after: shown(is.get(key)),
      reload: sameSettings(taken.get(key)?.value, is.get(key)?.value) ? 'live' : 'restart',
    }))
}

/** `table`: there is one. `names`: of the tables below, in their order. */
interface Row {
  readonly kind: Entry['kind'] | 'table' | 'names'
  readonly value: unknown
}

function rowsOf(config: Config): ReadonlyMap<string, Row> {
  const rows = new Map<string, Row>()
  const names = new Map<string, string[]>()
  const items = new Map<string, number>()
  for (const { path, section, values, above } of configTables(config)) {
    const index = items.get(path) ?? 0
    items.set(path, index + 1)
    const table = section.list === true ? `${path}[${index}]` : path
    rows.set(table, { kind: 'table', value: {} })
    for (const [key, { field, kind }] of Object.entries(section.keys)) {
      if (values[field] !== undefined) rows.set(`${table}.${key}`, { kind, value: values[field] })
    }
    if (above === undefined) continue
    const siblings = names.get(above) ?? []
    names.set(above, siblings)
    siblings.push(path)
    rows.set(above, { kind: 'names', value: siblings })
  }
  return rows
}

function isToldBelow(
  key: string,
  was: Row | undefined,
  is: Row | undefined,
  changed: readonly string[],
): boolean {
  const kind = (was ?? is)?.kind
  if (kind === 'table') return changed.some((other) => other.startsWith(`${key}.`))
  return kind === 'names' && !sameSettings(sorted(was), sorted(is))
}

function sorted(row: Row | undefined): unknown {
  return Array.isArray(row?.value) ? row.value.toSorted() : row
}

function shown(row: Row | undefined): string {
  if (row === undefined) return ''
  return row.kind === 'table' || row.kind === 'names'
    ? JSON.stringify(row.value)
    : formatValue(row.kind, row.value)
}

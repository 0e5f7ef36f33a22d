// How much may be used, and by which names: what the keys mean together.
import { actionNames } from './action-names.ts'
import type { CheckedTables } from './checked-tables.ts'
import { nearestName } from './hint.ts'
import type { RateLimitConfig, SchemaValues, UsageConfig } from './schema.ts'

/** Errors: refuses an unknown action, which would never count anything. */
export function composeUsage(tables: CheckedTables): UsageConfig {
  const rates = tables.named('limits', 'rate').map(({ name, table, values }): RateLimitConfig => {
    // readTables has checked the values against the rows that this type is derived from.
    const rate = values as SchemaValues<'limits.rate'>
    refuseUnknownActions(tables, table, 'actions', rate.actions)
    return { name, ...rate }
  })
  return { ...tables.values('limits'), rates }
}

/** `*` stands for all. Errors: refuses an unknown action, which would never be recorded. */
export function composeAudit(tables: CheckedTables): SchemaValues<'audit'> {
  const audit = tables.values('audit')
  const named = audit.allow.filter((name) => name !== '*')
  refuseUnknownActions(tables, 'audit', 'allow', named)
  return audit
}

function refuseUnknownActions(
  tables: CheckedTables,
  table: string,
  key: string,
  names: readonly string[],
): void {
  for (const name of names) {
    if (actionNames.includes(name)) continue
    const near = nearestName(name, actionNames)
    const hint =
      near === undefined ? `expected one of ${actionNames.join(', ')}` : `did you mean ${near}?`
    tables.refuse(table, key, `${JSON.stringify(name)} is not an action: ${hint}`)
  }
}

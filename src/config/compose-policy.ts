// The policies: what their keys mean together. The rules are compiled elsewhere.
import { parseRepositoryName } from '../oci/name.ts'
import type { CheckedTables } from './checked-tables.ts'
import type {
  AccessPolicy,
  QuotaConfig,
  RepositoryConfig,
  RetentionPolicy,
  Rule,
  SchemaValues,
  ValidationConfig,
} from './schema.ts'
import { dottedName, type TableValues } from './tables.ts'

/** The policy of one `access_policy` table, or undefined where no file has it. */
export function composePolicy(
  tables: CheckedTables,
  path: readonly string[],
): AccessPolicy | undefined {
  const table = tables.written(path)
  if (table === undefined) return undefined
  // readTables has checked the values against the rows that this type is derived from.
  const { default: decision, defaultAllow } = table.values as SchemaValues<'global.access_policy'>
  const fromBoolean = defaultAllow === undefined ? undefined : defaultAllow ? 'allow' : 'deny'
  if (decision !== undefined && fromBoolean !== undefined && decision !== fromBoolean) {
    const message = `expected what default = "${decision}" says; found ${defaultAllow}`
    tables.refuse(dottedName(path), 'default_allow', message)
  }
  return { default: decision ?? fromBoolean ?? 'deny', rules: rulesOf(tables, table) }
}

/** One for each `[repository."<prefix>"]`, in the order of the files. */
export function composeRepositories(tables: CheckedTables): readonly RepositoryConfig[] {
  return tables.children('repository').map(({ path, values }) => {
    const prefix = path.at(-1) ?? ''
    if (parseRepositoryName(prefix) === undefined) {
      const message = `expected a repository name or the first components of one, such as "team/app", without a slash at its end; found ${JSON.stringify(prefix)}`
      tables.refuse(dottedName(path), undefined, message)
    }
    return {
      // readTables has checked the values against the rows that this type is derived from.
      ...(values as SchemaValues<'repository'>),
      prefix,
      accessPolicy: composePolicy(tables, [...path, 'access_policy']),
      retentionPolicy: composeRetention(tables, [...path, 'retention_policy']),
      quota: composeQuota(tables, [...path, 'quota']),
      validation: composeValidation(tables, [...path, 'validation']),
    }
  })
}

/** One `retention_policy` table, or undefined where no file has it. */
export function composeRetention(
  tables: CheckedTables,
  path: readonly string[],
): RetentionPolicy | undefined {
  const table = tables.written(path)
  return table && { rules: rulesOf(tables, table) }
}

/** One `quota` table, or undefined where no file has it. */
export function composeQuota(
  tables: CheckedTables,
  path: readonly string[],
): QuotaConfig | undefined {
  // readTables has checked the values against the rows that this type is derived from.
  return tables.written(path)?.values as QuotaConfig | undefined
}

/** One `validation` table, or undefined where no file has it. */
export function composeValidation(
  tables: CheckedTables,
  path: readonly string[],
): ValidationConfig | undefined {
  // As above.
  return tables.written(path)?.values as ValidationConfig | undefined
}

function rulesOf(tables: CheckedTables, table: TableValues): readonly Rule[] {
  const { rules } = table.values as SchemaValues<'global.retention_policy'>
  const places = table.itemPlaces.get('rules') ?? []
  return rules.map((text, index) => ({
    text,
    place: places[index] ?? tables.placeOf(dottedName(table.path), 'rules'),
  }))
}

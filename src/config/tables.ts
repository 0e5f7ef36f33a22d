// Checks the merged tree against the schema: every table, every key, every value.
import type { Entry, Section } from './entry.ts'
import { nearestName, unsupportedNames } from './hint.ts'
import type { ConfigProblem } from './problem.ts'
import { schema } from './schema.ts'
import type { Node, Place, TableNode } from './source.ts'
import { describeExpected, describeFound, describeNotation, parseValue } from './value.ts'

/** One table of the schema with its values by field: those written, or the defaults. */
export interface TableValues {
  readonly path: readonly string[]
  /** Where the table stands, undefined when no file has it. */
  readonly place: Place | undefined
  readonly values: Readonly<Record<string, unknown>>
  /** Where each written key stands, by its TOML name. */
  readonly places: ReadonlyMap<string, Place>
}

/** What may stand in a table: the keys of its section and the tables below it. */
interface Allowed {
  section: Section
  readonly tables: Map<string, Allowed>
}

const noKeys: Section = { doc: '', keys: {} }
const allowedAtTop: Allowed = buildAllowed()

/**
 * The tables of the schema by their dotted names, those of no file included.
 * Errors: adds to `problems` one for each unknown, missing or unfit key.
 */
export function readTables(
  root: TableNode,
  problems: ConfigProblem[],
): ReadonlyMap<string, TableValues> {
  const found = new Map<string, TableValues>()
  for (const [name, section] of sections()) {
    const path = name.split('.')
    found.set(name, { path, place: undefined, values: defaultsOf(section), places: new Map() })
  }
  const { tables, section } = allowedAtTop
  const allowed = { section, tables: new Map(tables).set('repository', repositories(root)) }
  readTable(root, [], allowed, found, problems)
  return found
}

/** A key path as TOML writes it. */
export function dottedName(path: readonly string[]): string {
  return path.map((key) => (/^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key))).join('.')
}

/** The names of the policies that the file gives to single repositories. */
export function repositoryPolicies(
  found: ReadonlyMap<string, TableValues>,
): readonly (readonly [name: string, place: Place])[] {
  return [...found].flatMap(([name, { path, place }]) =>
    place !== undefined && path.length === 3 && path[0] === 'repository'
      ? [[name, place] as const]
      : [],
  )
}

function sections(): readonly (readonly [name: string, section: Section])[] {
  return Object.entries(schema)
}

function buildAllowed(): Allowed {
  const top: Allowed = { section: noKeys, tables: new Map() }
  for (const [name, section] of sections()) {
    let at = top
    for (const part of name.split('.')) {
      const next = at.tables.get(part) ?? { section: noKeys, tables: new Map() }
      at.tables.set(part, next)
      at = next
    }
    at.section = section
  }
  return top
}

// The prefixes under [repository] are the user's: each that is there may have a policy.
function repositories(root: TableNode): Allowed {
  const written = root.entries.get('repository')
  const prefixes = written?.kind === 'table' ? [...written.entries.keys()] : []
  const policy: Allowed = { section: schema['global.access_policy'], tables: new Map() }
  const repository: Allowed = { section: noKeys, tables: new Map([['access_policy', policy]]) }
  return { section: noKeys, tables: new Map(prefixes.map((prefix) => [prefix, repository])) }
}

function readTable(
  table: TableNode,
  path: readonly string[],
  allowed: Allowed,
  found: Map<string, TableValues>,
  problems: ConfigProblem[],
): void {
  const values = defaultsOf(allowed.section)
  const places = new Map<string, Place>()
  for (const [key, node] of table.entries) {
    const keyPath = [...path, key]
    const below = allowed.tables.get(key)
    const entry = Object.hasOwn(allowed.section.keys, key) ? allowed.section.keys[key] : undefined
    if (below !== undefined && node.kind === 'table') {
      readTable(node, keyPath, below, found, problems)
    } else if (below !== undefined) {
      problems.push(unfit(node, keyPath, 'a table'))
    } else if (entry !== undefined) {
      places.set(key, node.place)
      const value =
        node.kind === 'value' ? parseValue(entry, node.value, node.place.file) : undefined
      if (value !== undefined) values[entry.field] = value
      else problems.push(unfit(node, keyPath, expectation(entry)))
    } else {
      const known = [...allowed.tables.keys(), ...Object.keys(allowed.section.keys)]
      problems.push(unknown(node, keyPath, known))
    }
  }
  for (const [key, entry] of Object.entries(allowed.section.keys)) {
    if (!('required' in entry && entry.required) || places.has(key)) continue
    const message = `is missing: expected ${expectation(entry)}`
    problems.push({ ...table.place, key: dottedName([...path, key]), message })
  }
  // A quoted key can hold dots, but then it is not in the schema, so no name stands for two paths.
  found.set(dottedName(path), { path, place: table.place, values, places })
}

function defaultsOf(section: Section): Record<string, unknown> {
  const values: Record<string, unknown> = {}
  for (const entry of Object.values(section.keys)) {
    values[entry.field] = 'default' in entry ? parseValue(entry, entry.default, '') : undefined
  }
  return values
}

function expectation(entry: Entry): string {
  return `${describeExpected(entry)}${describeNotation(entry.kind)}`.replaceAll('`', '')
}

function unfit(node: Node, path: readonly string[], expected: string): ConfigProblem {
  const found = node.kind === 'table' ? 'a table' : describeFound(node.value)
  const message = `expected ${expected}; found ${found}`
  return { ...node.place, key: dottedName(path), message }
}

function unknown(node: Node, path: readonly string[], known: readonly string[]): ConfigProblem {
  const key = dottedName(path)
  const what = node.kind === 'table' ? 'table' : 'key'
  if (unsupportedNames.includes(key)) {
    return { ...node.place, key, message: 'is not supported by this version' }
  }
  const parent = path.slice(0, -1)
  const nearest = nearestName(path.at(-1) ?? '', known)
  const meant = nearest === undefined ? homeOf(path.at(-1) ?? '') : dottedName([...parent, nearest])
  const hint = meant === undefined ? expectedHere(known) : `did you mean ${meant}?`
  return { ...node.place, key, message: `is not a known ${what}: ${hint}` }
}

// A right key in the wrong table is as common as a misspelt one.
function homeOf(key: string): string | undefined {
  const home = sections().find(([, section]) => Object.hasOwn(section.keys, key))
  return home && `${home[0]}.${key}`
}

function expectedHere(known: readonly string[]): string {
  return known.length === 0 ? 'expected nothing here' : `expected one of ${known.join(', ')}`
}

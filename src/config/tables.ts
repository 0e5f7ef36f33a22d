// Checks the merged tree against the schema: every table, every key, every value.
import type { Entry, Section } from './entry.ts'
import { longerName, nearestName, unsupportedNames } from './hint.ts'
import type { ConfigProblem } from './problem.ts'
import { schema } from './schema.ts'
import { type Environment, readSecret, type SecretSource } from './secret.ts'
import type { Node, Place, TableNode } from './source.ts'
import {
  describeExpected,
  describeFound,
  describeNotation,
  parseValue,
  unfitItem,
} from './value.ts'

/** One table of the schema with its values by field: those written, or the defaults. */
export interface TableValues {
  readonly path: readonly string[]
  /** Where the table stands, undefined when no file has it. */
  readonly place: Place | undefined
  readonly values: Readonly<Record<string, unknown>>
  /** Where each written key stands, by its TOML name. */
  readonly places: ReadonlyMap<string, Place>
  /** Where each item of an array stands, by the TOML name of its key. */
  readonly itemPlaces: ReadonlyMap<string, readonly Place[]>
}

/** The checked tables by their dotted names. */
export interface ReadTables {
  readonly tables: ReadonlyMap<string, TableValues>
  /** The items of each array of tables that a file has. */
  readonly lists: ReadonlyMap<string, readonly TableValues[]>
}

/** What may stand in a table: the keys of its section and the tables below it. */
interface Allowed {
  section: Section
  readonly tables: Map<string, Allowed>
}

// What each prefix may have, with the keys that [global] has for it.
const ofRepositories = ['access_policy', 'retention_policy', 'quota', 'validation'] as const

const noKeys: Section = { doc: '', keys: {} }
const allowedAtTop: Allowed = buildAllowed()

/**
 * The tables of the schema, those of no file included.
 * Errors: adds to `problems` one for each unknown, missing or unfit key and unreadable secret.
 */
export function readTables(
  root: TableNode,
  env: Environment,
  problems: ConfigProblem[],
): ReadTables {
  const reader = new Reader(env, problems)
  for (const [name, section] of sections()) {
    if (!section.list && section.named === undefined)
      reader.tables.set(name, unwritten(name.split('.'), section))
  }
  reader.read(root, [], allowedAtTop)
  return reader
}

/** A key path as TOML writes it. */
export function dottedName(path: readonly string[]): string {
  return path.map((key) => (/^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key))).join('.')
}

class Reader implements ReadTables {
  readonly tables: Map<string, TableValues> = new Map()
  readonly lists: Map<string, readonly TableValues[]> = new Map()
  readonly #env: Environment
  readonly #problems: ConfigProblem[]

  constructor(env: Environment, problems: ConfigProblem[]) {
    this.#env = env
    this.#problems = problems
  }

  read(table: TableNode, path: readonly string[], allowed: Allowed): void {
    // A quoted key can hold dots, but then it is not in the schema, so no name stands for two paths.
    this.tables.set(dottedName(path), this.#readTable(table, path, allowed))
  }

  #readTable(table: TableNode, path: readonly string[], allowed: Allowed): TableValues {
    const values = defaultsOf(allowed.section)
    const places = new Map<string, Place>()
    const itemPlaces = new Map<string, readonly Place[]>()
    for (const [key, node] of table.entries) {
      const keyPath = [...path, key]
      const below = allowed.tables.get(key)
      const entry = Object.hasOwn(allowed.section.keys, key) ? allowed.section.keys[key] : undefined
      if (below !== undefined) this.#readBelow(node, keyPath, below)
      else if (entry !== undefined) {
        places.set(key, node.place)
        if (node.kind === 'value') itemPlaces.set(key, node.items)
        const value =
          entry.kind === 'secret'
            ? this.#readSecret(node, keyPath, entry)
            : this.#readValue(node, keyPath, entry)
        if (value !== undefined) values[entry.field] = value
      } else {
        const known = [...allowed.tables.keys(), ...Object.keys(allowed.section.keys)]
        this.#problems.push(unknown(node, keyPath, known))
      }
    }
    for (const [key, entry] of Object.entries(allowed.section.keys)) {
      if (!('required' in entry && entry.required) || places.has(key)) continue
      const message = `is missing: expected ${expectation(entry)}`
      this.#problems.push({ ...table.place, key: dottedName([...path, key]), message })
    }
    return { path, place: table.place, values, places, itemPlaces }
  }

  #readBelow(node: Node, path: readonly string[], allowed: Allowed): void {
    if (allowed.section.named !== undefined) {
      this.#readNamed(node, path, allowed)
      return
    }
    if (!allowed.section.list) {
      if (node.kind === 'table') this.read(node, path, allowed)
      else this.#problems.push(unfit(node, path, 'a table'))
      return
    }
    const name = dottedName(path)
    if (node.kind === 'list') {
      const items = node.items.map((item) => this.#readTable(item, path, allowed))
      this.lists.set(name, items)
    } else if (node.kind === 'table' || !isEmptyArray(node.value)) {
      this.#problems.push(unfit(node, path, `an array of tables, [[${name}]]`))
    }
  }

  // What the user names is an ordinary table with the keys of the section.
  #readNamed(node: Node, path: readonly string[], { section, tables }: Allowed): void {
    const { named: _, ...plain } = section
    if (node.kind !== 'table') {
      this.#problems.push(unfit(node, path, `tables, [${dottedName(path)}.<${section.named}>]`))
      return
    }
    for (const [name, child] of node.entries) {
      const childPath = [...path, name]
      if (child.kind === 'table') this.read(child, childPath, { section: plain, tables })
      else this.#problems.push(unfit(child, childPath, 'a table'))
    }
  }

  #readValue(node: Node, path: readonly string[], entry: Entry): unknown {
    const { file } = node.place
    const value = node.kind === 'value' ? parseValue(entry, node.value, file) : undefined
    if (value === undefined) this.#problems.push(unfitValue(node, path, entry))
    return value
  }

  #readSecret(node: Node, path: readonly string[], entry: Entry): unknown {
    const problem = { ...node.place, key: dottedName(path) }
    const source = parseValue(entry, writtenSecret(node), node.place.file)
    if (source === undefined) {
      const message = `expected ${expectation(entry)}; found ${kindOfNode(node)}`
      this.#problems.push({ ...problem, message })
      return undefined
    }
    try {
      // parseValue makes nothing else of a row of this kind.
      return readSecret(source as SecretSource, this.#env)
    } catch (error) {
      const why = error instanceof Error ? error.message : 'unknown error'
      this.#problems.push({ ...problem, message: `expected a readable secret; found: ${why}` })
      return undefined
    }
  }
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
  const repository = top.tables.get('repository')
  for (const name of ofRepositories) {
    repository?.tables.set(name, { section: schema[`global.${name}`], tables: new Map() })
  }
  return top
}

function unwritten(path: readonly string[], section: Section): TableValues {
  const values = defaultsOf(section)
  return { path, place: undefined, values, places: new Map(), itemPlaces: new Map() }
}

function defaultsOf(section: Section): Record<string, unknown> {
  const values: Record<string, unknown> = {}
  for (const entry of Object.values(section.keys)) {
    values[entry.field] = 'default' in entry ? parseValue(entry, entry.default, '') : undefined
  }
  return values
}

// Tables merge, but the later file's way to a secret replaces the earlier one's.
function writtenSecret(node: Node): unknown {
  if (node.kind !== 'table') return node.kind === 'value' ? node.value : undefined
  const own = [...node.entries].filter(([, entry]) => entry.place.file === node.place.file)
  return Object.fromEntries(
    own.map(([key, entry]) => [key, entry.kind === 'value' ? entry.value : undefined]),
  )
}

function expectation(entry: Entry): string {
  return `${describeExpected(entry)}${describeNotation(entry.kind)}`.replaceAll('`', '')
}

function unfitValue(node: Node, path: readonly string[], entry: Entry): ConfigProblem {
  const expected = expectation(entry)
  if (node.kind !== 'value') return unfit(node, path, expected)
  const index = unfitItem(entry, node.value, node.place.file)
  if (index === -1 || !Array.isArray(node.value)) return unfit(node, path, expected)
  const place = node.items[index] ?? node.place
  const message = `expected ${expected}; found ${describeFound(node.value[index])}`
  return { ...place, key: dottedName(path), message }
}

function unfit(node: Node, path: readonly string[], expected: string): ConfigProblem {
  const found = node.kind === 'value' ? describeFound(node.value) : kindOfNode(node)
  const message = `expected ${expected}; found ${found}`
  return { ...node.place, key: dottedName(path), message }
}

// Says nothing of the value itself, which may be a secret.
function kindOfNode(node: Node): string {
  if (node.kind === 'table') return 'a table'
  if (node.kind === 'list') return 'an array of tables'
  if (typeof node.value === 'string') return 'an empty string'
  return typeof node.value === 'object' ? describeFound(node.value) : `a ${typeof node.value}`
}

function isEmptyArray(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}

function unknown(node: Node, path: readonly string[], known: readonly string[]): ConfigProblem {
  const key = dottedName(path)
  const what = node.kind === 'value' ? 'key' : 'table'
  if (unsupportedNames.includes(key)) {
    return { ...node.place, key, message: 'is not supported by this version' }
  }
  const name = path.at(-1) ?? ''
  const parent = path.slice(0, -1)
  const near = longerName(name, known) ?? nearestName(name, known)
  const meant = near === undefined ? homeOf(name) : dottedName([...parent, near])
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

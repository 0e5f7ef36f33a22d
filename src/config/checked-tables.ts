// The checked tables of one configuration, and the list of what is wrong with it so far.
import type { ConfigProblem } from './problem.ts'
import type { Schema, SchemaValues } from './schema.ts'
import type { Place } from './source.ts'
import { dottedName, type ReadTables, type TableValues } from './tables.ts'

/** A table that the user named, as its rows have checked it. */
export interface NamedTable {
  readonly name: string
  /** Its path, dotted. */
  readonly table: string
  readonly values: TableValues['values']
}

/** What the rules that span several keys ask and tell. */
export class CheckedTables {
  readonly #read: ReadTables
  readonly #top: Place
  readonly #problems: ConfigProblem[]

  constructor(read: ReadTables, top: Place, problems: ConfigProblem[]) {
    this.#read = read
    this.#top = top
    this.#problems = problems
  }

  values<Path extends keyof Schema>(path: Path): SchemaValues<Path> {
    // readTables has checked the values against the very rows that this type is derived from.
    return this.#read.tables.get(path)?.values as SchemaValues<Path>
  }

  /** The items of an array of tables; empty where no file has it. */
  items(name: keyof Schema): readonly TableValues[] {
    return this.#read.lists.get(name) ?? []
  }

  /** A table that a file has, by its path. */
  written(path: readonly string[]): TableValues | undefined {
    const table = this.#read.tables.get(dottedName(path))
    return table?.place === undefined ? undefined : table
  }

  has(table: string): boolean {
    return this.#read.tables.get(table)?.place !== undefined
  }

  hasKey(table: keyof Schema, key: string): boolean {
    return this.#read.tables.get(table)?.places.has(key) === true
  }

  /** The tables right below a table that the user names. */
  children(...parent: readonly string[]): readonly TableValues[] {
    return [...this.#read.tables.values()].filter(
      ({ path, place }) =>
        path.length === parent.length + 1 &&
        parent.every((name, i) => path[i] === name) &&
        place !== undefined,
    )
  }

  /**
   * As `children`, with the name and the dotted path of each.
   * Errors: refuses a name that metrics and logs cannot carry.
   */
  named(...parent: readonly string[]): readonly NamedTable[] {
    return this.children(...parent).map(({ path, values }) => {
      const name = path.at(-1) ?? ''
      const table = dottedName(path)
      if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) {
        const message = `expected a name of letters, digits, ".", "_" and "-"; found ${JSON.stringify(name)}`
        this.refuse(table, undefined, message)
      }
      return { name, table, values }
    })
  }

  /** Where the key stands, else its table, else the first file. */
  placeOf(table: string, key?: string): Place {
    const { place, places } = this.#read.tables.get(table) ?? {}
    return (key === undefined ? undefined : places?.get(key)) ?? place ?? this.#top
  }

  refuse(table: string, key: string | undefined, message: string): void {
    const name = key === undefined ? table : `${table}.${key}`
    this.refuseAt(this.placeOf(table, key), name, message)
  }

  refuseAt(place: Place, key: string, message: string): void {
    this.#problems.push({ ...place, key, message })
  }
}

// The checked tables of one configuration, and the list of what is wrong with it so far.
import type { ConfigProblem } from './problem.ts'
import type { Schema, SchemaValues } from './schema.ts'
import type { Place } from './source.ts'
import { dottedName, type ReadTables, type TableValues } from './tables.ts'

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

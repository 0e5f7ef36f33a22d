// Parses configuration texts and merges them into one tree whose nodes know where they stand.
import { parse, TomlError } from 'smol-toml'
import type { ConfigProblem } from './problem.ts'
import { findLines, pathKey } from './toml-lines.ts'

/** A configuration text and the name of its file. */
export interface Source {
  readonly file: string
  readonly text: string
}

export interface Place {
  readonly file: string
  readonly line: number
}

export interface ValueNode {
  readonly kind: 'value'
  readonly place: Place
  readonly value: unknown
  /** Where each item of an array stands; empty for everything else. */
  readonly items: readonly Place[]
}

export interface TableNode {
  readonly kind: 'table'
  readonly place: Place
  readonly entries: ReadonlyMap<string, Node>
}

/** An array that holds tables alone, and at least one. */
export interface ListNode {
  readonly kind: 'list'
  readonly place: Place
  readonly items: readonly TableNode[]
}

export type Node = ValueNode | TableNode | ListNode

/**
 * Merge the texts in order: tables recursively, everything else replaced by the later text.
 * Errors: adds to `problems` and returns undefined when a text is not TOML.
 */
export function mergeSources(
  sources: readonly Source[],
  problems: ConfigProblem[],
): TableNode | undefined {
  let merged: TableNode = tableNode({ file: 'configuration', line: 1 }, new Map())
  let readable = true
  for (const source of sources) {
    const tree = parseSource(source, problems)
    if (tree === undefined) readable = false
    else merged = mergeTables(merged, tree)
  }
  return readable ? merged : undefined
}

function parseSource({ file, text }: Source, problems: ConfigProblem[]): TableNode | undefined {
  try {
    const parsed = parse(text)
    const lines = findLines(text)
    return toTable(parsed, [], { file, line: 1 }, lines)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    // The first line says what is wrong; the rest draws the text around the place.
    const what = error.message.split('\n', 1)[0] ?? 'Invalid TOML document'
    problems.push({ file, line: error.line, key: '', message: `${what} (column ${error.column})` })
    return undefined
  }
}

function toTable(
  table: object,
  path: readonly string[],
  place: Place,
  lines: ReadonlyMap<string, number>,
): TableNode {
  const entries = new Map<string, Node>()
  for (const [key, value] of Object.entries(table) as [string, unknown][]) {
    const keyPath = [...path, key]
    entries.set(key, toNode(value, keyPath, placeOf(keyPath, place, lines), lines))
  }
  return tableNode(place, entries)
}

function toNode(
  value: unknown,
  path: readonly string[],
  place: Place,
  lines: ReadonlyMap<string, number>,
): Node {
  if (isTable(value)) return toTable(value, path, place, lines)
  if (!Array.isArray(value)) return { kind: 'value', place, value, items: [] }
  const written: readonly unknown[] = value
  const paths = written.map((_, index) => [...path, String(index)])
  const places = paths.map((itemPath) => placeOf(itemPath, place, lines))
  if (written.length === 0 || !written.every(isTable)) {
    return { kind: 'value', place, value, items: places }
  }
  const items = written.map((item, index) =>
    toTable(item, paths[index] ?? path, places[index] ?? place, lines),
  )
  return { kind: 'list', place, items }
}

// What has no line of its own stands where its table stands.
function placeOf(path: readonly string[], table: Place, lines: ReadonlyMap<string, number>): Place {
  const line = lines.get(pathKey(path))
  return line === undefined ? table : { file: table.file, line }
}

function isTable(value: unknown): value is object {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  )
}

function mergeTables(base: TableNode, over: TableNode): TableNode {
  const entries = new Map(base.entries)
  for (const [key, node] of over.entries) {
    const old = entries.get(key)
    const both = old?.kind === 'table' && node.kind === 'table'
    entries.set(key, both ? mergeTables(old, node) : node)
  }
  return tableNode(over.place, entries)
}

function tableNode(place: Place, entries: ReadonlyMap<string, Node>): TableNode {
  return { kind: 'table', place, entries }
}

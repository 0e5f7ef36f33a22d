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
}

export interface TableNode {
  readonly kind: 'table'
  readonly place: Place
  readonly entries: ReadonlyMap<string, Node>
}

export type Node = ValueNode | TableNode

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
    const line = lines.get(pathKey(keyPath))
    const keyPlace = line === undefined ? place : { file: place.file, line }
    entries.set(
      key,
      isTable(value)
        ? toTable(value, keyPath, keyPlace, lines)
        : { kind: 'value', place: keyPlace, value },
    )
  }
  return tableNode(place, entries)
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

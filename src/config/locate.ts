// Where a key stands in the files of a configuration, for what is found wrong with its value later.
import { readFileSync } from 'node:fs'
import { mergeSources, type Node, type Place } from './source.ts'

/**
 * The place of a key, or of an item of its array; that of the nearest table above it where no file
 * has the key. Errors: what reading the files throws.
 */
export function locateKey(files: readonly string[], path: readonly string[], item?: number): Place {
  const sources = files.map((file) => ({ file, text: readFileSync(file, 'utf8') }))
  let node: Node | undefined = mergeSources(sources, [])
  let place = node?.place ?? { file: files[0] ?? '', line: 1 }
  for (const key of path) {
    node = node?.kind === 'table' ? node.entries.get(key) : undefined
    place = node?.place ?? place
  }
  const itemPlace = item !== undefined && node?.kind === 'value' ? node.items[item] : undefined
  return itemPlace ?? place
}

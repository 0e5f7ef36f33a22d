// Finds the line of each table and key in a TOML text, which the parser does not tell.
// It expects a text that the parser has accepted; what it cannot place has its table's line.
import { parse } from 'smol-toml'

/** A key path in the form in which `findLines` indexes it. */
export function pathKey(path: readonly string[]): string {
  return JSON.stringify(path)
}

/**
 * The line, from 1, of every table header, every `key = value` and every item of an array, by
 * `pathKey` of the full path; an item goes by its index, and so does each of `[[…]]`.
 * Keys inside an inline table are not listed: they stand where their table stands.
 */
export function findLines(text: string): ReadonlyMap<string, number> {
  const lines = new Map<string, number>()
  const lastItems = new Map<string, number>()
  const scan = new Scan(text)
  let table: readonly string[] = []
  while (scan.skipToStatement()) {
    const line = scan.line
    if (scan.take('[')) {
      const isItem = scan.take('[')
      table = headerPath(scan.key(), isItem, lastItems)
      notePath(lines, [], table, line)
      scan.skipLine()
    } else {
      const key = scan.key()
      notePath(lines, table, key, line)
      for (const [index, itemLine] of scan.skipValue().entries()) {
        lines.set(pathKey([...table, ...key, String(index)]), itemLine)
      }
    }
  }
  return lines
}

// A header speaks of the last item of each array of tables that it passes through.
function headerPath(
  header: readonly string[],
  isItem: boolean,
  lastItems: Map<string, number>,
): readonly string[] {
  const path: string[] = []
  for (const [position, part] of header.entries()) {
    path.push(part)
    const key = pathKey(path)
    const last = lastItems.get(key)
    const index = isItem && position === header.length - 1 ? (last ?? -1) + 1 : last
    if (index === undefined) continue
    lastItems.set(key, index)
    path.push(String(index))
  }
  return path
}

function notePath(
  lines: Map<string, number>,
  table: readonly string[],
  key: readonly string[],
  line: number,
): void {
  // `a.b = 1` also makes the table `a`; the place that names a path most directly wins.
  for (let length = 1; length <= key.length; length += 1) {
    const path = pathKey([...table, ...key.slice(0, length)])
    if (length === key.length || !lines.has(path)) lines.set(path, line)
  }
}

class Scan {
  line = 1
  #at = 0
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  skipToStatement(): boolean {
    for (; this.#at < this.#text.length; this.#advance()) {
      const char = this.#text[this.#at]
      if (char === '#') this.skipLine()
      if (!/[\s\ufeff]/.test(this.#text[this.#at] ?? '\n')) return true
    }
    return false
  }

  take(char: string): boolean {
    if (this.#text[this.#at] !== char) return false
    this.#at += 1
    return true
  }

  skipLine(): void {
    const end = this.#text.indexOf('\n', this.#at)
    this.#at = end === -1 ? this.#text.length : end
  }

  /** Reads a dotted key and stops before the `=` or `]` that ends it. */
  key(): readonly string[] {
    const parts: string[] = []
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at]
      if (char === '=' || char === ']' || char === '\n') return parts
      if (char === '"' || char === "'") parts.push(unquote(this.#string()))
      else if (char === '.' || /\s/.test(char ?? '')) this.#at += 1
      else parts.push(this.#bareKey())
    }
    return parts
  }

  /**
   * Skips `= value`, which an array, an inline table or a long string spreads over lines. Returns
   * the line of each item where the value is an array.
   */
  skipValue(): readonly number[] {
    const items: number[] = []
    let depth = 0
    let isArray = false
    let awaitsItem = false
    for (; this.#at < this.#text.length; this.#advance()) {
      const char = this.#text[this.#at] ?? ''
      if (depth === 0 && (char === '\n' || char === '#')) break
      if (awaitsItem && !/[\s#\]]/.test(char)) {
        items.push(this.line)
        awaitsItem = false
      }
      if (char === '#') this.skipLine()
      else if (char === '"' || char === "'") {
        this.#string()
        this.#at -= 1
      } else if (char === '[' || char === '{') {
        depth += 1
        if (depth === 1) {
          isArray = char === '['
          awaitsItem = isArray
        }
      } else if (char === ']' || char === '}') depth -= 1
      else if (char === ',') awaitsItem = isArray && depth === 1
    }
    this.skipLine()
    return items
  }

  #advance(): void {
    if (this.#text[this.#at] === '\n') this.line += 1
    this.#at += 1
  }

  #bareKey(): string {
    const from = this.#at
    while (/[A-Za-z0-9_-]/.test(this.#text[this.#at] ?? '')) this.#at += 1
    if (this.#at === from) this.#at += 1
    return this.#text.slice(from, this.#at)
  }

  #string(): string {
    const from = this.#at
    const quote = this.#text[from] ?? ''
    const long = this.#text.startsWith(quote.repeat(3), from)
    const fence = long ? quote.repeat(3) : quote
    this.#at += fence.length
    while (this.#at < this.#text.length && !this.#text.startsWith(fence, this.#at)) {
      if (quote === '"' && this.#text[this.#at] === '\\') this.#advance()
      this.#advance()
    }
    this.#at += fence.length
    // A long string may end in up to five quotes: the first ones belong to it.
    while (long && this.#text[this.#at] === quote) this.#at += 1
    return this.#text.slice(from, this.#at)
  }
}

function unquote(quoted: string): string {
  const { key } = parse(`key = ${quoted}`)
  return typeof key === 'string' ? key : quoted
}

// JSON that means the same to every reader: no duplicate keys, no odd encodings, bounded nesting.

import { isAscii, isUtf8 } from 'node:buffer'

export interface StrictJsonLimits {
  /** Objects and arrays within one another. */
  readonly depthMax: number
  /** Keys in any one object. */
  readonly keysMax?: number
  /** Objects, arrays, their members and their elements in the whole document, roughly. */
  readonly valuesMax?: number
}

export type StrictJson =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly reason: string }

const quote = 0x22
const comma = 0x2c
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

const notJson = 'is not well-formed JSON'

/**
 * Parse untrusted JSON; linear in its length. Never throws, and `reason` is fit for a client.
 *
 * A scan bounds depth and counts and looks at the keys before anything is built; JSON.parse then decides
 * about the grammar, so the scan may take malformed text for anything it likes.
 * Source: RFC 8259 §4, §8.1; duplicate keys and `__proto__` are refused since readers differ on them.
 */
export function parseStrictJson(bytes: Uint8Array, limits: StrictJsonLimits): StrictJson {
  if (!isUtf8(bytes)) return refuse('is not valid UTF-8')
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    return refuse('starts with a byte order mark')
  }
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  // Decoding as Latin-1 is the fast way, and for ASCII it is the same.
  const text = view.toString(isAscii(bytes) ? 'latin1' : 'utf8')
  const fault = scan(text, limits)
  if (fault !== undefined) return refuse(fault)
  try {
    return { ok: true, value: JSON.parse(text) }
  } catch {
    return refuse(notJson)
  }
}

function refuse(reason: string): StrictJson {
  return { ok: false, reason }
}

function scan(text: string, limits: StrictJsonLimits): string | undefined {
  const valuesMax = limits.valuesMax ?? Number.POSITIVE_INFINITY
  const keys = new OpenKeys(limits.keysMax ?? Number.POSITIVE_INFINITY)
  // For each open container, whether it is an object.
  const isObject: boolean[] = []
  let expectsKey = false
  let values = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === quote) {
      const end = stringEnd(text, i)
      if (expectsKey) {
        const fault = keys.add(text, i, end)
        if (fault !== undefined) return fault
        expectsKey = false
      }
      i = end
    } else if (c === comma) {
      if (++values > valuesMax) return 'has too many values'
      expectsKey = isObject.at(-1) === true
    } else if (c === openBrace || c === openBracket) {
      if (++values > valuesMax) return 'has too many values'
      if (isObject.length >= limits.depthMax) return 'is nested too deeply'
      expectsKey = c === openBrace
      isObject.push(expectsKey)
      if (expectsKey) keys.open()
    } else if (c === closeBrace || c === closeBracket) {
      const wasObject = isObject.pop()
      if (wasObject === undefined || wasObject !== (c === closeBrace)) return notJson
      if (wasObject) keys.close()
      expectsKey = false
    }
  }
  return undefined
}

/** Index of the closing quote, or the length of the text where there is none. */
function stringEnd(text: string, start: number): number {
  // Native search, for long annotations; backslashes are counted back to the last quote at most, so
  // that hostile text costs no more than its length.
  for (let last = start; ; ) {
    const end = text.indexOf('"', last + 1)
    if (end < 0) return text.length
    let i = end - 1
    while (i > last && text.charCodeAt(i) === backslash) i--
    if ((end - 1 - i) % 2 === 0) return end
    last = end
  }
}

// Few keys are compared one by one; more get a set. A set for each small object would cost more than
// all the rest of the scan.
const comparedKeysMax = 8

/** The keys of the objects that are open, innermost last. */
class OpenKeys {
  readonly #keysMax: number
  readonly #keys: string[] = []
  readonly #starts: number[] = []
  readonly #sets: (Set<string> | undefined)[] = []

  constructor(keysMax: number) {
    this.#keysMax = keysMax
  }

  open(): void {
    this.#starts.push(this.#keys.length)
    this.#sets.push(undefined)
  }

  close(): void {
    this.#keys.length = this.#starts.pop() ?? 0
    this.#sets.pop()
  }

  /** Take the key between two quotes; a string says why it is refused. */
  add(text: string, openQuote: number, closeQuote: number): string | undefined {
    const key = decodeKey(text.slice(openQuote + 1, closeQuote))
    if (key === '__proto__') return 'has a key __proto__'
    const start = this.#starts.at(-1) ?? 0
    const count = this.#keys.length - start
    if (count >= this.#keysMax) return 'has an object with too many keys'
    if (this.#isKnown(key, start, count)) return 'has a duplicate key'
    this.#keys.push(key)
    this.#sets.at(-1)?.add(key)
    return undefined
  }

  #isKnown(key: string, start: number, count: number): boolean {
    if (count <= comparedKeysMax) {
      for (let i = start; i < this.#keys.length; i++) if (this.#keys[i] === key) return true
      return false
    }
    const last = this.#sets.length - 1
    this.#sets[last] ??= new Set(this.#keys.slice(start))
    return this.#sets[last].has(key)
  }
}

const escapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

// JSON.parse would take ten times as long over many short keys. A malformed escape may come out as
// anything, for JSON.parse refuses the whole text later.
function decodeKey(raw: string): string {
  let key = ''
  let from = 0
  for (let at = raw.indexOf('\\'); at >= 0; at = raw.indexOf('\\', from)) {
    const letter = raw.charAt(at + 1)
    const isUnicode = letter === 'u'
    const decoded = isUnicode
      ? String.fromCharCode(Number.parseInt(raw.slice(at + 2, at + 6), 16))
      : (escapes[letter] ?? letter)
    key += raw.slice(from, at) + decoded
    from = at + (isUnicode ? 6 : 2)
  }
  return key + raw.slice(from)
}

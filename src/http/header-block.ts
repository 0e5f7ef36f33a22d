// Response headers, put together once and sent many times.

export type HeaderPair = readonly [name: string, value: string]

/** A text that is written once in a while, and one that is written often: native code takes bytes faster. */
type Written = string | ArrayBuffer

class Text {
  readonly text: string
  #bytes: ArrayBuffer | undefined
  #isUsed = false

  constructor(text: string) {
    this.text = text
  }

  get written(): Written {
    if (this.#isUsed) {
      this.#bytes ??= bytesOf(this.text)
      return this.#bytes
    }
    this.#isUsed = true
    return this.text
  }
}

function bytesOf(text: string): ArrayBuffer {
  return new TextEncoder().encode(text).buffer
}

// The first names of our own header blocks are few.
const firstNames = new Map<string, ArrayBuffer>()

function firstNameBytes(name: string): ArrayBuffer {
  const known = firstNames.get(name)
  if (known !== undefined) return known
  const bytes = bytesOf(name)
  firstNames.set(name, bytes)
  return bytes
}

/**
 * Headers for a transport that writes raw lines: one write of `name: rest` writes them all, since
 * `rest` carries every line behind the first. `isEmpty` where there is none at all.
 */
export class HeaderLines {
  readonly isEmpty: boolean
  readonly name: ArrayBuffer
  readonly #rest: Text
  #length = -1
  #withLength: Text | undefined

  constructor(pairs: readonly HeaderPair[]) {
    const [first, ...others] = pairs
    this.isEmpty = first === undefined
    this.name = firstNameBytes(first?.[0] ?? '')
    const further = others.map(([name, value]) => `\r\n${name}: ${value}`).join('')
    this.#rest = new Text((first?.[1] ?? '') + further)
  }

  get rest(): Written {
    return this.#rest.written
  }

  /** `rest` and a Content-Length. Remembered, since a block mostly goes with one body. */
  restWithLength(length: number): Written {
    if (this.#withLength === undefined || this.#length !== length) {
      this.#length = length
      this.#withLength = new Text(`${this.#rest.text}\r\nContent-Length: ${length}`)
    }
    return this.#withLength.written
  }
}

interface Joined {
  readonly more: readonly HeaderPair[]
  readonly lines: HeaderLines
}

// A process has few listeners; beyond these the lines are made again each time.
const joinedMax = 4

/** An immutable set of response headers. */
export class HeaderBlock {
  readonly pairs: readonly HeaderPair[]
  readonly #joined: Joined[] = []

  constructor(pairs: readonly HeaderPair[]) {
    this.pairs = pairs
  }

  /** These headers and a listener's own behind them. Remembered by the identity of `more`. */
  linesWith(more: readonly HeaderPair[]): HeaderLines {
    for (const joined of this.#joined) if (joined.more === more) return joined.lines
    const lines = new HeaderLines([...this.pairs, ...more])
    if (this.#joined.length < joinedMax) this.#joined.push({ more, lines })
    return lines
  }

  with(...more: readonly HeaderPair[]): HeaderBlock {
    return new HeaderBlock([...this.pairs, ...more])
  }
}

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

/**
 * A reply's head for a transport that writes a status line as it is: one write of it writes all headers,
 * since each line of them stands behind the one before.
 */
export class HeaderLines {
  readonly #lines: string
  #statusLine = ''
  #length: number | undefined
  #head: Text | undefined

  constructor(pairs: readonly HeaderPair[]) {
    this.#lines = pairs.map(([name, value]) => `\r\n${name}: ${value}`).join('')
  }

  /**
   * Without a newline at its end. `length`: with a Content-Length. Remembered, since a block mostly goes
   * with one status and one body.
   */
  head(statusLine: string, length?: number): Written {
    if (this.#length !== length || this.#statusLine !== statusLine || this.#head === undefined) {
      this.#statusLine = statusLine
      this.#length = length
      const lengthLine = length === undefined ? '' : `\r\nContent-Length: ${length}`
      this.#head = new Text(`${statusLine}${this.#lines}${lengthLine}`)
    }
    return this.#head.written
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

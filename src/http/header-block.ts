// Response headers, put together once and sent many times.

export type HeaderPair = readonly [name: string, value: string]

/**
 * Headers for a transport that writes raw lines: one write of `name: rest` writes them all, since
 * `rest` carries every line behind the first. `name` is '' where there is none at all.
 */
export class HeaderLines {
  readonly name: string
  readonly rest: string
  #length = -1
  #restWithLength = ''

  constructor(pairs: readonly HeaderPair[]) {
    const [first, ...others] = pairs
    this.name = first === undefined ? '' : first[0]
    this.rest =
      first === undefined
        ? ''
        : first[1] + others.map(([name, value]) => `\r\n${name}: ${value}`).join('')
  }

  /** `rest` and a Content-Length. Remembered, since a block mostly goes with one body. */
  restWithLength(length: number): string {
    if (this.#length !== length) {
      this.#length = length
      this.#restWithLength = `${this.rest}\r\nContent-Length: ${length}`
    }
    return this.#restWithLength
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

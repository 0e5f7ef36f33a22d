// Response headers, put together once and sent many times.

export type HeaderPair = readonly [name: string, value: string]

/**
 * An immutable set of response headers. `first` and `rest` are what a transport that writes raw
 * header lines needs: one write of `first[0]: rest`, where `rest` carries all further lines.
 */
export class HeaderBlock {
  readonly pairs: readonly HeaderPair[]
  readonly name: string
  readonly rest: string
  #length = -1
  #restWithLength = ''

  constructor(pairs: readonly HeaderPair[]) {
    this.pairs = pairs
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

  with(...more: readonly HeaderPair[]): HeaderBlock {
    return new HeaderBlock([...this.pairs, ...more])
  }
}

// The headers of the request that is being handled. One look at all of them costs less than asking for
// the few that every request is judged by, and shows repeated ones.

import type { HttpRequest } from 'uWebSockets.js'

/**
 * The native request dies with its handler, and handlers never run inside one another: so one such
 * object, filled anew for each request, serves them all.
 */
export class RequestHeaders {
  /** How many lines of these there are, and the last of them. */
  hosts = 0
  lengths = 0
  codings = 0
  length = ''
  coding = ''
  /** Of all names and values, in characters. */
  size = 0
  /** A byte that RFC 9110 §5.5 forbids and the native parser lets through. */
  hasBadByte = false
  readonly #names: string[] = []
  readonly #values: string[] = []
  #count = 0

  read(req: HttpRequest): void {
    this.hosts = 0
    this.lengths = 0
    this.codings = 0
    this.size = 0
    this.hasBadByte = false
    this.#count = 0
    req.forEach(this.#add)
  }

  /** The first value; '' where there is none. */
  first(name: string): string {
    for (let index = 0; index < this.#count; index++) {
      if (this.#names[index] === name) return this.#values[index] ?? ''
    }
    return ''
  }

  lines(name: string): readonly string[] {
    return this.#values.slice(0, this.#count).filter((_value, index) => this.#names[index] === name)
  }

  /** What outlives the handler. */
  copy(): KeptHeaders {
    return new KeptHeaders(this.#names.slice(0, this.#count), this.#values.slice(0, this.#count))
  }

  readonly #add = (name: string, value: string): void => {
    this.#names[this.#count] = name
    this.#values[this.#count] = value
    this.#count += 1
    this.size += name.length + value.length
    if (value.indexOf('\x7f') !== -1) this.hasBadByte = true
    if (name === 'host') {
      this.hosts += 1
    } else if (name === 'content-length') {
      this.lengths += 1
      this.length = value
    } else if (name === 'transfer-encoding') {
      this.codings += 1
      this.coding = value
    }
  }
}

/** Headers of a request whose handler has returned. */
export class KeptHeaders {
  readonly #names: readonly string[]
  readonly #values: readonly string[]

  constructor(names: readonly string[], values: readonly string[]) {
    this.#names = names
    this.#values = values
  }

  first(name: string): string {
    return this.#values[this.#names.indexOf(name)] ?? ''
  }

  lines(name: string): readonly string[] {
    return this.#values.filter((_value, index) => this.#names[index] === name)
  }
}

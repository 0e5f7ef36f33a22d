// Follows the hash chain of an audit log from its first line to its last, over several files in turn.

import { hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { genesis, type ReadLine, readLine } from './chain.ts'

export interface VerifyProblem {
  readonly file: string
  readonly line: number
  readonly message: string
}

export interface Verified {
  /** The first line that is not as it was written; undefined where every one is. */
  readonly problem: VerifyProblem | undefined
  /** Those that are chained, and sound. */
  readonly records: number
  /** Written before the chain was turned on. */
  readonly unchained: number
  /** Ends of files that a crash tore, each told of by a record. */
  readonly torn: number
  /** Bytes behind the last newline, which may be being written. */
  readonly openBytes: number
  readonly first: { readonly seq: number; readonly isGenesis: boolean } | undefined
  readonly last: { readonly seq: number; readonly hash: string } | undefined
}

interface TornLines {
  readonly file: string
  readonly line: number
  readonly lastLine: number
  readonly bytes: Buffer
}

// Longer than any that is written, and than what a crash leaves.
const lineBytesMax = 64 * 1024 * 1024
const newline = 0x0a

/**
 * The files in the order in which they were written. `head`: a hash that must be among those of the
 * records, for what was cut off at the end shows in nothing else.
 * Errors: those of the file system.
 */
export async function verifyFiles(files: readonly string[], head?: string): Promise<Verified> {
  const chain = new Chain(head)
  let openBytes = 0
  for (const file of files) {
    let number = 0
    openBytes = 0
    for await (const { bytes, isWhole } of linesOf(file)) {
      number += 1
      if (!isWhole) openBytes = bytes.length
      const isLast = !isWhole && file === files.at(-1)
      if (!isLast) chain.take(file, number, bytes)
      if (chain.problem !== undefined) return chain.result(openBytes)
    }
  }
  chain.end(files.at(-1) ?? '')
  return chain.result(openBytes)
}

class Chain {
  problem: VerifyProblem | undefined
  readonly #head: string | undefined
  #records = 0
  #unchained = 0
  #torn = 0
  #first: Verified['first']
  #last: Verified['last']
  #pending: TornLines | undefined
  #isHeadSeen = false

  constructor(head: string | undefined) {
    this.#head = head
  }

  result(openBytes: number): Verified {
    return {
      ...{ problem: this.problem, records: this.#records, unchained: this.#unchained },
      ...{ torn: this.#torn, openBytes, first: this.#first, last: this.#last },
    }
  }

  take(file: string, line: number, bytes: Buffer): void {
    const read = readLine(bytes.toString('utf8'))
    if (read === undefined) {
      this.#takeTorn(file, line, bytes)
      return
    }
    const message = read.link === undefined ? this.#takeUnchained() : this.#takeChained(read)
    if (message !== undefined) {
      this.problem = { file, line, message }
      return
    }
    this.#settleTorn(read)
  }

  end(file: string): void {
    if (this.#pending !== undefined) this.problem = notTold(this.#pending)
    else if (this.#records === 0) {
      this.problem = { file, line: 0, message: 'no record is chained: audit.hash_chain is off' }
    } else if (this.#head !== undefined && !this.#isHeadSeen) {
      const message = `no record has the hash ${this.#head}: the end was cut off, or a file is missing`
      this.problem = { file, line: 0, message }
    }
  }

  #takeUnchained(): string | undefined {
    if (this.#last !== undefined) return 'it has no hash, and those before it have'
    this.#unchained += 1
    return undefined
  }

  #takeChained({ seq, link, isSound }: ReadLine): string | undefined {
    if (link === undefined) return undefined
    if (!isSound) return 'its hash is not that of its content: it was changed'
    const last = this.#last
    const isGenesis = link.prev === genesis
    if (last === undefined) {
      if (this.#unchained > 0 && !isGenesis) return 'it follows a record that is not there'
      this.#first = { seq, isGenesis }
    } else if (link.prev !== last.hash) {
      return isGenesis
        ? 'a new chain begins here: the file was rotated while the server was stopped, or exchanged'
        : 'it does not follow the record before it: something was removed, added or moved'
    } else if (seq !== last.seq + 1) {
      return `expected seq ${last.seq + 1}, not ${seq}`
    }
    this.#last = { seq, hash: link.hash }
    this.#records += 1
    if (link.hash === this.#head) this.#isHeadSeen = true
    return undefined
  }

  // Lines that are no records: what a crash left, if the chain goes on with a record that says so.
  #takeTorn(file: string, line: number, bytes: Buffer): void {
    const before = this.#pending
    if (before === undefined) {
      this.#pending = { file, line, lastLine: line, bytes }
    } else if (before.file !== file || before.lastLine + 1 !== line) {
      this.problem = notTold(before)
    } else {
      const joined = Buffer.concat([before.bytes, Buffer.of(newline), bytes])
      this.#pending = { ...before, lastLine: line, bytes: joined }
    }
  }

  #settleTorn({ body }: ReadLine): void {
    if (body['kind'] !== 'server' || body['event'] !== 'torn_line') return
    const torn = this.#pending
    if (torn === undefined || body['torn_sha256'] !== hash('sha256', torn.bytes)) return
    this.#torn += 1
    this.#pending = undefined
  }
}

function notTold({ file, line }: TornLines): VerifyProblem {
  return { file, line, message: 'it is no record, and no record tells of a crash that left it' }
}

interface Line {
  readonly bytes: Buffer
  /** Whether a newline ended it. */
  readonly isWhole: boolean
}

// By bytes: a text may hold what other readers take for the end of a line.
async function* linesOf(file: string): AsyncGenerator<Line> {
  let parts: Buffer[] = []
  let size = 0
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    let from = 0
    for (let to = chunk.indexOf(newline); to !== -1; to = chunk.indexOf(newline, from)) {
      yield { bytes: Buffer.concat([...parts, chunk.subarray(from, to)]), isWhole: true }
      parts = []
      size = 0
      from = to + 1
    }
    if (from === chunk.length) continue
    parts.push(chunk.subarray(from))
    size += chunk.length - from
    if (size > lineBytesMax) throw new Error(`${file}: a line is longer than ${lineBytesMax} bytes`)
  }
  if (size > 0) yield { bytes: Buffer.concat(parts), isWhole: false }
}

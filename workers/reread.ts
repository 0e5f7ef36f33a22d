// Hashes bytes that are already staged: the next piece is read while one is hashed, in turns with
// the other sessions of the thread.

import type { HashTurns } from './hash-turns.ts'
import type { Hasher } from './hasher.ts'
import type { StagedFile } from './staged-file.ts'

const readBytes = 1 << 20
const pairsMax = 2

interface BufferPair {
  current: Uint8Array
  next: Uint8Array
}

export interface RereadUse {
  readonly copyTo?: StagedFile
  readonly isCancelled?: () => boolean
}

/** Rereads of one thread. Memory: at most `pairsMax` × 2 MiB; more of them wait in line. */
export class Rereader {
  readonly #turns: HashTurns
  readonly #idle: BufferPair[] = []
  readonly #waiting: Array<(pair: BufferPair) => void> = []
  #pairs = 0

  constructor(turns: HashTurns) {
    this.#turns = turns
  }

  /**
   * Put the first `length` bytes of `file` into `hasher`, and into `copyTo` where there is one.
   * Errors: IngestFailure 'corrupt' where the file is shorter, 'unavailable', 'full'.
   */
  async hash(file: StagedFile, length: number, hasher: Hasher, use: RereadUse = {}): Promise<void> {
    const pair = await this.#borrow()
    try {
      let filled = await fill(file, pair.current, 0, length)
      for (let position = 0; filled.length > 0 && !use.isCancelled?.(); ) {
        const following = fill(file, pair.next, position + filled.length, length)
        const copied = use.copyTo?.write([filled], position)
        const hashed = this.#turns.add(hasher, filled)
        // All must have settled before the buffers change hands, also where one fails.
        const [read, copy] = await Promise.allSettled([following, copied, hashed])
        if (read.status === 'rejected') throw read.reason
        if (copy.status === 'rejected') throw copy.reason
        position += filled.length
        filled = read.value
        const { current, next } = pair
        pair.current = next
        pair.next = current
      }
    } finally {
      this.#giveBack(pair)
    }
  }

  #borrow(): Promise<BufferPair> {
    const idle = this.#idle.pop()
    if (idle) return Promise.resolve(idle)
    if (this.#pairs === pairsMax) return new Promise((resolve) => this.#waiting.push(resolve))
    this.#pairs += 1
    const buffers = { current: new Uint8Array(readBytes), next: new Uint8Array(readBytes) }
    return Promise.resolve(buffers)
  }

  #giveBack(pair: BufferPair): void {
    const next = this.#waiting.shift()
    if (next) next(pair)
    else this.#idle.push(pair)
  }
}

async function fill(
  file: StagedFile,
  buffer: Uint8Array,
  position: number,
  end: number,
): Promise<Uint8Array> {
  const target = buffer.subarray(0, Math.min(buffer.length, end - position))
  if (target.length > 0) await file.read(target, position)
  return target
}

// Hashes bytes that are already staged: the next piece is read while one is hashed, in turns with
// the other sessions of the thread.

import type { HashTurns } from './hash-turns.ts'
import type { Hasher } from './hasher.ts'
import type { StagedBytes } from './staged-bytes.ts'

const readBytes = 1 << 20
const pairsMax = 2

interface BufferPair {
  current: Uint8Array
  next: Uint8Array
}

export interface RereadUse {
  readonly copyTo?: StagedBytes
  readonly isCancelled?: () => boolean
  /** In the background: resolves when the bytes before this position may be read. */
  readonly upTo?: (position: number) => Promise<void>
}

/** Rereads of one thread. Memory: at most 6 MiB; more of them wait in line. */
export class Rereader {
  readonly #turns: HashTurns
  readonly #pairs = new PairLine(pairsMax)
  // One that waits between its reads must not keep the buffers that uploads wait for.
  readonly #pacedPairs = new PairLine(1)

  constructor(turns: HashTurns) {
    this.#turns = turns
  }

  /**
   * Put the first `length` bytes of `file` into `hasher`, and into `copyTo` where there is one.
   * Errors: IngestFailure 'corrupt' where the file is shorter, 'unavailable', 'full'.
   */
  async hash(
    file: StagedBytes,
    length: number,
    hasher: Hasher,
    use: RereadUse = {},
  ): Promise<void> {
    const { upTo } = use
    const isBackground = upTo !== undefined
    const pairs = isBackground ? this.#pacedPairs : this.#pairs
    const pair = await pairs.borrow()
    const fill = async (buffer: Uint8Array, position: number): Promise<Uint8Array> => {
      const target = buffer.subarray(0, Math.min(buffer.length, length - position))
      if (target.length === 0) return target
      await upTo?.(position + target.length)
      await file.read(target, position)
      return target
    }
    try {
      let filled = await fill(pair.current, 0)
      for (let position = 0; filled.length > 0 && !use.isCancelled?.(); ) {
        const following = fill(pair.next, position + filled.length)
        const copied = use.copyTo?.write([filled], position)
        const hashed = this.#turns.add(hasher, filled, isBackground)
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
      pairs.giveBack(pair)
    }
  }
}

class PairLine {
  readonly #pairsMax: number
  readonly #idle: BufferPair[] = []
  readonly #waiting: Array<(pair: BufferPair) => void> = []
  #pairs = 0

  constructor(pairsMax: number) {
    this.#pairsMax = pairsMax
  }

  borrow(): Promise<BufferPair> {
    const idle = this.#idle.pop()
    if (idle) return Promise.resolve(idle)
    if (this.#pairs === this.#pairsMax) return new Promise((resolve) => this.#waiting.push(resolve))
    this.#pairs += 1
    const buffers = { current: new Uint8Array(readBytes), next: new Uint8Array(readBytes) }
    return Promise.resolve(buffers)
  }

  giveBack(pair: BufferPair): void {
    const next = this.#waiting.shift()
    if (next) next(pair)
    else this.#idle.push(pair)
  }
}

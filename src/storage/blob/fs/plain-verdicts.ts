// Whether a file that begins like an encrypted one is a blob that was pushed so: its own bytes have the digest then.

import { createHash } from 'node:crypto'
import { type Digest, digestAlgorithm, digestHex } from '../../../oci/digest.ts'
import type { RawFile } from './sealed-reader.ts'

const readBytes = 256 * 1024
const rememberedMax = 256

/** Nearly never asked: of damaged headers, and of blobs that somebody made look like that. */
export class PlainVerdicts {
  readonly #known = new Map<string, boolean>()
  #last: Promise<unknown> = Promise.resolve()

  /**
   * Reads all of the file, one at a time. `mark`: changes when the file does. Limits: 256 verdicts are remembered, and
   * 256 KiB held. Errors: as those of its reads.
   */
  isPlain(digest: Digest, mark: string, file: RawFile): Promise<boolean> {
    const verdict = this.#last.then(() => this.#judge(`${digest} ${mark}`, digest, file))
    this.#last = verdict.catch(() => undefined)
    return verdict
  }

  async #judge(name: string, digest: Digest, file: RawFile): Promise<boolean> {
    const known = this.#known.get(name)
    if (known !== undefined) return known
    const hash = createHash(digestAlgorithm(digest))
    const buffer = Buffer.allocUnsafe(Math.min(readBytes, file.size))
    for (let done = 0; done < file.size; ) {
      const count = await file.read(done, buffer)
      hash.update(buffer.subarray(0, count))
      done += count
    }
    const isPlain = hash.digest('hex') === digestHex(digest)
    this.#known.set(name, isPlain)
    const [oldest] = this.#known.keys()
    if (this.#known.size > rememberedMax && oldest !== undefined) this.#known.delete(oldest)
    return isPlain
  }
}

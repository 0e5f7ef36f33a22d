// Opens the places where staged bytes lie, each in its way.

import type { S3Attempt } from '../src/s3/contract.ts'
import type { S3Place } from './s3-place.ts'
import { openContinuedSealed, openFreshSealed, openWholeSealed } from './sealed-file.ts'
import type { ContinuedBytes, StagedBytes } from './staged-bytes.ts'
import { openContinued, openFresh, openWhole } from './staged-file.ts'
import type { StagedPlace } from './tasks.ts'

/** Those of one thread. */
export class StagedPlaces {
  // Loaded with the first place in a bucket: the SDK takes 30 MB of a thread that has no use for it.
  #s3: Promise<S3Place> | undefined
  readonly #onAttempt: (attempt: S3Attempt) => void

  /** `onAttempt`: told of each attempt at a request of a bucket. */
  constructor(onAttempt: (attempt: S3Attempt) => void) {
    this.#onAttempt = onAttempt
  }

  /** Open for the first byte on. */
  async fresh({ path, s3, sealing }: StagedPlace): Promise<StagedBytes> {
    if (sealing !== undefined) return openFreshSealed(path, sealing.keys)
    if (s3 === undefined) return openFresh(path)
    return (await this.#bucket()).open(path, s3, 0)
  }

  /** Open to append after the first `offset` bytes, and cut off what follows them. */
  async continued(
    { path, s3, sealing, keyList }: StagedPlace,
    offset: number,
  ): Promise<ContinuedBytes> {
    if (sealing !== undefined) return openContinuedSealed(path, offset, sealing.keys)
    if (s3 === undefined) return openContinued(path, offset, keyList)
    return { file: await (await this.#bucket()).open(path, s3, offset) }
  }

  /** Open to read the first `length` bytes. Errors: IngestFailure 'corrupt' where they are fewer. */
  async whole({ path, s3, sealing, keyList }: StagedPlace, length: number): Promise<StagedBytes> {
    if (sealing !== undefined) return openWholeSealed(path, length, sealing)
    return s3 === undefined
      ? openWhole(path, length, keyList)
      : (await this.#bucket()).read(path, s3, length)
  }

  /** Nothing is open any more. */
  close(): void {
    void this.#s3?.then((place) => place.close())
  }

  #bucket(): Promise<S3Place> {
    this.#s3 ??= import('./s3-place.ts').then((loaded) => new loaded.S3Place(this.#onAttempt))
    return this.#s3
  }
}

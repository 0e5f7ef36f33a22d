// How a limit says no: 429, which limit it was, and when to come back.

import { OciError } from '../oci/error.ts'

// Who is beyond a limit asks often, and making an error costs more than all else of a refusal.
const keptMax = 256

/**
 * The refusals of one limit.
 * Source: RFC 6585 §4, RFC 9110 §10.2.3; distribution-spec "Error Codes".
 */
export class Refusals {
  readonly #limit: string
  readonly #message: string
  readonly #bySeconds = new Map<number, OciError>()

  /** `limit`: for `detail`; `message`: for people. */
  constructor(limit: string, message: string) {
    this.#limit = limit
    this.#message = message
  }

  /** The same object for the same wait, in whole seconds rounded up. */
  after(waitMs: number): OciError {
    const seconds = Math.max(1, Math.ceil(waitMs / 1000))
    const known = this.#bySeconds.get(seconds)
    if (known !== undefined) return known
    const refusal = new OciError('TOOMANYREQUESTS', {
      message: this.#message,
      detail: { limit: this.#limit },
      headers: [['Retry-After', String(seconds)]],
    })
    if (this.#bySeconds.size >= keptMax) this.#bySeconds.clear()
    this.#bySeconds.set(seconds, refusal)
    return refusal
  }
}

// Whether what a client has proved in its handshake still holds while its connection goes on.

import type { X509Certificate } from 'node:crypto'
import type { ClientAuthMaterial } from '../../tls/contract.ts'
import { isPassing } from './tls-front.ts'

// How late the end of a revocation list, or of a certificate above the client's own, may be noticed.
const recheckMs = 60_000

/** Asked before each request; costs a comparison, and once a minute a look at the chain. */
export class Standing {
  readonly #x509: X509Certificate
  readonly #notAfterMs: number
  readonly #clientAuth: () => ClientAuthMaterial | undefined
  #untilMs: number

  /** `clientAuth`: whom to trust at the time. Units: ms since the epoch. */
  constructor(
    x509: X509Certificate,
    notAfterMs: number,
    clientAuth: () => ClientAuthMaterial | undefined,
  ) {
    this.#x509 = x509
    this.#notAfterMs = notAfterMs
    this.#clientAuth = clientAuth
    this.#untilMs = this.#next(Date.now())
  }

  holds(): boolean {
    const nowMs = Date.now()
    if (nowMs <= this.#untilMs) return true
    const clientAuth = this.#clientAuth()
    // Those whom a change of CAs or lists touches are cut with that change: the proof is of this set.
    if (nowMs > this.#notAfterMs || !isPassing(this.#x509, clientAuth, clientAuth)) return false
    this.#untilMs = this.#next(nowMs)
    return true
  }

  #next(nowMs: number): number {
    return Math.min(this.#notAfterMs, nowMs + recheckMs)
  }
}

// Looks again at client certificates that a handshake let in some time ago: in resumed sessions, which
// OpenSSL takes without a look, and on connections that were open when CAs or lists changed.
import { X509Certificate } from 'node:crypto'
import { readCertificate } from './certificate-fields.ts'
import { isIssuedBy, isoTime, isSelfSigned } from './certificates.ts'
import type { ClientAuthMaterial } from './contract.ts'

/** While all certificates of a chain and the lists of their issuers hold. */
interface Span {
  readonly fromMs: number
  readonly untilMs: number
}

// Roots, two intermediates and the leaf are usual; OpenSSL's own bound is 100.
const depthMax = 8
const clientsMax = 8192
const bundlesMax = 1024

/** What is worked out once for one bundle: nothing in it changes with time. */
class Verifier {
  readonly #clientAuth: ClientAuthMaterial
  readonly #authorities: readonly X509Certificate[]
  readonly #verified = new Map<string, Span>()

  constructor(clientAuth: ClientAuthMaterial) {
    this.#clientAuth = clientAuth
    this.#authorities = splitBundle(clientAuth.caBundle)
  }

  refusal(leaf: X509Certificate, nowMs: number, isProven: boolean): string | undefined {
    const key = leaf.fingerprint256
    const known = this.#verified.get(key)
    if (known !== undefined && known.fromMs <= nowMs && nowMs <= known.untilMs) return undefined
    const chain = this.#chain(leaf, nowMs, 0)
    if (typeof chain === 'object') {
      if (this.#verified.size >= clientsMax) this.#verified.clear()
      this.#verified.set(key, chain)
      return undefined
    }
    return chain === unknownIssuer && isProven ? undefined : chain
  }

  /** The span of a way up to a root of the bundle, or why there is none. */
  #chain(subject: X509Certificate, nowMs: number, depth: number): Span | string {
    const span = this.#own(subject, nowMs)
    if (typeof span === 'string') return span
    if (this.#authorities.some((each) => each.raw.equals(subject.raw)) && isSelfSigned(subject)) {
      return span
    }
    if (depth >= depthMax) return 'its chain is too long'
    let refusal: string = unknownIssuer
    for (const issuer of this.#issuers(subject)) {
      const above = this.#chain(issuer, nowMs, depth + 1)
      if (typeof above === 'object') return overlap(span, above)
      // The leaf's own issuer decides whether the chain is unknown or known and bad.
      refusal = above === unknownIssuer && depth === 0 ? untrustedIssuer : above
    }
    return refusal
  }

  #issuers(subject: X509Certificate): readonly X509Certificate[] {
    const sent = subject.issuerCertificate
    // What a client sends must say that it is a CA; those of the bundle were checked.
    const candidates = sent?.ca ? [...this.#authorities, sent] : this.#authorities
    return candidates.filter((each) => !each.raw.equals(subject.raw) && isIssuedBy(subject, each))
  }

  /** One certificate by itself. */
  #own(x509: X509Certificate, nowMs: number): Span | string {
    const { revocations } = this.#clientAuth
    const { issuerDer, serial, notBeforeMs, notAfterMs } = readCertificate(x509.raw)
    if (nowMs < notBeforeMs) return `not valid before ${isoTime(notBeforeMs)}`
    if (nowMs > notAfterMs) return `expired at ${isoTime(notAfterMs)}`
    if (revocations.isRevoked(issuerDer, serial)) return 'revoked'
    const listEndMs = revocations.nextUpdateMs?.(issuerDer) ?? Number.POSITIVE_INFINITY
    // A handshake would be refused by OpenSSL now.
    if (nowMs > listEndMs) return `the revocation list of its issuer ended at ${isoTime(listEndMs)}`
    return { fromMs: notBeforeMs, untilMs: Math.min(notAfterMs, listEndMs) }
  }
}

const unknownIssuer = 'its issuer is not known here'
const untrustedIssuer = 'its issuer leads to no CA that is trusted'
const verifiers = new WeakMap<ClientAuthMaterial, Verifier>()

/**
 * Why a client's certificate is not good any more, or undefined where it is: its time, revocation,
 * and a chain to a root of the bundle, each certificate of it in its time and not revoked. Purpose and
 * name constraints were checked at the handshake.
 *
 * Intermediates that the client sent are at hand after a full handshake only
 * (`x509.issuerCertificate`). A resumed session lacks them: `provenBy` is the material whose ticket
 * keys it resumed with. Where its CAs and lists are those of `clientAuth`, the full handshake has
 * verified the same chain against the same bundle, and that stands; only the end of such an
 * intermediate goes unseen, for one session timeout at most. Otherwise it is refused, and the client
 * comes back with a full handshake.
 * Units: ms since the epoch. Limits: chains of 8 issuers.
 */
export function certificateRefusal(
  x509: X509Certificate,
  clientAuth: ClientAuthMaterial,
  nowMs: number,
  provenBy?: ClientAuthMaterial,
): string | undefined {
  let verifier = verifiers.get(clientAuth)
  if (verifier === undefined) {
    verifier = new Verifier(clientAuth)
    verifiers.set(clientAuth, verifier)
  }
  try {
    return verifier.refusal(x509, nowMs, provenBy !== undefined && isSame(provenBy, clientAuth))
  } catch {
    return 'it cannot be read'
  }
}

function isSame(one: ClientAuthMaterial, other: ClientAuthMaterial): boolean {
  if (one === other) return true
  const crls = (material: ClientAuthMaterial): string => material.crls.join('')
  return one.caBundle === other.caBundle && crls(one) === crls(other)
}

function overlap(one: Span, other: Span): Span {
  return {
    fromMs: Math.max(one.fromMs, other.fromMs),
    untilMs: Math.min(one.untilMs, other.untilMs),
  }
}

function splitBundle(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN [^-]*CERTIFICATE-----[^-]*-----END [^-]*CERTIFICATE-----/g)
  return (blocks ?? []).slice(0, bundlesMax).map((block) => new X509Certificate(block))
}

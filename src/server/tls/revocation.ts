// Reads revocation lists, whose signatures were checked elsewhere, and answers who is on them.
// Source: RFC 5280 §5.
import { readExtensions } from './certificate-fields.ts'
import type { RevocationList } from './contract.ts'
import { DerError, DerReader, derInteger, derTags, derTime } from './der.ts'
import { canonicalName } from './distinguished-name.ts'
import { readSigned, type Signed } from './signature.ts'

/** One list. */
export interface Crl {
  readonly issuerDer: Buffer
  /** Equal for all spellings of one name. */
  readonly issuer: string
  readonly thisUpdateMs: number
  readonly nextUpdateMs: number
  /** In the form of `ClientCertificate`. */
  readonly serials: ReadonlySet<string>
  readonly signed: Signed
}

const issuingPoint = '551d1c'
const deltaIndicator = '551d1b'

/** Errors: DerError, also for lists that say only a part of what is revoked. */
export function readCrl(der: Uint8Array): Crl {
  const { signed } = readSigned(der)
  const body = new DerReader(signed.body).enter(derTags.sequence)
  body.optional(derTags.integer)
  body.next(derTags.sequence)
  const issuerDer = body.next(derTags.sequence).whole
  const thisUpdateMs = derTime(body.next())
  const hasNextUpdate = body.tag === derTags.utcTime || body.tag === derTags.generalizedTime
  // A list that never ends could be withheld for ever.
  if (!hasNextUpdate) throw new DerError('the list has no nextUpdate')
  const nextUpdateMs = derTime(body.next())
  const entries = body.optional(derTags.sequence)
  const extensions = body.optional(0xa0)
  for (const { type, isCritical, value } of readExtensions(extensions)) {
    if (type === deltaIndicator) throw new DerError('delta lists are not supported')
    if (type === issuingPoint) checkIssuingPoint(value)
    else if (isCritical) throw new DerError('the list has a critical extension that is unknown')
  }
  const serials = readSerials(entries?.content)
  return {
    issuerDer,
    issuer: canonicalName(issuerDer),
    thisUpdateMs,
    nextUpdateMs,
    serials,
    signed,
  }
}

/** Source: RFC 5280 §5.2.5: [3] onlySomeReasons, [4] indirectCRL, [5] onlyContainsAttributeCerts. */
function checkIssuingPoint(value: Buffer): void {
  const parts = new DerReader(value).enter(derTags.sequence)
  while (!parts.isAtEnd) {
    const { tag } = parts.next()
    if (tag === 0x83 || tag === 0x84 || tag === 0x85) {
      throw new DerError('the list is indirect, or leaves certificates out')
    }
  }
}

function readSerials(entries: Buffer | undefined): ReadonlySet<string> {
  const serials = new Set<string>()
  if (entries === undefined) return serials
  const list = new DerReader(entries)
  while (!list.isAtEnd) {
    serials.add(derInteger(list.enter(derTags.sequence).next(derTags.integer).content))
  }
  return serials
}

// Few authorities issue all of a server's clients; a name that is new is read anew.
const namesMax = 64

/** Asks every list of an issuer: what one of them names is revoked. */
export class Revocations implements RevocationList {
  readonly #byIssuer = new Map<string, Crl[]>()
  readonly #names = new Map<string, string>()

  constructor(lists: readonly Crl[]) {
    for (const list of lists) {
      this.#byIssuer.set(list.issuer, [...(this.#byIssuer.get(list.issuer) ?? []), list])
    }
  }

  isRevoked(issuerDer: Uint8Array, serial: string): boolean {
    return this.#listsOf(issuerDer).some(({ serials }) => serials.has(serial))
  }

  /** The latest, as OpenSSL would take. */
  nextUpdateMs(issuerDer: Uint8Array): number | undefined {
    const dates = this.#listsOf(issuerDer).map((list) => list.nextUpdateMs)
    return dates.length === 0 ? undefined : Math.max(...dates)
  }

  #listsOf(issuerDer: Uint8Array): readonly Crl[] {
    if (this.#byIssuer.size === 0) return []
    const key = Buffer.from(issuerDer).toString('latin1')
    let name = this.#names.get(key)
    if (name === undefined) {
      name = canonicalName(issuerDer)
      if (this.#names.size >= namesMax) this.#names.clear()
      this.#names.set(key, name)
    }
    return this.#byIssuer.get(name) ?? []
  }
}

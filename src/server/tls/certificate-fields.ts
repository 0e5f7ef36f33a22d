// Reads what node:crypto does not tell of a certificate, or tells as text that can be spoofed.
import { type DerElement, DerReader, derBits, derInteger, derTags, derTime } from './der.ts'

/** Content of the object identifiers, in hexadecimal. Source: RFC 5280 §4.2.1. */
export const extensionTypes = {
  subjectAltName: '551d11',
  extendedKeyUsage: '551d25',
} as const

/** Source: RFC 5280 §4.1. */
export interface CertificateFields {
  /** In the form of `ClientCertificate`. */
  readonly serial: string
  readonly issuerDer: Buffer
  readonly subjectDer: Buffer
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** The public key without its algorithm, as OCSP hashes it. */
  readonly publicKeyBits: Buffer
  /** Content of each extension's value, by its type. */
  readonly extensions: ReadonlyMap<string, Buffer>
}

/** A subject alternative name's tag number. Source: RFC 5280 §4.2.1.6. */
const nameTags = { email: 0x81, dns: 0x82, uri: 0x86, ip: 0x87 } as const

/** Subject alternative names, as they stand. */
export interface AltNames {
  readonly dns: readonly string[]
  readonly uri: readonly string[]
  readonly email: readonly string[]
  /** Four or sixteen bytes each. */
  readonly ip: readonly Buffer[]
}

/** Errors: DerError. */
export function readCertificate(der: Uint8Array): CertificateFields {
  const body = new DerReader(der).enter(derTags.sequence).enter(derTags.sequence)
  body.optional(0xa0)
  const serial = derInteger(body.next(derTags.integer).content)
  body.next(derTags.sequence)
  const issuerDer = body.next(derTags.sequence).whole
  const validity = body.enter(derTags.sequence)
  const notBeforeMs = derTime(validity.next())
  const notAfterMs = derTime(validity.next())
  const subjectDer = body.next(derTags.sequence).whole
  const key = body.enter(derTags.sequence)
  key.next(derTags.sequence)
  const publicKeyBits = derBits(key.next(derTags.bitString).content)
  body.optional(0xa1)
  body.optional(0xa2)
  const extensions = readExtensions(body.optional(0xa3))
  return {
    serial,
    issuerDer,
    subjectDer,
    notBeforeMs,
    notAfterMs,
    publicKeyBits,
    extensions: new Map(extensions.map(({ type, value }) => [type, value])),
  }
}

export interface Extension {
  /** Content of its object identifier, in hexadecimal. */
  readonly type: string
  readonly isCritical: boolean
  readonly value: Buffer
}

/** The extensions in an explicit tag, of certificates and lists alike. Errors: DerError. */
export function readExtensions(tagged: DerElement | undefined): readonly Extension[] {
  if (tagged === undefined) return []
  const list = new DerReader(tagged.content).enter(derTags.sequence)
  const found: Extension[] = []
  while (!list.isAtEnd) {
    const extension = list.enter(derTags.sequence)
    const type = extension.next(derTags.oid).content.toString('hex')
    const critical = extension.optional(derTags.boolean)
    const value = extension.next(derTags.octetString).content
    found.push({ type, isCritical: critical !== undefined && critical.content[0] !== 0, value })
  }
  return found
}

/** Errors: DerError. */
export function readAltNames(fields: CertificateFields): AltNames {
  const dns: string[] = []
  const uri: string[] = []
  const email: string[] = []
  const ip: Buffer[] = []
  const value = fields.extensions.get(extensionTypes.subjectAltName)
  if (value === undefined) return { dns, uri, email, ip }
  const names = new DerReader(value).enter(derTags.sequence)
  while (!names.isAtEnd) {
    const { tag, content } = names.next()
    if (tag === nameTags.dns) dns.push(content.toString('latin1'))
    if (tag === nameTags.uri) uri.push(content.toString('latin1'))
    if (tag === nameTags.email) email.push(content.toString('latin1'))
    if (tag === nameTags.ip) ip.push(content)
  }
  return { dns, uri, email, ip }
}

/** The purposes of a certificate, by object identifier in hexadecimal; undefined where it may serve all. */
export function readPurposes(fields: CertificateFields): readonly string[] | undefined {
  const value = fields.extensions.get(extensionTypes.extendedKeyUsage)
  if (value === undefined) return undefined
  const list = new DerReader(value).enter(derTags.sequence)
  const found: string[] = []
  while (!list.isAtEnd) found.push(list.next(derTags.oid).content.toString('hex'))
  return found
}

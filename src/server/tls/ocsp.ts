// Checks an OCSP response before it is stapled: a bad one makes clients refuse the server.
// Source: RFC 6960 §4.2.1.
import { createHash, X509Certificate } from 'node:crypto'
import { readCertificate, readPurposes } from './certificate-fields.ts'
import {
  type BundleCertificate,
  isIssuedBy,
  isoTime,
  parsingFile,
  timeRefusal,
} from './certificates.ts'
import { DerError, DerReader, derInteger, derTags, derTime } from './der.ts'
import { isSignedBy, readSigned } from './signature.ts'
import { TlsFileError } from './tls-files.ts'

/** When a response holds; without an end where the responder gave none. */
export interface OcspValidity {
  readonly thisUpdateMs: number
  readonly nextUpdateMs: number | undefined
}

interface SingleResponse extends OcspValidity {
  readonly hash: string
  readonly issuerNameHash: Buffer
  readonly issuerKeyHash: Buffer
  readonly serial: string
  readonly status: 'good' | 'revoked' | 'unknown'
}

const basicResponse = '2b0601050507300101'
const ocspSigning = '2b06010505070309'
const hashes: Readonly<Record<string, string | undefined>> = {
  '2b0e03021a': 'sha1',
  '608648016503040201': 'sha256',
  '608648016503040202': 'sha384',
  '608648016503040203': 'sha512',
}
const statuses: Readonly<Record<number, 'good' | 'revoked' | 'unknown' | undefined>> = {
  128: 'good',
  161: 'revoked',
  130: 'unknown',
}

/**
 * Check a response for the first certificate of a chain. Its signature is checked where the chain
 * holds the issuer. Errors: TlsFileError.
 */
export function checkOcspResponse(
  path: string,
  der: Buffer,
  chain: readonly [leaf: BundleCertificate, ...issuers: BundleCertificate[]],
  nowMs: number,
): OcspValidity {
  const remedy = 'fetch a new response from the CA, or take server.tls.ocsp_response out'
  const [leaf, issuer] = chain
  const { signed, rest } = parsingFile(path, remedy, () => readSigned(basicPart(der)))
  const responses = parsingFile(path, remedy, () => readResponses(signed.body))
  const found = responses.find((response) => isFor(response, leaf, issuer))
  const refuse = (reason: string): TlsFileError => new TlsFileError(path, reason, remedy)
  if (found === undefined) throw refuse(`it is not for ${leaf.label}`)
  if (found.status !== 'good') throw refuse(`it says that ${leaf.label} is ${found.status}`)
  if (nowMs < found.thisUpdateMs) throw refuse(`it holds from ${isoTime(found.thisUpdateMs)}`)
  if (found.nextUpdateMs !== undefined && nowMs > found.nextUpdateMs) {
    throw refuse(`it ended at ${isoTime(found.nextUpdateMs)}`)
  }
  if (issuer !== undefined) {
    const signers = [
      issuer.x509,
      ...parsingFile(path, remedy, () => delegates(rest, issuer, nowMs)),
    ]
    if (!signers.some((signer) => isSignedBy(signed, signer.publicKey))) {
      throw refuse(`its signature is not by ${issuer.label}`)
    }
  }
  return found
}

function basicPart(der: Buffer): Buffer {
  const outer = new DerReader(der).enter(derTags.sequence)
  const status = derInteger(outer.next(derTags.enumerated).content)
  if (status !== '0') throw new DerError(`the responder answered with the error ${status}`)
  const bytes = outer.enter(0xa0).enter(derTags.sequence)
  const type = bytes.next(derTags.oid).content.toString('hex')
  if (type !== basicResponse) throw new DerError('a response of an unknown type')
  return bytes.next(derTags.octetString).content
}

function readResponses(body: Buffer): readonly SingleResponse[] {
  const data = new DerReader(body).enter(derTags.sequence)
  data.optional(0xa0)
  // The responder's name or key, and when it answered.
  data.next()
  data.next(derTags.generalizedTime)
  const list = data.enter(derTags.sequence)
  const found: SingleResponse[] = []
  while (!list.isAtEnd) found.push(readResponse(list.enter(derTags.sequence)))
  return found
}

function readResponse(response: DerReader): SingleResponse {
  const id = response.enter(derTags.sequence)
  const hash = id.enter(derTags.sequence).next(derTags.oid).content.toString('hex')
  const issuerNameHash = id.next(derTags.octetString).content
  const issuerKeyHash = id.next(derTags.octetString).content
  const serial = derInteger(id.next(derTags.integer).content)
  const status = statuses[response.next().tag]
  if (status === undefined) throw new DerError('an unknown status')
  const thisUpdateMs = derTime(response.next(derTags.generalizedTime))
  const next = response.optional(0xa0)
  const nextUpdateMs = next && derTime(new DerReader(next.content).next(derTags.generalizedTime))
  return { hash, issuerNameHash, issuerKeyHash, serial, status, thisUpdateMs, nextUpdateMs }
}

function isFor(
  { hash, issuerNameHash, issuerKeyHash, serial }: SingleResponse,
  leaf: BundleCertificate,
  issuer: BundleCertificate | undefined,
): boolean {
  const algorithm = hashes[hash]
  if (algorithm === undefined || serial !== leaf.fields.serial) return false
  const digest = (bytes: Buffer): Buffer => createHash(algorithm).update(bytes).digest()
  if (!digest(leaf.fields.issuerDer).equals(issuerNameHash)) return false
  return issuer === undefined || digest(issuer.fields.publicKeyBits).equals(issuerKeyHash)
}

/** Certificates of the response that the issuer made for its responders. Source: RFC 6960 §4.2.2.2. */
function delegates(
  rest: DerReader,
  issuer: BundleCertificate,
  nowMs: number,
): readonly X509Certificate[] {
  const tagged = rest.optional(0xa0)
  if (tagged === undefined) return []
  const list = new DerReader(tagged.content).enter(derTags.sequence)
  const found: X509Certificate[] = []
  while (!list.isAtEnd) {
    const der = list.next(derTags.sequence).whole
    const fields = readCertificate(der)
    const mayRespond = readPurposes(fields)?.includes(ocspSigning) ?? false
    const x509 = new X509Certificate(der)
    const isTrusted = mayRespond && isIssuedBy(x509, issuer.x509)
    if (isTrusted && timeRefusal(fields, nowMs) === undefined) found.push(x509)
  }
  return found
}

// Verifies signatures of lists and responses whose signed part is at hand.
import { constants, type KeyObject, verify } from 'node:crypto'
import { DerReader, derBits, derTags } from './der.ts'

/** A signed structure: what was signed, how, and the signature. Source: RFC 5280 §5.1.1. */
export interface Signed {
  readonly body: Buffer
  readonly algorithm: Buffer
  readonly signature: Buffer
}

/** Content of object identifiers, in hexadecimal. SHA-1 is not among them: it can be forged. */
const algorithms: Readonly<Record<string, string | undefined>> = {
  // sha256, sha384, sha512WithRSAEncryption
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  // ecdsa-with-SHA256, 384, 512
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
}
const edwards = ['2b6570', '2b6571']
const rsaPss = '2a864886f70d01010a'
const hashes: Readonly<Record<string, string | undefined>> = {
  '608648016503040201': 'sha256',
  '608648016503040202': 'sha384',
  '608648016503040203': 'sha512',
}

/** Read the outer form that lists and OCSP responses share. Errors: DerError. */
export function readSigned(der: Uint8Array): { readonly signed: Signed; readonly rest: DerReader } {
  const outer = new DerReader(der).enter(derTags.sequence)
  const body = outer.next(derTags.sequence).whole
  const algorithm = outer.next(derTags.sequence).content
  const signature = derBits(outer.next(derTags.bitString).content)
  return { signed: { body, algorithm, signature }, rest: outer }
}

/** False also where the algorithm is unknown or does not suit the key. Errors: DerError. */
export function isSignedBy({ body, algorithm, signature }: Signed, key: KeyObject): boolean {
  const reader = new DerReader(algorithm)
  const type = reader.next(derTags.oid).content.toString('hex')
  try {
    if (edwards.includes(type)) return verify(null, body, key, signature)
    if (type === rsaPss) return isSignedByPss(reader, { body, algorithm, signature }, key)
    const hash = algorithms[type]
    return hash !== undefined && verify(hash, body, key, signature)
  } catch {
    // OpenSSL's own words for a key of another kind.
    return false
  }
}

/** Source: RFC 4055 §3.1. */
function isSignedByPss(parameters: DerReader, signed: Signed, key: KeyObject): boolean {
  const hashAlgorithm = parameters.enter(derTags.sequence).optional(0xa0)
  // Absent stands for SHA-1.
  if (hashAlgorithm === undefined) return false
  const type = new DerReader(hashAlgorithm.content).enter(derTags.sequence).next(derTags.oid)
  const hash = hashes[type.content.toString('hex')]
  if (hash === undefined) return false
  const padding = constants.RSA_PKCS1_PSS_PADDING
  const saltLength = constants.RSA_PSS_SALTLEN_AUTO
  return verify(hash, signed.body, { key, padding, saltLength }, signed.signature)
}

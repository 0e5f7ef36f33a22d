// Checks whom the server trusts to name clients: the CA bundle and its revocation lists.
import type { BundleCertificate } from './certificates.ts'
import {
  isIssuedBy,
  isoTime,
  isSelfSigned,
  parseBundle,
  parsingFile,
  timeRefusal,
} from './certificates.ts'
import type { ClientAuthMaterial } from './contract.ts'
import { canonicalName, printName } from './distinguished-name.ts'
import { pemBlocks } from './pem.ts'
import { type Crl, Revocations, readCrl } from './revocation.ts'
import { isSignedBy } from './signature.ts'
import { TlsFileError } from './tls-files.ts'

interface FileContent {
  readonly path: string
  readonly content: Buffer
}

/** One list and where it stands. */
export interface CrlOfFile {
  readonly path: string
  readonly crl: Crl
}

export interface ClientAuthorities {
  readonly material: ClientAuthMaterial
  readonly crls: readonly CrlOfFile[]
  readonly warnings: readonly string[]
}

/** Errors: TlsFileError. */
export function checkClientAuthorities(
  mode: 'optional' | 'required',
  bundle: FileContent,
  crlFiles: readonly FileContent[],
  nowMs: number,
): ClientAuthorities {
  const authorities = parseBundle(bundle.path, bundle.content)
  checkAuthorities(bundle.path, authorities)
  const lists = crlFiles.flatMap((file) => readList(file, bundle.path, authorities, nowMs))
  if (lists.length > 0) checkCoverage(bundle.path, authorities, lists)
  const crls = lists.map(({ path, crl }) => ({ path, crl }))
  return {
    material: {
      mode,
      caBundle: authorities.map(({ pem }) => pem).join(''),
      crls: lists.map(({ pem }) => pem),
      revocations: new Revocations(crls.map(({ crl }) => crl)),
    },
    crls,
    warnings: expiredAuthorities(bundle.path, authorities, nowMs),
  }
}

/** Every one a CA, and for every one the way up to a root. */
function checkAuthorities(path: string, authorities: readonly BundleCertificate[]): void {
  for (const { x509, label } of authorities) {
    if (!x509.ca) {
      const remedy = 'leave only the certificates of client CAs in it'
      throw new TlsFileError(path, `${label} is no CA`, remedy)
    }
    // OpenSSL builds every chain up to a root: without it all clients of this CA would be refused.
    if (isSelfSigned(x509) || authorities.some((each) => isIssuedBy(x509, each.x509))) continue
    throw new TlsFileError(
      path,
      `the issuer of ${label} is missing`,
      'add the issuer, up to the root',
    )
  }
}

/** One that is past keeps no other from being used: it is told, and OpenSSL refuses its clients. */
function expiredAuthorities(
  path: string,
  authorities: readonly BundleCertificate[],
  nowMs: number,
): readonly string[] {
  const refused = authorities.flatMap(({ fields, label }) => {
    const refusal = timeRefusal(fields, nowMs)
    return refusal === undefined ? [] : [`${path}: ${label} is ${refusal}: its clients are refused`]
  })
  if (refused.length < authorities.length) return refused
  throw new TlsFileError(path, 'no CA in it is valid now', 'renew the CAs, and check the clock')
}

interface ReadList extends CrlOfFile {
  readonly pem: string
}

function readList(
  { path, content }: FileContent,
  bundlePath: string,
  authorities: readonly BundleCertificate[],
  nowMs: number,
): readonly ReadList[] {
  const remedy = 'fetch the list again from its CA'
  const ders = crlDers(path, content)
  if (ders.length === 0) throw new TlsFileError(path, 'it holds no revocation list', remedy)
  return ders.map((der) => {
    const crl = parsingFile(path, remedy, () => readCrl(der))
    const issuer = printName(crl.issuerDer)
    const named = authorities.filter(
      ({ fields }) => canonicalName(fields.subjectDer) === crl.issuer,
    )
    if (named.length === 0) {
      const reason = `its issuer ${issuer} is not among the CAs of ${bundlePath}`
      throw new TlsFileError(path, reason, 'add that CA to the bundle, or take the list out')
    }
    if (!named.some(({ x509 }) => isSignedBy(crl.signed, x509.publicKey))) {
      const reason = `its signature is not by ${issuer} of ${bundlePath}, or uses SHA-1`
      throw new TlsFileError(path, reason, remedy)
    }
    if (nowMs < crl.thisUpdateMs) {
      const reason = `the list of ${issuer} begins to hold at ${isoTime(crl.thisUpdateMs)}`
      throw new TlsFileError(path, reason, 'check the clock')
    }
    if (nowMs > crl.nextUpdateMs) {
      const reason = `the list of ${issuer} ended at ${isoTime(crl.nextUpdateMs)}`
      throw new TlsFileError(path, reason, remedy)
    }
    return { path, crl, pem: crlPem(der) }
  })
}

function crlDers(path: string, content: Buffer): readonly Buffer[] {
  // DER begins with the tag of a sequence, which no text does in its first line.
  if (content[0] === 0x30 && !content.subarray(0, 1024).includes('-----BEGIN')) return [content]
  return pemBlocks(path, content.toString('latin1'))
    .filter(({ label }) => label === 'X509 CRL')
    .map(({ text }) => Buffer.from(text.split('\n').slice(1, -2).join(''), 'base64'))
}

function crlPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN X509 CRL-----\n${lines.join('\n')}\n-----END X509 CRL-----\n`
}

/** With one list in use, OpenSSL refuses every client of a CA that has none. */
function checkCoverage(
  path: string,
  authorities: readonly BundleCertificate[],
  lists: readonly CrlOfFile[],
): void {
  for (const { x509, fields, label } of authorities) {
    const name = canonicalName(fields.subjectDer)
    const own = lists.filter(({ crl }) => crl.issuer === name)
    if (own.some(({ crl }) => isSignedBy(crl.signed, x509.publicKey))) continue
    const remedy = 'add its list to server.tls.client_crls, or take the CA out of the bundle'
    const reason = `${label} has no revocation list though others have: its clients would be refused`
    throw new TlsFileError(path, reason, remedy)
  }
}

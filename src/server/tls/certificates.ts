// Parses the certificates of a bundle, and says in messages which of them is meant.
import { X509Certificate } from 'node:crypto'
import { type CertificateFields, readCertificate } from './certificate-fields.ts'
import { DerError } from './der.ts'
import { printName } from './distinguished-name.ts'
import { pemBlocks } from './pem.ts'
import { TlsFileError } from './tls-files.ts'

/** One certificate of a bundle. */
export interface BundleCertificate {
  readonly x509: X509Certificate
  readonly fields: CertificateFields
  readonly pem: string
  /** For messages: `certificate 2 ("CN=a")`. */
  readonly label: string
}

/** The certificates of a file in their order, at least one. Errors: TlsFileError. */
export function parseBundle(path: string, content: Buffer): readonly BundleCertificate[] {
  const blocks = pemBlocks(path, content.toString('latin1')).filter(({ label }) =>
    label.endsWith('CERTIFICATE'),
  )
  if (blocks.length === 0) {
    throw new TlsFileError(path, 'it holds no certificate', 'put PEM certificates into it')
  }
  return blocks.map(({ text }, index) => {
    try {
      const x509 = new X509Certificate(text)
      const fields = readCertificate(x509.raw)
      const label = `certificate ${index + 1} (${printName(fields.subjectDer)})`
      return { x509, fields, pem: text, label }
    } catch {
      const reason = `certificate ${index + 1} cannot be parsed`
      throw new TlsFileError(path, reason, 'write the file again from its source')
    }
  })
}

/** Whether `issuer` has the name that `subject` says and the key that signed it. */
export function isIssuedBy(subject: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return subject.checkIssued(issuer) && subject.verify(issuer.publicKey)
  } catch {
    return false
  }
}

export function isSelfSigned(x509: X509Certificate): boolean {
  return isIssuedBy(x509, x509)
}

/** Why a certificate does not hold at this time; undefined where it does. */
export function timeRefusal(fields: CertificateFields, nowMs: number): string | undefined {
  if (nowMs < fields.notBeforeMs) return `not valid before ${isoTime(fields.notBeforeMs)}`
  if (nowMs > fields.notAfterMs) return `expired at ${isoTime(fields.notAfterMs)}`
  return undefined
}

/** Units: seconds, in UTC. */
export function isoTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}

/** Read a file's DER; whatever is wrong with it becomes a TlsFileError. */
export function parsingFile<T>(path: string, remedy: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof DerError)) throw error
    throw new TlsFileError(path, `it cannot be parsed: ${error.message}`, remedy)
  }
}

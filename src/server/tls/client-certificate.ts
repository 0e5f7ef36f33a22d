// Makes the product's view of a client certificate, from its DER alone.
import type { X509Certificate } from 'node:crypto'
import { createHash } from 'node:crypto'
import type { ClientCertificate } from '../../http/client-certificate.ts'
import { readAltNames, readCertificate } from './certificate-fields.ts'
import { nameTypes, readName } from './distinguished-name.ts'

// A rule may say what a certificate must not name: a list that was cut would let it through.
const entriesMax = 256

/**
 * What a certificate says. Nothing is taken from text that node:crypto prints.
 * Limits: 256 entries of each kind. Errors: DerError, or an Error beyond the limit; its connection
 * must be closed.
 */
export function clientCertificate(x509: X509Certificate): ClientCertificate {
  const der = x509.raw
  const fields = readCertificate(der)
  const subject = readName(fields.subjectDer).flat()
  const valuesOf = (type: string): readonly string[] =>
    bounded(
      subject.flatMap((part) =>
        part.type === type && part.value !== undefined ? [part.value] : [],
      ),
    )
  const { dns, uri, email } = readAltNames(fields)
  return {
    commonNames: valuesOf(nameTypes.commonName),
    organizations: valuesOf(nameTypes.organization),
    sans: { dns: bounded(dns), uri: bounded(uri), email: bounded(email) },
    serial: fields.serial,
    fingerprintSha256: createHash('sha256').update(der).digest('hex'),
    notAfterMs: fields.notAfterMs,
  }
}

function bounded(entries: readonly string[]): readonly string[] {
  if (entries.length > entriesMax) throw new Error(`a certificate with ${entries.length} names`)
  return entries
}

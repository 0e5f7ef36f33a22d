// What the keys of `clientFiles` mean together, whichever service they are for.
import type { CheckedTables } from './checked-tables.ts'

interface ClientFiles {
  readonly clientCertificate: string | undefined
  readonly clientPrivateKey: string | undefined
}

/** Errors: refuses a certificate without its key, and a key without its certificate. */
export function refuseHalfPair(
  tables: CheckedTables,
  table: string,
  { clientCertificate, clientPrivateKey }: ClientFiles,
): void {
  if ((clientCertificate === undefined) === (clientPrivateKey === undefined)) return
  tables.refuse(table, undefined, 'expected both client_certificate and client_private_key')
}

// Answers for the place that the document "Configure mTLS" describes: its three files, and a client's,
// made by real authorities.
import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Certificate } from '../support/pki.ts'
import type { PkiScene } from '../support/tls-server.ts'

export interface MtlsFiles {
  /** Stands for `/tls`. */
  readonly tls: string
  /** Where the commands are typed. */
  readonly work: string
}

/** Lay the files out under the names that the document gives them. */
export async function layOut({ dir, pki }: PkiScene, client: Certificate): Promise<MtlsFiles> {
  const files = { tls: join(dir, 'tls'), work: join(dir, 'work') }
  const { tls, work } = files
  await mkdir(tls)
  await mkdir(work)
  const sans = ['DNS:registry.example.com', 'DNS:localhost', 'IP:127.0.0.1']
  const server = await pki.serverCa.serverCertificate({ sans })
  const copies: readonly (readonly [string, string])[] = [
    [server.bundleFile, join(tls, 'server-certificate.pem')],
    [server.keyFile, join(tls, 'server-private-key.pem')],
    [pki.clientCa.certificateFile, join(tls, 'client-ca-bundle.pem')],
    [client.bundleFile, join(work, 'client.pem')],
    [client.keyFile, join(work, 'client-key.pem')],
    [pki.serverCa.certificateFile, join(work, 'ca.pem')],
    [client.bundleFile, join(work, 'client-certificate.pem')],
    [client.keyFile, join(work, 'client-private-key.pem')],
    [pki.serverCa.certificateFile, join(work, 'ca-certificate.pem')],
  ]
  for (const [from, to] of copies) await copyFile(from, to)
  return files
}

/** What the document leaves out: a store. */
export function storeIn(folder: string): string {
  return `[blob_store.fs]\nroot_dir = ${JSON.stringify(folder)}\n`
}

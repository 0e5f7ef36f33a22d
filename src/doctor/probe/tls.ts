// Loads the TLS files as the server does, and tells where their chain leads.
import { X509Certificate } from 'node:crypto'
import { rootCertificates } from 'node:tls'
import type { TlsConfig } from '../../config/schema.ts'
import { loadTls } from '../../server/tls/load.ts'
import { TicketSecrets } from '../../server/tls/ticket-keys.ts'
import { TlsFileError, tlsFilesOf } from '../../server/tls/tls-files.ts'
import type { ChainFacts, TlsFacts } from '../check/tls.ts'
import type { Host } from '../host.ts'
import { readKeyFile } from './files.ts'

/** `externalUrl`: by which clients reach the server. */
export async function readTls(
  host: Host,
  tls: TlsConfig,
  { now, externalUrl }: { readonly now: () => number; readonly externalUrl: string | undefined },
): Promise<TlsFacts> {
  const files = tlsFilesOf(tls)
  const { serverPrivateKey: file, serverCertificateBundle } = files
  const found = await readKeyFile(host, file)
  const known = {
    key: found && { file, ...found },
    hostname: externalUrl?.startsWith('https:') ? hostOf(externalUrl) : undefined,
  }
  try {
    const { terms, warnings, material } = await loadTls(files, now, new TicketSecrets())
    const { names, certificateBundle } = material
    const chain = chainOf(serverCertificateBundle, certificateBundle)
    return { nowMs: now(), fault: undefined, terms, warnings, names, chain, ...known }
  } catch (error) {
    if (!(error instanceof TlsFileError)) throw error
    const { reason, remedy } = error
    const fault = { file: error.file, reason, remedy }
    const nothing = { terms: [], warnings: [], names: [], chain: undefined }
    return { nowMs: now(), fault, ...nothing, ...known }
  }
}

function hostOf(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined
  return new URL(url).hostname.replace(/^\[(.*)\]$/, '$1')
}

const pem = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/** Undefined where the bundle holds no certificate. */
export function chainOf(file: string, bundle: string): ChainFacts | undefined {
  const blocks = bundle.match(pem) ?? []
  const written = blocks.at(-1)
  if (written === undefined) return undefined
  const last = new X509Certificate(written)
  const isPublic = rootCertificates.some((each) => {
    const root = new X509Certificate(each)
    if (root.fingerprint256 === last.fingerprint256) return true
    return root.subject === last.issuer && last.verify(root.publicKey)
  })
  const isOwn = last.subject === last.issuer
  return {
    ...{ file, length: blocks.length },
    end: isPublic ? 'public' : isOwn ? 'self' : 'unknown',
    issuer: last.issuer.replaceAll('\n', ', '),
  }
}

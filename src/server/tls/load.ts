// Reads one set of TLS files and checks all of it, so that a listener never meets a surprise.
import { createHash } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { type ClientAuthorities, checkClientAuthorities } from './client-authorities.ts'
import type { ClientAuthMaterial, TlsMaterial } from './contract.ts'
import { checkOcspResponse } from './ocsp.ts'
import { checkServerIdentity, type ServerIdentity } from './server-identity.ts'
import { deriveTicketKeys, readTicketSecret, TicketSecrets, ticketEpoch } from './ticket-keys.ts'
import { readTlsFile, TlsFileError, type TlsFiles } from './tls-files.ts'

// Whole names alone: a list in OpenSSL's language, such as ALL, could mean anything. Source: RFC 9325 §4.2.
const strongSuite =
  /^(?:ECDHE-(?:ECDSA|RSA)|DHE-RSA)-(?:AES(?:128-GCM-SHA256|256-GCM-SHA384)|CHACHA20-POLY1305)$/

/** Forward secrecy and authenticated encryption; AES-128 first, which is the fastest here. */
export const defaultCiphers: string = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

/** Something with an end. Units: ms since the epoch. */
export interface Term {
  readonly kind: 'certificate' | 'crl' | 'ocsp'
  readonly file: string
  readonly fromMs: number
  readonly untilMs: number
}

/** A checked set, and what its keeper wants to know of it. */
export interface LoadedTls {
  readonly material: TlsMaterial
  /** The server certificate's first. */
  readonly terms: readonly Term[]
  readonly warnings: readonly string[]
  /** Equal for equal files and settings. */
  readonly fingerprint: string
  /** The same set with the ticket keys of another time. */
  withKeysOf(epoch: number): TlsMaterial
}

/**
 * Read and check one set of files.
 * Errors: TlsFileError, which names the file, the reason and what to do.
 */
export async function loadTlsMaterial(files: TlsFiles, now: () => number): Promise<TlsMaterial> {
  const { material } = await loadTls(files, now, new TicketSecrets())
  return material
}

/** As `loadTlsMaterial`, with more to tell. `secrets` outlives a reload, and so do ticket keys. */
export async function loadTls(
  files: TlsFiles,
  now: () => number,
  secrets: TicketSecrets,
): Promise<LoadedTls> {
  const content = await readAll(files)
  const nowMs = now()
  const { certificates, key, ca, crls, ocsp, ticketSecret } = content
  const identity = checkServerIdentity(
    certificates,
    { ...key, passphrase: files.passphrase },
    nowMs,
  )
  const clients = ca && checkClientAuthorities(files.clientAuth, ca, crls, nowMs)
  const ocspTerm = ocsp && checkOcspResponse(ocsp.path, ocsp.content, identity.chain, nowMs)
  const clientAuth = clients?.material
  const keysOf = (epoch: number): Uint8Array =>
    deriveTicketKeys(secrets.secretFor(epoch, ticketSecret?.content), clientAuth, epoch)
  const base = settingsOf(files, identity, clientAuth, ocsp?.content)
  const epoch = ticketEpoch(files.sessionTimeoutSeconds, nowMs)
  const material = Object.freeze({ ...base, ticketKeys: keysOf(epoch) })
  checkWithOpenssl(files, material)
  return {
    material,
    terms: [
      ...certificateTerms(files, identity),
      ...crlTerms(clients),
      ...(ocsp === undefined || ocspTerm?.nextUpdateMs === undefined
        ? []
        : [
            {
              kind: 'ocsp' as const,
              file: ocsp.path,
              fromMs: ocspTerm.thisUpdateMs,
              untilMs: ocspTerm.nextUpdateMs,
            },
          ]),
    ],
    warnings: clients?.warnings ?? [],
    fingerprint: fingerprintOf(files, content),
    withKeysOf: (later) => Object.freeze({ ...base, ticketKeys: keysOf(later) }),
  }
}

function settingsOf(
  files: TlsFiles,
  { chain, privateKey, names }: ServerIdentity,
  clientAuth: ClientAuthMaterial | undefined,
  ocspResponse: Buffer | undefined,
): Omit<TlsMaterial, 'ticketKeys'> {
  const { minVersion, sessionTimeoutSeconds } = files
  return {
    certificateBundle: chain.map(({ pem }) => pem).join(''),
    privateKey,
    notAfterMs: chain[0].fields.notAfterMs,
    names,
    minVersion,
    ciphers: files.ciphers ?? defaultCiphers,
    clientAuth,
    sessionTimeoutSeconds,
    ocspResponse,
  }
}

/** The chain ends with the first of its certificates. */
function certificateTerms(files: TlsFiles, { chain }: ServerIdentity): readonly Term[] {
  const [leaf] = chain
  const untilMs = Math.min(...chain.map(({ fields }) => fields.notAfterMs))
  const fromMs = leaf.fields.notBeforeMs
  return [{ kind: 'certificate', file: files.serverCertificateBundle, fromMs, untilMs }]
}

function crlTerms(clients: ClientAuthorities | undefined): readonly Term[] {
  return (clients?.crls ?? []).map(({ path, crl }) => ({
    kind: 'crl',
    file: path,
    fromMs: crl.thisUpdateMs,
    untilMs: crl.nextUpdateMs,
  }))
}

/** What only OpenSSL knows: whether it has these suites, and takes keys this weak. */
function checkWithOpenssl(files: TlsFiles, material: TlsMaterial): void {
  const { certificateBundle: cert, privateKey: key, clientAuth, minVersion } = material
  const clients = clientAuth && { ca: clientAuth.caBundle, crl: [...clientAuth.crls] }
  try {
    createSecureContext({ cert, key, minVersion, ...clients })
  } catch (error) {
    const reason = `OpenSSL refuses the set (${codeOf(error)})`
    const remedy = 'use RSA keys of at least 2048 bits, or ECDSA keys'
    throw new TlsFileError(files.serverCertificateBundle, reason, remedy)
  }
  if (/(?:^|:)TLS_/.test(material.ciphers)) {
    const remedy = 'leave them out: TLS 1.3 always has all of its own'
    throw new TlsFileError('server.tls.ciphers', 'it names suites of TLS 1.3', remedy)
  }
  const weak = material.ciphers.split(':').find((suite) => !strongSuite.test(suite))
  if (weak !== undefined) {
    const remedy = 'name suites such as ECDHE-ECDSA-AES128-GCM-SHA256, separated by colons'
    const reason = `${JSON.stringify(weak)} is not a suite with forward secrecy and authenticated encryption`
    throw new TlsFileError('server.tls.ciphers', reason, remedy)
  }
  try {
    createSecureContext({ ciphers: material.ciphers })
  } catch (error) {
    const reason = `OpenSSL knows none of these suites (${codeOf(error)})`
    throw new TlsFileError('server.tls.ciphers', reason, 'name them as `openssl ciphers` does')
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'no code'
}

interface FileContent {
  readonly path: string
  readonly content: Buffer
}

interface Contents {
  readonly certificates: FileContent
  readonly key: FileContent
  readonly ca: FileContent | undefined
  readonly crls: readonly FileContent[]
  readonly ocsp: FileContent | undefined
  readonly ticketSecret: FileContent | undefined
}

async function readAll(files: TlsFiles): Promise<Contents> {
  const { clientCaBundle, clientCrls, clientAuth, ocspResponse, sessionTicketSecret } = files
  if (clientCaBundle === undefined && clientAuth === 'required') {
    const remedy = 'set server.tls.client_ca_bundle'
    throw new TlsFileError('server.tls.client_auth', 'it is required without a CA bundle', remedy)
  }
  if (clientCaBundle === undefined && clientCrls.length > 0) {
    const remedy = 'set server.tls.client_ca_bundle'
    throw new TlsFileError('server.tls.client_crls', 'there is no CA bundle to check them', remedy)
  }
  const read = async (path: string): Promise<FileContent> => ({
    path,
    content: await readTlsFile(path),
  })
  const certificates = await read(files.serverCertificateBundle)
  const key = await read(files.serverPrivateKey)
  const ca = clientCaBundle === undefined ? undefined : await read(clientCaBundle)
  const crls: FileContent[] = []
  for (const path of clientCrls) crls.push(await read(path))
  const ocsp = ocspResponse === undefined ? undefined : await read(ocspResponse)
  const ticketSecret =
    sessionTicketSecret === undefined
      ? undefined
      : { path: sessionTicketSecret, content: await readTicketSecret(sessionTicketSecret) }
  return { certificates, key, ca, crls, ocsp, ticketSecret }
}

function fingerprintOf(files: TlsFiles, content: Contents): string {
  const { certificates, key, ca, crls, ocsp, ticketSecret } = content
  const hash = createHash('sha256').update(JSON.stringify(files))
  for (const part of [certificates, key, ca, ...crls, ocsp, ticketSecret]) {
    const bytes = part?.content ?? Buffer.alloc(0)
    hash.update(`${bytes.length}:`).update(bytes)
  }
  return hash.digest('hex')
}

// Files that calls over TLS need, read and checked before the first call.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import type { Secret } from '../config/secret.ts'
import type { CallerTls } from './contract.ts'

/** Paths of PEM files. */
export interface CallerTlsFiles {
  readonly serverCaBundle?: string | undefined
  /** With its intermediates. */
  readonly clientCertificate?: string | undefined
  readonly clientPrivateKey?: string | undefined
  readonly clientPrivateKeyPassphrase?: Secret | undefined
}

/**
 * What the files hold. `name`: of the table that names them.
 * Errors: an Error that begins with the key and the path of what is wrong; never with key material.
 */
export async function readCallerTls(name: string, files: CallerTlsFiles): Promise<CallerTls> {
  const { serverCaBundle, clientCertificate, clientPrivateKey } = files
  if ((clientCertificate === undefined) !== (clientPrivateKey === undefined)) {
    throw new Error(`${name}: client_certificate and client_private_key belong together`)
  }
  const [ca, cert, key] = await Promise.all([
    read(`${name}.server_ca_bundle`, serverCaBundle),
    read(`${name}.client_certificate`, clientCertificate),
    read(`${name}.client_private_key`, clientPrivateKey),
  ])
  if (ca !== undefined) checkCertificates(`${name}.server_ca_bundle: ${serverCaBundle}`, ca)
  if (cert !== undefined)
    checkCertificates(`${name}.client_certificate: ${clientCertificate}`, cert)
  const tls = { ca, cert, key, passphrase: files.clientPrivateKeyPassphrase }
  checkPair(`${name}.client_private_key: ${clientPrivateKey}`, tls)
  return tls
}

async function read(what: string, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new Error(`${what}: ${path} cannot be read (${codeOf(error)})`)
  }
}

const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

// Node skips what it cannot read of a bundle, and would trust less than the operator wrote.
function checkCertificates(what: string, text: string): void {
  const blocks = text.match(certificateBlock) ?? []
  if (blocks.length === 0) throw new Error(`${what} holds no PEM certificate`)
  if (text.match(/-----BEGIN /g)?.length !== blocks.length) {
    throw new Error(`${what} holds something beside whole PEM certificates`)
  }
  for (const [index, block] of blocks.entries()) {
    try {
      new X509Certificate(block)
    } catch {
      throw new Error(`${what}: its certificate ${index + 1} cannot be read`)
    }
  }
}

function checkPair(what: string, { ca, cert, key, passphrase }: CallerTls): void {
  const revealed = passphrase?.reveal()
  try {
    if (key !== undefined && encryptedKey.test(key)) createPrivateKey({ key, passphrase: revealed })
  } catch {
    // Whatever the code is: a wrong passphrase may well decrypt, to something that is no key.
    throw new Error(
      `${what} ${revealed === undefined ? 'is encrypted, and there is no passphrase' : 'is not opened by its passphrase'}`,
    )
  }
  try {
    createSecureContext({ ca, cert, key, passphrase: revealed })
  } catch (error) {
    throw new Error(`${what} ${faultOf(codeOf(error))}`)
  }
}

// PKCS #8 (RFC 5958 section 3) and the older form of OpenSSL (RFC 1421 section 4.6.1.1).
const encryptedKey = /^-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED/m

function faultOf(code: string): string {
  return code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH'
    ? 'is not the key of the certificate'
    : `cannot be used with its certificate (${code})`
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'no code'
}

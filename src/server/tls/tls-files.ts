// Which files make up the TLS of a server, and how they are read.
import { readFile, stat } from 'node:fs/promises'
import type { TlsConfig } from '../../config/schema.ts'

/** Paths, and what belongs to them. */
export interface TlsFiles {
  readonly serverCertificateBundle: string
  readonly serverPrivateKey: string
  readonly passphrase: string | undefined
  readonly clientCaBundle: string | undefined
  readonly clientAuth: 'optional' | 'required'
  /** PEM or DER. */
  readonly clientCrls: readonly string[]
  /** DER. */
  readonly ocspResponse: string | undefined
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** Undefined stands for `defaultCiphers`. */
  readonly ciphers: string | undefined
  readonly sessionTimeoutSeconds: number
  readonly sessionTicketSecret: string | undefined
}

/** A file of TLS that cannot be used: which one, why, and what to do. Never holds key material. */
export class TlsFileError extends Error {
  override readonly name: string = 'TlsFileError'
  /** A path, or the key of the configuration that is wrong. */
  readonly file: string
  readonly reason: string
  readonly remedy: string

  constructor(file: string, reason: string, remedy: string) {
    super(`${file}: ${reason}; ${remedy}`)
    this.file = file
    this.reason = reason
    this.remedy = remedy
  }
}

/** The files that a configuration names. */
export function tlsFilesOf(config: TlsConfig): TlsFiles {
  return {
    serverCertificateBundle: config.serverCertificateBundle,
    serverPrivateKey: config.serverPrivateKey,
    passphrase: config.privateKeyPassphrase?.reveal(),
    clientCaBundle: config.clientCaBundle,
    clientAuth: config.clientAuth,
    clientCrls: config.clientCrls,
    ocspResponse: config.ocspResponse,
    minVersion: config.minVersion,
    ciphers: config.ciphers,
    sessionTimeoutSeconds: Math.floor(config.sessionTimeoutMs / 1000),
    sessionTicketSecret: config.sessionTicketSecret,
  }
}

/** Every path of the set. */
export function pathsOf(files: TlsFiles): readonly string[] {
  const { serverCertificateBundle, serverPrivateKey, clientCrls } = files
  const optional = [files.clientCaBundle, files.ocspResponse, files.sessionTicketSecret]
  return [serverCertificateBundle, serverPrivateKey, ...clientCrls, ...optional].filter(
    (path) => path !== undefined,
  )
}

// Lists of large authorities hold a million entries in about 40 MB.
const fileBytesMax = 64 * 1024 * 1024

/** Units: bytes. Limits: 64 MiB. Errors: TlsFileError. */
export async function readTlsFile(path: string): Promise<Buffer> {
  try {
    const { size } = await stat(path)
    if (size > fileBytesMax) {
      throw new TlsFileError(path, `it has ${size} bytes`, 'no file of TLS may exceed 64 MiB')
    }
    return await readFile(path)
  } catch (error) {
    if (error instanceof TlsFileError) throw error
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    const [reason, remedy] = readFaults[code] ?? [`it cannot be read (${code})`, 'check the file']
    throw new TlsFileError(path, reason, remedy)
  }
}

const readFaults: Readonly<Record<string, readonly [reason: string, remedy: string]>> = {
  ENOENT: ['it does not exist', 'put the file there or correct the path'],
  EACCES: ['it may not be read', 'let the user of the server read it and enter its folders'],
  EISDIR: ['it is a folder', 'name the file itself'],
}

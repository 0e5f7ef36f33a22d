// A connection to a directory that may be believed: TLS with a verified name, or this very host.

import { readFile } from 'node:fs/promises'
import { connect, isIP, type Socket } from 'node:net'
import {
  type ConnectionOptions,
  connect as connectTls,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
} from 'node:tls'
import { isLoopbackHost } from '../../http/loopback.ts'
import { readExtendedResult } from './answers.ts'
import type { LdapConfig } from './contract.ts'
import { LdapFault } from './session.ts'

/** Where a directory is. */
export interface LdapAddress {
  readonly isTls: boolean
  /** Without brackets. */
  readonly host: string
  readonly port: number
  readonly isLoopback: boolean
}

export type LdapTlsFiles = Pick<
  LdapConfig,
  'startTls' | 'serverCaBundle' | 'clientCertificate' | 'clientPrivateKey'
>

const keepAliveMs = 30_000
const refusalBytesMax = 16 * 1024
// StartTLS as message 1. Source: RFC 4511 §4.14.1.
const startTlsRequest = Buffer.concat([
  Buffer.from([0x30, 0x1d, 0x02, 0x01, 0x01, 0x77, 0x18, 0x80, 0x16]),
  Buffer.from('1.3.6.1.4.1.1466.20037', 'latin1'),
])

/** Undefined where the text is no such URL, or says more than where the directory is. */
export function parseLdapUrl(text: string): LdapAddress | undefined {
  const parts =
    /^(ldaps?):\/\/(\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]{0,252}))(?::(\d{1,5}))?\/?$/i
  const [, scheme = '', name = '', port] = parts.exec(text) ?? []
  if (scheme === '') return undefined
  const isTls = scheme.toLowerCase() === 'ldaps'
  const host = name.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  if (name.startsWith('[') && isIP(host) !== 6) return undefined
  const number = port === undefined ? (isTls ? 636 : 389) : Number(port)
  if (number < 1 || number > 65_535) return undefined
  return { isTls, host, port: number, isLoopback: isLoopbackHost(host) }
}

/**
 * Connected, and verified where TLS is asked for; StartTLS that is refused is a fault, and nothing is
 * said in clear text instead. Until `signal` at the latest.
 * Errors: rejects with an Error fit for the log.
 */
export async function openSocket(
  { isTls, host, port }: LdapAddress,
  files: LdapTlsFiles,
  signal: AbortSignal,
): Promise<Socket> {
  if (!isTls && !files.startTls) return opened(connect({ host, port }), 'connect', signal)
  // First, since a file that is none must not leave a connection behind.
  const secureContext = await readTls(files, signal)
  const options = { secureContext, ...verification(host) }
  if (isTls) return opened(connectTls({ ...options, port }), 'secureConnect', signal)
  const socket = await opened(connect({ host, port }), 'connect', signal)
  await startTls(socket, signal)
  // The one around it tells of its errors.
  socket.on('error', () => undefined)
  return opened(connectTls({ ...options, socket }), 'secureConnect', signal)
}

function verification(host: string): ConnectionOptions {
  return {
    host,
    // Addresses have no server name indication; they are looked for in the certificate all the same.
    ...(isIP(host) === 0 ? { servername: host } : {}),
    // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
    rejectUnauthorized: true,
  }
}

async function readTls(files: LdapTlsFiles, signal: AbortSignal): Promise<SecureContext> {
  const { serverCaBundle, clientCertificate, clientPrivateKey } = files
  const read = (file: string | undefined): Promise<Buffer> | undefined =>
    file === undefined ? undefined : readFile(file, { signal })
  const [ca, cert, key] = await Promise.all([
    read(serverCaBundle),
    read(clientCertificate),
    read(clientPrivateKey),
  ])
  return createSecureContext({
    minVersion: 'TLSv1.2',
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  })
}

function opened<S extends Socket | TLSSocket>(
  socket: S,
  event: 'connect' | 'secureConnect',
  signal: AbortSignal,
): Promise<S> {
  return settled(socket, signal, (resolve) => {
    socket.once(event, () => {
      socket.setNoDelay(true)
      socket.setKeepAlive(true, keepAliveMs)
      resolve(socket)
    })
  })
}

function startTls(socket: Socket, signal: AbortSignal): Promise<void> {
  return settled(socket, signal, (resolve, reject) => {
    let bytes: Buffer = Buffer.alloc(0)
    const take = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk])
      try {
        // Anything behind the answer could be a part of the next one, put there by a stranger.
        const code = readExtendedResult(bytes)
        if (code === undefined && bytes.byteLength <= refusalBytesMax) return
        socket.off('data', take)
        if (code === 0) resolve()
        else reject(new LdapFault(`the directory refuses StartTLS with code ${code}`))
      } catch (error) {
        reject(error instanceof Error ? error : new LdapFault(String(error)))
      }
    }
    socket.on('data', take)
    socket.write(startTlsRequest)
  })
}

// What fails is ended; what succeeds has none of these listeners any more.
function settled<T>(
  socket: Socket,
  signal: AbortSignal,
  begin: (resolve: (value: T) => void, reject: (error: Error) => void) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const end = (error: Error): void => {
      forget()
      // What it still has to say about its end is no news.
      socket.on('error', () => undefined)
      socket.destroy()
      reject(error.message === '' ? new LdapFault(codeOf(error)) : error)
    }
    const aborted = (): void => end(signal.reason as Error)
    const closed = (): void => end(new LdapFault('the directory closed the connection'))
    const forget = (): void => {
      socket.off('error', end)
      socket.off('close', closed)
      signal.removeEventListener('abort', aborted)
    }
    socket.on('error', end)
    socket.on('close', closed)
    signal.addEventListener('abort', aborted)
    if (signal.aborted) return aborted()
    begin((value) => {
      forget()
      resolve(value)
    }, end)
  })
}

// Where a name has several addresses, the error of all of them has no message of its own.
function codeOf(error: NodeJS.ErrnoException): string {
  return `the directory cannot be reached: ${error.code ?? 'unknown error'}`
}

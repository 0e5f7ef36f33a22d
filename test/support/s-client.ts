// Answers for TLS handshakes as `openssl s_client` sees them, with a plain GET inside.
import { X509Certificate } from 'node:crypto'
import type { PrivateHost } from './private-host.ts'
import { attempt } from './run.ts'

export interface Handshake {
  /** As openssl names it; '' where none was agreed on. */
  readonly protocol: string
  readonly cipher: string
  readonly isResumed: boolean
  /** '' where the server chose none. */
  readonly alpn: string
  /** Of the reply to the GET; 0 where there was none. */
  readonly status: number
  /** Of the certificate that the server showed. */
  readonly serial: string
  /** All that openssl said, for assertions to show. */
  readonly output: string
}

export interface HandshakeOptions {
  readonly port: number
  readonly caFile: string
  readonly certificate?: { readonly bundleFile: string; readonly keyFile: string }
  /** Where openssl runs; by default here. */
  readonly host?: Pick<PrivateHost, 'attempt'>
  /** Further arguments: `-tls1_2`, `-sess_out FILE`, `-alpn h2`. */
  readonly args?: readonly string[]
}

// The server closes after its reply, which ends s_client.
const request = 'GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'

/** Shake hands with the listener on 127.0.0.1 and ask for `/v2/`. Limits: 20 s. */
export async function shakeHands(options: HandshakeOptions): Promise<Handshake> {
  const { port, caFile, certificate, host, args = [] } = options
  const shown = certificate
    ? ['-cert', certificate.bundleFile, '-cert_chain', certificate.bundleFile]
    : []
  const key = certificate ? ['-key', certificate.keyFile] : []
  const place = ['-connect', `127.0.0.1:${port}`, '-servername', 'localhost', '-CAfile', caFile]
  const { stdout, stderr } = await (host?.attempt ?? attempt)(
    'openssl',
    ['s_client', '-ign_eof', ...place, ...shown, ...key, ...args],
    { input: request, timeoutMs: 20_000 },
  )
  const output = `${stdout}\n${stderr}`
  const agreed = /^(New|Reused), (\S+), Cipher is (\S+)$/m.exec(stdout)
  const isAgreed = agreed !== null && agreed[3] !== '(NONE)'
  const pem = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/.exec(stdout)?.[0]
  return {
    protocol: isAgreed ? (agreed[2] ?? '') : '',
    cipher: isAgreed ? (agreed[3] ?? '') : '',
    isResumed: agreed?.[1] === 'Reused',
    alpn: /^ALPN protocol: (\S+)$/m.exec(stdout)?.[1] ?? '',
    // What openssl tells of a session may end without a line end.
    status: Number(/HTTP\/1\.1 (\d{3}) /.exec(stdout)?.[1] ?? 0),
    serial: pem === undefined ? '' : new X509Certificate(pem).serialNumber,
    output,
  }
}

// Ends TLS: each set of material has a server of its own, so that a change never touches a handshake
// that is under way.

import { constants, createPrivateKey, X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls'
import type { ClientCertificate } from '../../../http/client-certificate.ts'
import type { EdgeCounts } from '../../../telemetry/edge-counts.ts'
import { certificateRefusal } from '../../tls/certificate-refusal.ts'
import { clientCertificate } from '../../tls/client-certificate.ts'
import type { ClientAuthMaterial, TlsMaterial } from '../../tls/contract.ts'
import type { CertificateRefusal } from '../exchange.ts'
import { rawSocketOf } from './socket-bytes.ts'

// Without one of them in the list node offers no TLS 1.3 at all. AES-128 first: it is the fastest.
const tls13Ciphers = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_256_GCM_SHA384',
]
// Equal in all processes: a session is resumed only in the context that it was made in.
const sessionIdContext = 'keelson'
// The door counts the time of a handshake; node's clock runs also while it is this server that is slow.
const backstopMs = 3_600_000
// Missing in node's constants. Source: openssl/ssl.h.
const noRenegotiation = 0x40000000

/** What a handshake has shown of the client. */
export interface ClientProof {
  readonly x509: X509Certificate | undefined
  readonly certificate: ClientCertificate | undefined
}

export interface TlsFrontHost {
  readonly counts: EdgeCounts
  /** A handshake is done and its client may speak. */
  onSecure(raw: Socket, socket: TLSSocket, proof: ClientProof): void
  onRefused(refusal: CertificateRefusal): void
}

const noProof: ClientProof = { x509: undefined, certificate: undefined }

export class TlsFront {
  readonly #host: TlsFrontHost
  #material: TlsMaterial
  #server: Server

  /** Errors: what OpenSSL says of material that it does not take. */
  constructor(material: TlsMaterial, host: TlsFrontHost) {
    this.#host = host
    this.#material = material
    this.#server = this.#serverFor(material)
  }

  /** Whom to trust from now on; undefined where no client is asked for a certificate. */
  get clientAuth(): ClientAuthMaterial | undefined {
    return this.#material.clientAuth
  }

  /** Begin the handshake on a connection. */
  start(raw: Socket): void {
    // Who ends its side within the handshake has left; otherwise its socket would stay.
    raw.allowHalfOpen = false
    this.#server.emit('connection', raw)
  }

  /** For handshakes that begin from now on. Errors: as the constructor; the old material stays. */
  renew(material: TlsMaterial): void {
    this.#server = this.#serverFor(material)
    this.#material = material
  }

  #serverFor(material: TlsMaterial): Server {
    // Node makes a server of nothing, or of a key that fits nothing, without a word.
    const leaf = new X509Certificate(material.certificateBundle)
    const fits = leaf.checkPrivateKey(createPrivateKey(material.privateKey))
    if (!fits) throw new Error('the private key is not that of the certificate')
    const server = createServer(serverOptions(material))
    server.on('secureConnection', (socket) => this.#onSecure(socket, material))
    server.on('tlsClientError', (_error, socket) => {
      // Load balancers open and close connections to see whether somebody listens.
      if (rawSocketOf(socket).bytesRead > 0) this.#host.counts.handshakesFailed += 1
      // Where one is required, node itself refuses a bad one.
      if (socket.authorizationError != null) this.#refuse(socket, String(socket.authorizationError))
      socket.destroy()
    })
    const { ocspResponse } = material
    if (ocspResponse !== undefined) {
      const response = Buffer.from(ocspResponse)
      server.on('OCSPRequest', (_certificate, _issuer, answer) => answer(null, response))
    }
    return server
  }

  // Nothing is parsed yet: a connection that ends here never was an HTTP connection.
  #onSecure(socket: TLSSocket, madeWith: TlsMaterial): void {
    const { counts } = this.#host
    if (socket.isSessionReused()) counts.handshakesResumed += 1
    else counts.handshakesFull += 1
    const proof = this.#proofOf(socket, madeWith)
    if (typeof proof === 'string') {
      this.#refuse(socket, proof)
      socket.destroy()
    } else {
      this.#host.onSecure(rawSocketOf(socket), socket, proof)
    }
  }

  #refuse(socket: TLSSocket, reason: string): void {
    this.#host.counts.certificatesRefused += 1
    const x509 = socket.getPeerX509Certificate()
    this.#host.onRefused({
      reason,
      subject: x509?.subject.replaceAll('\n', ', ').slice(0, 256) ?? '',
      serial: x509?.serialNumber ?? '',
      address: socket.remoteAddress ?? '',
    })
  }

  /** A reason where the client must not pass. */
  #proofOf(socket: TLSSocket, madeWith: TlsMaterial): ClientProof | string {
    const { clientAuth } = this
    if (clientAuth === undefined) return noProof
    const x509 = socket.getPeerX509Certificate()
    if (x509 === undefined) return isPassing(x509, clientAuth) ? noProof : 'no certificate'
    // OpenSSL has looked at the whole chain, unless the session is resumed or the material is new.
    const isVerified = !socket.isSessionReused() && madeWith === this.#material
    const { clientAuth: provenBy } = madeWith
    if (!socket.authorized) return String(socket.authorizationError)
    if (!isVerified) {
      const refusal = certificateRefusal(x509, clientAuth, Date.now(), provenBy)
      if (refusal !== undefined) return refusal
    }
    try {
      return { x509, certificate: clientCertificate(x509) }
    } catch {
      // No rule could judge it.
      return 'its names cannot be read'
    }
  }
}

/**
 * Whether a client that came in before may stay, or come back, without a full handshake. `provenBy`:
 * what the session that it resumes was made with.
 */
export function isPassing(
  x509: X509Certificate | undefined,
  clientAuth: ClientAuthMaterial | undefined,
  provenBy?: ClientAuthMaterial,
): boolean {
  if (clientAuth === undefined) return true
  if (x509 === undefined) return clientAuth.mode === 'optional'
  return certificateRefusal(x509, clientAuth, Date.now(), provenBy) === undefined
}

function serverOptions(material: TlsMaterial): TlsOptions {
  const { clientAuth } = material
  return {
    cert: material.certificateBundle,
    key: material.privateKey,
    minVersion: material.minVersion,
    ciphers: [...tls13Ciphers, material.ciphers].join(':'),
    honorCipherOrder: true,
    secureOptions: noRenegotiation | constants.SSL_OP_NO_COMPRESSION,
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: backstopMs,
    ticketKeys: Buffer.from(material.ticketKeys),
    sessionTimeout: material.sessionTimeoutSeconds,
    sessionIdContext,
    ...(clientAuth !== undefined && {
      requestCert: true,
      rejectUnauthorized: clientAuth.mode === 'required',
      ca: clientAuth.caBundle,
      crl: [...clientAuth.crls],
    }),
  }
}

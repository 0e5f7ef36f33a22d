// What a TLS listener is made of: everything read and checked, so that a listener only has to use it.

/** Which serials of which issuers are revoked. Source: RFC 5280 §5. */
export interface RevocationList {
  /**
   * `issuerDer`: the issuer's distinguished name in DER, as in the certificate; `serial` as in
   * `ClientCertificate`. True where a list of that issuer names it.
   */
  isRevoked(issuerDer: Uint8Array, serial: string): boolean
  /** When the list of an issuer ends, in ms since the epoch; undefined where there is none. */
  nextUpdateMs?(issuerDer: Uint8Array): number | undefined
}

/** Client certificates: whom to trust, and whether there must be one. */
export interface ClientAuthMaterial {
  /** `required`: the handshake fails without one. `optional`: none is fine, a bad one is not. */
  readonly mode: 'optional' | 'required'
  /** PEM: the trusted CAs. */
  readonly caBundle: string
  /** PEM, one list each, their signatures checked against the bundle. */
  readonly crls: readonly string[]
  readonly revocations: RevocationList
}

/**
 * One consistent set of TLS files, checked: the key fits the certificate, every chain parses, nothing
 * has expired. Immutable; a change on disk makes a new one.
 */
export interface TlsMaterial {
  /** PEM: leaf first, then its chain. */
  readonly certificateBundle: string
  /** PEM, decrypted: no passphrase is needed any more. */
  readonly privateKey: string
  /** Of the leaf, in ms since the epoch. */
  readonly notAfterMs: number
  /** DNS names and addresses of the leaf, for logs. */
  readonly names: readonly string[]
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** TLS 1.2 suites in OpenSSL's notation, in order of preference. */
  readonly ciphers: string
  readonly clientAuth: ClientAuthMaterial | undefined
  /**
   * 48 bytes: key name, AES key and HMAC key of session tickets. They change with the CAs and the
   * revocation lists, since a ticket would let a revoked client in. The uws transport makes its own.
   */
  readonly ticketKeys: Uint8Array
  /** How long a session may be resumed, in seconds. */
  readonly sessionTimeoutSeconds: number
  /** DER of an OCSP response for the leaf, still valid; stapled where the transport can. */
  readonly ocspResponse: Uint8Array | undefined
}

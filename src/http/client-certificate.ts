// What a verified client certificate says. Made by a transport, read by authentication and policy.

/**
 * The leaf certificate of a client whose chain, validity, purpose and revocation were checked.
 * Source: RFC 5280 §4.1 and §4.2.1.6.
 */
export interface ClientCertificate {
  /** Every CN of the subject, in its order. */
  readonly commonNames: readonly string[]
  /** Every O of the subject, in its order. */
  readonly organizations: readonly string[]
  /** Subject alternative names. */
  readonly sans: {
    readonly dns: readonly string[]
    /** Among them SPIFFE ids. */
    readonly uri: readonly string[]
    readonly email: readonly string[]
  }
  /** Upper-case hexadecimal without separators or leading zeros, as `openssl x509 -serial` less its zeros. */
  readonly serial: string
  /** Of the DER form: lower-case hexadecimal, 64 characters. */
  readonly fingerprintSha256: string
  /** In ms since the epoch. */
  readonly notAfterMs: number
}

// The treaty with the credentials threads about signatures of tokens.

export interface VerifyTokenTask {
  /** A JWS in compact form. */
  readonly token: string
  /** The only one that is taken, whatever the token's header says. */
  readonly algorithm: string
  /** A public key. */
  readonly jwk: Readonly<Record<string, string>>
  /** Of the key, by RFC 7638: a thread imports a key once. */
  readonly thumbprint: string
}

// Who is asking, as policies see it.

import type { ClientCertificate } from '../http/client-certificate.ts'
import type { Scope } from '../oci/scope.ts'

/** What proved the identity; `mtls` where a client certificate alone did, `gateway` where a gateway's word. */
export type AuthMethod =
  | 'anonymous'
  | 'mtls'
  | 'basic'
  | 'ldap'
  | 'oidc'
  | 'token'
  | 'api-key'
  | 'gateway'

/** Absent parts are null. The client's address is not part of it: one identity has many. */
export interface Identity {
  readonly id: string | null
  readonly username: string | null
  readonly groups: readonly string[]
  /** Null where none was shown; policies then see empty lists. */
  readonly certificate: ClientCertificate | null
  readonly oidc: {
    readonly providerName: string
    readonly claims: Readonly<Record<string, unknown>>
  } | null
  readonly authMethod: AuthMethod
  /** What its token is for, which narrows what policies allow; null where nothing narrows it. */
  readonly scopes: readonly Scope[] | null
  /** Of a registry token its `jti`, of an API key its id, for logs and revocation; else null. */
  readonly tokenId: string | null
}

export const anonymous: Identity = Object.freeze({
  id: null,
  username: null,
  groups: Object.freeze([]),
  certificate: null,
  oidc: null,
  authMethod: 'anonymous',
  scopes: null,
  tokenId: null,
})

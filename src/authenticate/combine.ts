// A certificate and another credential → one identity with both parts.

import type { ClientCertificate } from '../http/client-certificate.ts'
import type { Identity } from './identity.ts'

// One identity for all requests of a connection, so that later stages can keep what they know of it.
const certified = new WeakMap<ClientCertificate, Map<Identity, Identity>>()
// A connection mostly has one user; one that tries thousands must not fill the memory.
const perCertificateMax = 16

/** The same object for the same parts. A certificate carries no user name that could disagree. */
export function combine(certificate: ClientCertificate | undefined, identity: Identity): Identity {
  if (certificate === undefined) return identity
  let known = certified.get(certificate)
  if (known === undefined) {
    known = new Map()
    certified.set(certificate, known)
  }
  const before = known.get(identity)
  if (before !== undefined) return before
  const authMethod = identity.authMethod === 'anonymous' ? 'mtls' : identity.authMethod
  const both: Identity = Object.freeze({ ...identity, certificate, authMethod })
  if (known.size >= perCertificateMax) known.clear()
  known.set(identity, both)
  return both
}

// Whom a limit counts as one: an identity, or without one an address.

import type { Identity } from '../authenticate/identity.ts'
import { addressGroup } from '../http/address-group.ts'

/**
 * The key of whoever asks: the username, else the id, the certificate or the token; of the anonymous
 * the address. '' where even that is not known (a unix socket): nothing is counted then.
 */
export function callerKey(identity: Identity, address: () => string): string {
  const { username, id, certificate, tokenId } = identity
  if (username !== null && username !== '') return `user ${username}`
  if (id !== null && id !== '') return `id ${id}`
  if (certificate !== null) return `certificate ${certificate.fingerprintSha256}`
  if (tokenId !== null) return `token ${tokenId}`
  return addressGroup(address())
}

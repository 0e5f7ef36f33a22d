// Manifests whose bytes are lost or wrong: they read as absent, and a push of the same manifest heals them.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { KeyValueReader, KeyValueTransaction } from './contract.ts'
import { manifestKey, present, quarantinedBodyKey } from './keys.ts'
import { changeUsage } from './usage.ts'

/** Wrong bytes are kept for a person to look at. Nothing where it is done already. */
export function quarantineBody(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
): void {
  const key = manifestKey(repository, digest)
  const body = transaction.getBody(key)
  const quarantined = quarantinedBodyKey(repository, digest)
  transaction.put(quarantined, present)
  if (body === undefined) return
  transaction.putBody(quarantined, body)
  transaction.removeBody(key)
  changeUsage(transaction, repository, { bytes: -BigInt(body.length), tags: 0 })
}

export function isBodyQuarantined(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
): boolean {
  return reader.get(quarantinedBodyKey(repository, digest)) !== undefined
}

/** The right bytes of a manifest that is recorded and has none. */
export function putLostBody(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  bytes: Uint8Array,
): void {
  transaction.putBody(manifestKey(repository, digest), bytes)
  forgetQuarantinedBody(transaction, repository, digest)
}

/** The manifest is whole again, or gone. */
export function forgetQuarantinedBody(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
): void {
  const quarantined = quarantinedBodyKey(repository, digest)
  if (transaction.get(quarantined) === undefined) return
  transaction.remove(quarantined)
  transaction.removeBody(quarantined)
}

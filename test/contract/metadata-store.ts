// The contract of a metadata store. Each backend's test calls it once with a way to open an empty one.
//
// Method: black box, every case on a store of its own; what one write changes is read back by all readers.

import { holdingBlobs, leasingBlobs } from './metadata/blobs.ts'
import { lasting } from './metadata/lifetime.ts'
import { deletingManifests, puttingManifests } from './metadata/manifests.ts'
import { listingReferrers } from './metadata/referrers.ts'
import { checkOn, type MetadataScene } from './metadata/scene.ts'
import { listingTags, movingTags } from './metadata/tags.ts'
import { keepingApiKeys, renewingTokens, revokingTokens } from './metadata/tokens.ts'
import { endingSessions, holdingSessions } from './metadata/uploads.ts'

export type { FullStore, MetadataScene } from './metadata/scene.ts'

/** Run every case on one backend. Source: src/storage/metadata/contract.ts. */
export function metadataStoreContract(name: string, open: () => Promise<MetadataScene>): void {
  const check = checkOn(name, open)
  puttingManifests(check)
  deletingManifests(check)
  movingTags(check)
  listingTags(check)
  listingReferrers(check)
  holdingBlobs(check)
  leasingBlobs(check)
  holdingSessions(check)
  endingSessions(check)
  keepingApiKeys(check)
  revokingTokens(check)
  renewingTokens(check)
  lasting(check)
}

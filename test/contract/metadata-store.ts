// The contract of a metadata store. Each backend's test calls it once with a way to open an empty one.
//
// Method: black box, every case on a store of its own; what one write changes is read back by all readers.

import { holdingBlobs, leasingBlobs } from './metadata/blobs.ts'
import { condemning, destroying, listingLeases, restoring } from './metadata/garbage.ts'
import { runningJobs } from './metadata/job-store.ts'
import { lasting } from './metadata/lifetime.ts'
import { deletingManifests, puttingManifests } from './metadata/manifests.ts'
import { listingReferrers } from './metadata/referrers.ts'
import { restoringManifests, sweepingManifests } from './metadata/removed-manifests.ts'
import { checkOn, type MetadataScene } from './metadata/scene.ts'
import { freeingTags, timingTags } from './metadata/tag-times.ts'
import { listingTags, movingTags } from './metadata/tags.ts'
import {
  keepingApiKeys,
  renewingTokens,
  revokingTokens,
  sharingRevocations,
} from './metadata/tokens.ts'
import { endingSessions, holdingSessions } from './metadata/uploads.ts'
import { countingUse, keepingQuotas, keepingTags } from './metadata/usage.ts'

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
  countingUse(check)
  keepingQuotas(check)
  keepingTags(check)
  holdingSessions(check)
  endingSessions(check)
  keepingApiKeys(check)
  revokingTokens(check)
  sharingRevocations(check)
  renewingTokens(check)
  listingLeases(check)
  condemning(check)
  restoring(check)
  destroying(check)
  sweepingManifests(check)
  restoringManifests(check)
  timingTags(check)
  freeingTags(check)
  runningJobs(check)
  lasting(check)
}

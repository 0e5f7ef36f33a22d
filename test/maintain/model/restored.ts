// What a run has taken away is there again after its restore.

import type { JobDeed } from '../../../src/maintain/job/contract.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import type { JobRun } from '../../support/maintain.ts'
import { assertStatus } from '../../support/registry-client.ts'
import { type Client, placeOf } from './action.ts'

/** While the restore window of the run is open. Errors: AssertionError. */
export async function assertRestored({ scene, touched }: Client, { deeds }: JobRun): Promise<void> {
  for (const [i, { deed, digest, repository }] of deeds.entries()) {
    if (repository === undefined || digest === undefined) continue
    const isThere = async (what: string): Promise<void> => {
      const answer = await scene.send('GET', `/v2/${repository}/${what}`)
      assertStatus(answer, 200, `${what} of ${repository} after ${deed}, and its restore`)
    }
    if (deed === 'unlink-blob' || deed === 'condemn-blob') await isThere(`blobs/${digest}`)
    if (deed !== 'delete-manifest') continue
    // One that came back before the restore is not the run's any more, and may have gone again; nor is one
    // that a client deleted in the same millisecond, whose record is in the place of that of the run.
    if (touched.has(placeOf(repository, digest))) continue
    await isThere(`manifests/${digest}`)
    for (const tag of tagsBefore(deeds.slice(0, i), repository, digest))
      await isThere(`manifests/${tag}`)
  }
}

/** Those that went with the manifest, right before it. */
function tagsBefore(deeds: readonly JobDeed[], of: string, manifest: Digest): readonly string[] {
  const tags: string[] = []
  for (const { deed, repository, digest, tag } of deeds.toReversed()) {
    if (deed !== 'delete-tag' || repository !== of || digest !== manifest || !tag) break
    tags.push(tag)
  }
  return tags
}

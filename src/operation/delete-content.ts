// DELETE of a tag, a manifest or a blob. Gone for every reader when the 202 is sent.

import { apiVersion, unknownReply } from '../http/error-reply.ts'
import { HeaderBlock } from '../http/header-block.ts'
import type { Reply } from '../http/reply.ts'
import { OciError } from '../oci/error.ts'
import type { Action } from '../route/action.ts'
import type { Registry } from './registry.ts'
import { immutableRefusal } from './rule-refusal.ts'

type DeleteManifest = Extract<Action, { kind: 'delete-manifest' }>
type DeleteBlob = Extract<Action, { kind: 'delete-blob' }>

const accepted: Reply = {
  kind: 'whole',
  status: 202,
  headers: new HeaderBlock([apiVersion]),
  body: undefined,
}

/**
 * By tag only the tag goes; by digest the manifest and its tags. Source: distribution-spec end-9.
 * Errors: OciError DENIED (409) for a tag that is immutable, or a manifest that such a tag needs.
 */
export async function deleteManifest(action: DeleteManifest, registry: Registry): Promise<Reply> {
  const { limits, metadata, replies, rules } = registry
  const { repository, reference } = action
  const { isImmutable } = rules.rulesFor(repository)
  const now = registry.now()
  const lease = now + limits.graceMs
  const result = await replies.during(() =>
    reference.kind === 'tag'
      ? metadata.deleteTag(repository, reference.tag, now, isImmutable)
      : metadata.deleteManifest(repository, reference.digest, now, lease, isImmutable),
  )
  switch (result) {
    case 'removed':
      return accepted
    case 'absent':
      return unknownReply('MANIFEST_UNKNOWN')
    default:
      throw immutableRefusal(result)
  }
}

/** Source: distribution-spec end-10. Errors: OciError DENIED (409) while a manifest names the blob. */
export async function deleteBlob(action: DeleteBlob, registry: Registry): Promise<Reply> {
  const leaseUntilMs = registry.now() + registry.limits.graceMs
  const { metadata, replies } = registry
  const result = await replies.during(() =>
    metadata.unlinkBlob(action.repository, action.digest, leaseUntilMs),
  )
  switch (result) {
    case 'removed':
      return accepted
    case 'absent':
      return unknownReply('BLOB_UNKNOWN')
    case 'referenced':
      throw new OciError('DENIED', {
        status: 409,
        message: 'a manifest of this repository names the blob; delete the manifest first',
      })
  }
}

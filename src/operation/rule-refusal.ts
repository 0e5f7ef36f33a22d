// How a client is told that a quota is used up, or that a tag may not be changed.

import { OciError } from '../oci/error.ts'
import type { ImmutableTag, OverQuota } from '../storage/metadata/usage.ts'

/**
 * 403 DENIED: with this code clients end at once, whereas they may try again after one that they do not
 * know. An upload that gets it is over: its bytes are dropped, since nobody's quota counts them.
 */
export class QuotaRefusal extends OciError {}

/** `added` is absent where it is not known yet. */
export function quotaRefusal(
  over: Omit<OverQuota, 'added'> & { readonly added?: number },
): QuotaRefusal {
  const { prefix, what, limit, used, added } = over
  const whose = prefix === '' ? 'the registry' : prefix
  const needed = added === undefined ? 'this adds more than is left' : `this adds ${added}`
  return new QuotaRefusal('DENIED', {
    message: `the quota of ${whose} leaves no room: ${used} of ${limit} ${what} are used, and ${needed}`,
    detail: {
      quota: prefix,
      resource: what,
      limit,
      used,
      ...(added === undefined ? {} : { added }),
    },
  })
}

/** Says nothing of what the tag names: who may push may not always pull. */
export function immutableRefusal({ tag }: ImmutableTag): OciError {
  return new OciError('DENIED', {
    status: 409,
    message: `the tag ${tag} is immutable: neither it nor what it names can be changed or deleted`,
    detail: { tag },
  })
}

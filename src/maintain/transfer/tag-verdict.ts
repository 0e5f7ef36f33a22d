// Whether an import may set a tag: what was done to it here since is not undone.

import type { Digest } from '../../oci/digest.ts'
import type { TagMove } from '../../storage/metadata/tag-history.ts'

export type TagVerdict =
  | { readonly kind: 'new' | 'moves' | 'same' }
  | { readonly kind: 'keep'; readonly reason: string }

/** `last` is the latest move of the tag here, which an import made where it names a run. */
export function judgeTag(tag: {
  readonly here: Digest | undefined
  readonly last: TagMove | undefined
  readonly there: Digest
  readonly overwrite: boolean
}): TagVerdict {
  const { here, last, there, overwrite } = tag
  if (here === there) return { kind: 'same' }
  if (here !== undefined) {
    if (overwrite || last?.run !== undefined) return { kind: 'moves' }
    return { kind: 'keep', reason: `it was pushed here, and names ${here} instead of ${there}` }
  }
  // Whoever deleted it here did not mean what was pushed there since.
  if (overwrite || last?.from !== there) return { kind: 'new' }
  return { kind: 'keep', reason: 'it was deleted here' }
}

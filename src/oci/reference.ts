// The last part of a manifest path: a tag or a digest.

import { type Digest, parseDigest } from './digest.ts'
import { parseTag, type Tag } from './tag.ts'

export type Reference =
  | { readonly kind: 'tag'; readonly tag: Tag }
  | { readonly kind: 'digest'; readonly digest: Digest }

/**
 * Undefined where `text` is neither. A colon makes it a digest, good or bad: `looksLikeDigest` tells
 * the caller which refusal it is.
 */
export function parseReference(text: string): Reference | undefined {
  if (looksLikeDigest(text)) {
    const digest = parseDigest(text)
    return digest === undefined ? undefined : { kind: 'digest', digest }
  }
  const tag = parseTag(text)
  return tag === undefined ? undefined : { kind: 'tag', tag }
}

/** Whether a reference that does not parse is to be refused as a digest rather than as a tag. */
export function looksLikeDigest(text: string): boolean {
  return text.includes(':')
}

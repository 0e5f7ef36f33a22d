// Tags, by the grammar of the distribution spec.

declare const brand: unique symbol

/** A tag that follows the grammar. It never looks like a digest, since it holds no colon. */
export type Tag = string & { readonly [brand]: 'Tag' }

/** Longest tag, in characters. */
export const tagLengthMax = 128

/**
 * Undefined where `text` is not a tag.
 * Limits: `tagLengthMax`.
 * Source: distribution-spec "Pulling manifests": [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
 */
export function parseTag(text: string): Tag | undefined {
  if (text.length === 0 || text.length > tagLengthMax) return undefined
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    const isWord =
      (c >= 0x61 && c <= 0x7a) || (c >= 0x41 && c <= 0x5a) || (c >= 0x30 && c <= 0x39) || c === 0x5f
    const isInner = i > 0 && (c === 0x2d || c === 0x2e)
    if (!isWord && !isInner) return undefined
  }
  return text as Tag
}

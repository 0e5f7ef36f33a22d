// Tags, by the grammar of the distribution spec.

declare const brand: unique symbol

/** A tag that follows the grammar. It never looks like a digest, since it holds no colon. */
export type Tag = string & { readonly [brand]: 'Tag' }

const form = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/

/** Undefined where `text` is not a tag. Source: distribution-spec "Pulling manifests". */
export function parseTag(text: string): Tag | undefined {
  return form.test(text) ? (text as Tag) : undefined
}

// Repository names, by the grammar of the distribution spec, in one pass.

declare const brand: unique symbol

/** A repository name that follows the grammar: it holds no `..`, no empty component, no upper case. */
export type RepositoryName = string & { readonly [brand]: 'RepositoryName' }

/** Longest repository name, in characters. */
export const repositoryNameLengthMax = 255

const dash = 0x2d
const dot = 0x2e
const slash = 0x2f
const underscore = 0x5f

/**
 * Undefined where `text` is not a repository name. Linear in the length.
 * Limits: `repositoryNameLengthMax`.
 * Source: distribution-spec "Pulling manifests": components of [a-z0-9]+ joined by `.`, `_`, `__` or
 * any number of `-`, and components joined by `/`.
 */
export function parseRepositoryName(text: string): RepositoryName | undefined {
  if (text.length === 0 || text.length > repositoryNameLengthMax) return undefined
  // What came before; `slash` stands for the start of a component, 0 for a letter or digit.
  let previous = slash
  let underscores = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if ((c >= 0x61 && c <= 0x7a) || (c >= 0x30 && c <= 0x39)) {
      previous = 0
      underscores = 0
    } else if (c === dash) {
      if (previous !== 0 && previous !== dash) return undefined
      previous = dash
    } else if (c === underscore) {
      underscores++
      if ((previous !== 0 && previous !== underscore) || underscores > 2) return undefined
      previous = underscore
    } else if (c === dot || c === slash) {
      if (previous !== 0) return undefined
      previous = c
    } else {
      return undefined
    }
  }
  return previous === 0 ? (text as RepositoryName) : undefined
}

// Repository names, by the grammar of the distribution spec.

declare const brand: unique symbol

/** A repository name that follows the grammar: it holds no `..`, no empty component, no upper case. */
export type RepositoryName = string & { readonly [brand]: 'RepositoryName' }

/** Longest repository name, in characters. */
export const repositoryNameLengthMax = 255

// Separators and letters are disjoint, so there is one way to match and time is linear.
const form = /^[a-z0-9]+(?:(?:[./]|__?|-+)[a-z0-9]+)*$/

/**
 * Undefined where `text` is not a repository name.
 * Limits: `repositoryNameLengthMax`. Source: distribution-spec "Pulling manifests", whose expression
 * for components and slashes folds into this one.
 */
export function parseRepositoryName(text: string): RepositoryName | undefined {
  return text.length <= repositoryNameLengthMax && form.test(text)
    ? (text as RepositoryName)
    : undefined
}

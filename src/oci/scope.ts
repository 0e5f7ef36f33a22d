// Scopes: what a token may be used for, as clients ask for it and as tokens carry it.

import { parseRepositoryName, type RepositoryName } from './name.ts'

export const scopeActions = ['pull', 'push', 'delete'] as const

export type ScopeAction = (typeof scopeActions)[number]

/**
 * Which repositories a scope is about: one, all below one (`team/*` holds `team/app` and `team/a/b`, and
 * neither `team` nor `teamwork/app`), or all.
 */
export type ScopeTarget =
  | { readonly kind: 'repository'; readonly name: RepositoryName }
  | { readonly kind: 'below'; readonly name: RepositoryName }
  | { readonly kind: 'all' }

/** What a scope can be about that is no repository. */
export const registryScopes = ['catalog', 'metrics'] as const

export type RegistryScope = (typeof registryScopes)[number]

export type Scope =
  | {
      readonly type: 'repository'
      readonly target: ScopeTarget
      /** Sorted as `scopeActions`, each once. */
      readonly actions: readonly ScopeAction[]
    }
  /** The list of all repositories, and the metrics of the registry. */
  | { readonly type: RegistryScope }

/** More in one request or one key are refused: each is a question to the policies. */
export const scopesMax = 32

const scopeLengthMax = 512

/**
 * `repository:<name>:<action>,…`, `registry:catalog:*` or `registry:metrics:*`; `*` is every action. The class
 * in `repository(plugin):…` is dropped. Undefined for what this registry does not know, which is
 * nothing to grant. With `patterns` the name may be `*` or end in `/*`.
 * Source: distribution docs/content/spec/auth/scope.md "Resource Scope Grammar".
 */
export function parseScope(text: string, patterns: 'patterns' | 'names'): Scope | undefined {
  if (text.length > scopeLengthMax) return undefined
  const first = text.indexOf(':')
  const last = text.lastIndexOf(':')
  if (first === -1 || first === last) return undefined
  const type = text.slice(0, first).replace(/\([a-z0-9]*\)$/, '')
  const name = text.slice(first + 1, last)
  const written = text.slice(last + 1)
  if (type === 'registry') {
    const of = registryScopes.find((known) => known === name)
    return of !== undefined && written === '*' ? { type: of } : undefined
  }
  if (type !== 'repository') return undefined
  const target = parseTarget(name, patterns)
  const actions = parseActions(written)
  return target === undefined || actions.length === 0 ? undefined : { type, target, actions }
}

/**
 * Of parameters that hold one scope each or several with blanks between them: those that this registry
 * knows, each once, since granting less than was asked is no error. Undefined for more than `scopesMax`.
 * Source: distribution docs/content/spec/auth/scope.md; RFC 6749 §3.3.
 */
export function parseScopes(
  parameters: readonly string[],
  patterns: 'patterns' | 'names',
): readonly Scope[] | undefined {
  const texts = new Set(parameters.flatMap((parameter) => parameter.split(' ')))
  texts.delete('')
  if (texts.size > scopesMax) return undefined
  return [...texts].flatMap((text): readonly Scope[] => {
    const scope = parseScope(text, patterns)
    return scope === undefined ? [] : [scope]
  })
}

/** The form that `parseScope` reads back. */
export function scopeText(scope: Scope): string {
  if (scope.type !== 'repository') return `registry:${scope.type}:*`
  return `repository:${targetText(scope.target)}:${scope.actions.join(',')}`
}

/** The name of a target as scopes write it. */
export function targetText(target: ScopeTarget): string {
  switch (target.kind) {
    case 'repository':
      return target.name
    case 'below':
      return `${target.name}/*`
    case 'all':
      return '*'
  }
}

/** Whole path components decide. */
export function targetHolds(target: ScopeTarget, repository: RepositoryName): boolean {
  switch (target.kind) {
    case 'repository':
      return target.name === repository
    case 'below':
      return repository.startsWith(`${target.name}/`)
    case 'all':
      return true
  }
}

function parseTarget(name: string, patterns: 'patterns' | 'names'): ScopeTarget | undefined {
  if (patterns === 'patterns') {
    if (name === '*') return { kind: 'all' }
    if (name.endsWith('/*')) {
      const above = parseRepositoryName(name.slice(0, -'/*'.length))
      return above === undefined ? undefined : { kind: 'below', name: above }
    }
  }
  const repository = parseRepositoryName(name)
  return repository === undefined ? undefined : { kind: 'repository', name: repository }
}

// An action that this registry does not have is nothing to grant; the others still are.
function parseActions(written: string): readonly ScopeAction[] {
  const asked = new Set(written.split(','))
  return asked.has('*') ? scopeActions : scopeActions.filter((action) => asked.has(action))
}

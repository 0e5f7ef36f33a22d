// What a token is issued for: what was asked, as far as the policies and the caller's own scopes go.

import type { Identity } from '../../authenticate/identity.ts'
import { scopeAllows } from '../../authenticate/token/scope.ts'
import { digestOfBytes } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import type { RegistryScope, Scope, ScopeAction } from '../../oci/scope.ts'
import type { Action } from '../../route/action.ts'

/**
 * Whether some request of this kind could be allowed. Where the policies look at more than the action
 * and the repository, that cannot be known before the request, and the answer is true: it is asked
 * again, and then of the request itself.
 */
export type MayBeAllowed = (identity: Identity, action: Action) => boolean

/** In the order of `asked`; what is left of a scope without an action is left out. */
export function grantedScopes(
  asked: readonly Scope[],
  identity: Identity,
  mayBeAllowed: MayBeAllowed,
): readonly Scope[] {
  const isOpen = (action: Action): boolean =>
    scopeAllows(identity.scopes, action) && mayBeAllowed(identity, action)
  return asked.flatMap((scope): readonly Scope[] => {
    if (scope.type !== 'repository') return isOpen(ofRegistry[scope.type]) ? [scope] : []
    const { target } = scope
    // Clients name repositories; patterns are for API keys.
    if (target.kind !== 'repository') return []
    const actions = scope.actions.filter((action) => samples[action](target.name).some(isOpen))
    return actions.length === 0 ? [] : [{ type: 'repository', target, actions }]
  })
}

const ofRegistry = {
  catalog: { kind: 'list-catalog', page: {} },
  metrics: { kind: 'metrics', head: false },
} as const satisfies Readonly<Record<RegistryScope, Action>>

const digest = digestOfBytes('sha256', new Uint8Array())
const reference = { kind: 'digest', digest } as const

// One that is allowed is enough: a scope that is missing would refuse it, one too many refuses nothing.
const samples: Readonly<Record<ScopeAction, (repository: RepositoryName) => readonly Action[]>> = {
  pull: (repository) => [
    { kind: 'get-manifest', repository, reference, head: false },
    { kind: 'get-blob', repository, digest, head: false },
    { kind: 'list-tags', repository, page: {} },
  ],
  push: (repository) => [
    { kind: 'start-upload', repository, algorithm: 'sha256' },
    { kind: 'put-manifest', repository, reference, tags: [] },
  ],
  delete: (repository) => [
    { kind: 'delete-manifest', repository, reference },
    { kind: 'delete-blob', repository, digest },
  ],
}

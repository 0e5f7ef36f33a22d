// Whether a token may be used for an action: scopes narrow what policies allow, and never widen it.

import { OciError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/name.ts'
import {
  type RegistryScope,
  type Scope,
  type ScopeAction,
  scopeText,
  targetHolds,
} from '../../oci/scope.ts'
import type { Action, ActionKind } from '../../route/action.ts'
import { challenge } from '../challenge.ts'
import type { Identity } from '../identity.ts'
import { InsufficientScope } from './contract.ts'

// Undefined: an action that every token may ask for, since it tells nothing of what is stored.
const needed = {
  'get-api-version': undefined,
  'get-token': undefined,
  healthz: undefined,
  readyz: undefined,
  metrics: 'metrics',
  'list-catalog': 'catalog',
  'list-tags': 'pull',
  'get-referrers': 'pull',
  'get-manifest': 'pull',
  'get-blob': 'pull',
  'put-manifest': 'push',
  'start-upload': 'push',
  'mount-blob': 'push',
  'get-upload': 'push',
  'update-upload': 'push',
  'complete-upload': 'push',
  'cancel-upload': 'push',
  'delete-manifest': 'delete',
  'delete-blob': 'delete',
} as const satisfies Readonly<Record<ActionKind, ScopeAction | RegistryScope | undefined>>

/** Pure; `scopes` of null narrow nothing. The source of a mount is an action of its own. */
export function scopeAllows(scopes: readonly Scope[] | null, action: Action): boolean {
  if (scopes === null) return true
  const need = needed[action.kind]
  if (need === undefined) return true
  if (need === 'catalog' || need === 'metrics') return scopes.some(({ type }) => type === need)
  return 'repository' in action && scopes.some((scope) => holds(scope, action.repository, need))
}

/**
 * The refusal of an action outside the scopes. Who shows a token is told which one it takes, so as to
 * fetch it; an API key cannot get more than it has.
 */
export function scopeRefusal(identity: Identity, action: Action): OciError {
  const detail = { action: action.kind }
  if (identity.authMethod === 'api-key') {
    return new OciError('DENIED', { message: 'the API key has no scope for this', detail })
  }
  // To who has not logged in, clients show the message of the table.
  const isKnown = identity.authMethod === 'token'
  return new OciError('UNAUTHORIZED', {
    ...(isKnown ? { message: 'the token has no scope for this' } : {}),
    headers: [challenge],
    detail,
    cause: new InsufficientScope(),
  })
}

/** As `scopeAllows`, for a scope action itself. */
export function holds(scope: Scope, repository: RepositoryName, action: ScopeAction): boolean {
  return (
    scope.type === 'repository' &&
    scope.actions.includes(action) &&
    targetHolds(scope.target, repository)
  )
}

/**
 * What a client has to ask for to do this, as one text; undefined where no scope is needed. A push
 * needs to look at what is there, and a mount to read its source.
 */
export function scopeFor(action: Action): string | undefined {
  const need = needed[action.kind]
  if (need === undefined) return undefined
  if (need === 'catalog' || need === 'metrics') return scopeText({ type: need })
  if (!('repository' in action)) return undefined
  const actions: readonly ScopeAction[] = need === 'push' ? ['pull', 'push'] : [need]
  const own = repositoryScope(action.repository, actions)
  const source = action.kind === 'mount-blob' ? action.from : undefined
  return source === undefined || source === action.repository
    ? own
    : `${own} ${repositoryScope(source, ['pull'])}`
}

function repositoryScope(name: RepositoryName, actions: readonly ScopeAction[]): string {
  return scopeText({ type: 'repository', target: { kind: 'repository', name }, actions })
}

// Remembers decisions. Policies are pure, so one holds as long as the policies and the identity do.

import type { Identity } from '../authenticate/identity.ts'
import type { Action, ActionKind } from '../route/action.ts'
import { ByIdentity } from './by-identity.ts'
import type { CompiledPolicy } from './policy/compile.ts'
import type { Decision } from './policy/decide.ts'

const sizeMax = 16_384
// Units: characters. What clients think up is thousands long, and would be kept for each decision.
const clientTextMax = 256

/** One decision for a repository, or where rules look closer, one for each action in it. */
type Known = Decision | Map<Action, Decision>
type OfIdentity = Map<ActionKind, Map<string, Known>>

/** How much of a request decides. `client`: an address decides, so nothing is remembered. */
type Depth = 'repository' | 'action' | 'client'

/** `implied`: made for a question beside the request's own, so that its object never comes again. */
export type ActionOrigin = 'routed' | 'implied'

const repositoryReads: ReadonlySet<string> = new Set([
  'request.action',
  'request.namespace',
  'request.repository',
])

/**
 * For one set of policies. No key is built: the keys are objects and strings that a request has
 * anyway. Limits: 16,384 decisions, none of an action with long texts; then it begins anew.
 */
export class DecisionMemo {
  readonly #known = new ByIdentity<OfIdentity>(sizeMax, newMap)

  find(identity: Identity, action: Action): Decision | undefined {
    const known = this.#known.of(identity)?.get(action.kind)?.get(repositoryOf(action))
    return known instanceof Map ? known.get(action) : known
  }

  /** `policies`: those that made the decision. */
  add(
    identity: Identity,
    action: Action,
    policies: readonly CompiledPolicy[],
    decision: Decision,
    origin: ActionOrigin,
  ): void {
    const depth = depthOf(policies)
    // An action that is not read is made for one request, so it would never be found again.
    const comesAgain = origin === 'routed' && isRead(action) && isShort(action)
    if (depth === 'client' || (depth === 'action' && !comesAgain)) return
    const kinds = this.#known.grow(identity)
    const repositories = entry(kinds, action.kind, newMap<string, Known>)
    const repository = repositoryOf(action)
    if (depth === 'repository') {
      repositories.set(repository, decision)
      return
    }
    const known = entry(repositories, repository, newMap<Action, Decision>)
    if (known instanceof Map) known.set(action, decision)
  }
}

function repositoryOf(action: Action): string {
  return 'repository' in action ? action.repository : ''
}

// The route remembers the actions of GET and HEAD.
function isRead({ kind }: Action): boolean {
  return kind.startsWith('get-') || kind.startsWith('list-')
}

function isShort(action: Action): boolean {
  const last = 'page' in action ? action.page.last : undefined
  const artifactType = action.kind === 'get-referrers' ? action.artifactType : undefined
  return (last?.length ?? 0) + (artifactType?.length ?? 0) <= clientTextMax
}

const depths = new WeakMap<CompiledPolicy, Depth>()

function depthOf(policies: readonly CompiledPolicy[]): Depth {
  let deepest: Depth = 'repository'
  for (const policy of policies) {
    const depth = depths.get(policy) ?? readDepth(policy)
    depths.set(policy, depth)
    if (depth === 'client') return 'client'
    if (depth === 'action') deepest = 'action'
  }
  return deepest
}

function readDepth(policy: CompiledPolicy): Depth {
  if (policy.rules.some(({ reads }) => reads.has('identity.client_ip'))) return 'client'
  return readsRequest(policy) ? 'action' : 'repository'
}

/** Whether a rule looks at more of a request than its action and its repository. */
export function readsRequest({ rules }: CompiledPolicy): boolean {
  return rules.some(({ reads }) =>
    [...reads].some((path) => path.startsWith('request.') && !repositoryReads.has(path)),
  )
}

/** Whether a rule tells one repository from another. */
export function readsRepository({ rules }: CompiledPolicy): boolean {
  return rules.some(
    ({ reads }) => reads.has('request.repository') || reads.has('request.namespace'),
  )
}

/** Whether a rule tells one tag or digest of a repository from another. */
export function readsReference({ rules }: CompiledPolicy): boolean {
  return rules.some(({ reads }) => reads.has('request.reference'))
}

function newMap<K, V>(): Map<K, V> {
  return new Map()
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const before = map.get(key)
  if (before !== undefined) return before
  const made = make()
  map.set(key, made)
  return made
}

// Remembers decisions. Policies are pure, so one holds as long as the policies and the identity do.

import type { Identity } from '../authenticate/identity.ts'
import type { Action, ActionKind } from '../route/action.ts'
import type { CompiledPolicy } from './policy/compile.ts'
import type { Decision } from './policy/decide.ts'

const sizeMax = 16_384

/** One decision for a repository, or where rules look closer, one for each action in it. */
type Known = Decision | Map<Action, Decision>
type OfIdentity = Map<ActionKind, Map<string, Known>>

/** How much of a request decides. `client`: an address decides, so nothing is remembered. */
type Depth = 'repository' | 'action' | 'client'

const repositoryReads: ReadonlySet<string> = new Set([
  'request.action',
  'request.namespace',
  'request.repository',
])

/**
 * For one set of policies. No key is built: the keys are objects and strings that a request has
 * anyway. Limits: 16,384 decisions; then it begins anew.
 */
export class DecisionMemo {
  #identities = new WeakMap<Identity, OfIdentity>()
  #size = 0
  // A busy connection keeps its identity, and comparing is cheaper than looking up.
  #lastIdentity: Identity | undefined
  #last: OfIdentity | undefined

  find(identity: Identity, action: Action): Decision | undefined {
    const known = this.#of(identity)?.get(action.kind)?.get(repositoryOf(action))
    return known instanceof Map ? known.get(action) : known
  }

  /** `policies`: those that made the decision. */
  add(
    identity: Identity,
    action: Action,
    policies: readonly CompiledPolicy[],
    decision: Decision,
  ): void {
    const depth = depthOf(policies)
    // An action that is not read is made for one request, so it would never be found again.
    if (depth === 'client' || (depth === 'action' && !isRead(action))) return
    if (this.#size >= sizeMax) this.#forget()
    const kinds = this.#of(identity) ?? this.#begin(identity)
    const repositories = entry(kinds, action.kind, newMap<string, Known>)
    const repository = repositoryOf(action)
    this.#size += 1
    if (depth === 'repository') {
      repositories.set(repository, decision)
      return
    }
    const known = entry(repositories, repository, newMap<Action, Decision>)
    if (known instanceof Map) known.set(action, decision)
  }

  #of(identity: Identity): OfIdentity | undefined {
    if (identity === this.#lastIdentity) return this.#last
    this.#lastIdentity = identity
    this.#last = this.#identities.get(identity)
    return this.#last
  }

  #begin(identity: Identity): OfIdentity {
    const kinds: OfIdentity = new Map()
    this.#identities.set(identity, kinds)
    this.#lastIdentity = identity
    this.#last = kinds
    return kinds
  }

  #forget(): void {
    this.#identities = new WeakMap()
    this.#size = 0
    this.#lastIdentity = undefined
    this.#last = undefined
  }
}

function repositoryOf(action: Action): string {
  return 'repository' in action ? action.repository : ''
}

// The route remembers the actions of GET and HEAD.
function isRead({ kind }: Action): boolean {
  return kind.startsWith('get-') || kind.startsWith('list-')
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

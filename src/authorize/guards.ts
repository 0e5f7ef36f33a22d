// Which guards an action must pass, by its repository.

import type { RepositoryName } from '../oci/name.ts'
import type { Action } from '../route/action.ts'
import type { Guard, Guards } from './guard.ts'
import { matching } from './prefixes.ts'

/** Names of guards, as one level of a configuration has them. */
export interface ChosenGuards {
  readonly webhook?: string | undefined
  readonly opa?: string | undefined
}

export interface GuardsOptions {
  readonly global: ChosenGuards
  readonly repositories: ReadonlyArray<ChosenGuards & { readonly prefix: string }>
  /** By the names that `ChosenGuards` uses. */
  readonly webhooks: ReadonlyMap<string, Guard>
  readonly opas: ReadonlyMap<string, Guard>
}

const repositoriesMax = 4096

/**
 * All that apply are asked, so that one more never allows more: those of the whole registry first, then
 * those of each prefix, from short to long; each once, on a level webhook before OPA. Undefined where
 * nothing is guarded. Errors: an Error for a name that is not there.
 */
export function createGuards(options: GuardsOptions): Guards | undefined {
  const everywhere = [...new Set(chosen(options.global, options))]
  const byPrefix = new Map<string, readonly Guard[]>()
  for (const repository of options.repositories) {
    const guards = chosen(repository, options)
    if (guards.length > 0) byPrefix.set(repository.prefix, guards)
  }
  if (everywhere.length === 0 && byPrefix.size === 0) return undefined
  if (byPrefix.size === 0) return { guardsFor: () => everywhere }
  let known = new Map<RepositoryName, readonly Guard[]>()
  return {
    guardsFor(action: Action): readonly Guard[] {
      if (!('repository' in action)) return everywhere
      const before = known.get(action.repository)
      if (before !== undefined) return before
      const guards = new Set([...everywhere, ...matching(byPrefix, action.repository).flat()])
      const made = [...guards]
      if (known.size >= repositoriesMax) known = new Map()
      known.set(action.repository, made)
      return made
    },
  }
}

function chosen(
  { webhook, opa }: ChosenGuards,
  { webhooks, opas }: GuardsOptions,
): readonly Guard[] {
  return [named('webhook', webhooks, webhook), named('OPA', opas, opa)].flat()
}

function named(
  kind: string,
  guards: ReadonlyMap<string, Guard>,
  name: string | undefined,
): readonly Guard[] {
  if (name === undefined) return []
  const guard = guards.get(name)
  // Left out, it would be a step less.
  if (guard === undefined) throw new Error(`there is no ${kind} ${JSON.stringify(name)}`)
  return [guard]
}

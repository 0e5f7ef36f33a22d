// What else the caller of a request may read: the source of a mount, and what a list would name.

import type { Identity } from '../authenticate/identity.ts'
import { scopeAllows } from '../authenticate/token/scope.ts'
import type { Authorize } from '../authorize/authorize.ts'
import type { Asked } from '../authorize/guard.ts'
import { everything, type Sight } from '../operation/sight.ts'
import type { MayPull } from '../operation/start-upload.ts'
import type { Action } from '../route/action.ts'

export function pullsOf(identity: Identity, authorize: Authorize, around: Asked): MayPull {
  return (repository, digest) => {
    const pull = { kind: 'get-blob', repository, digest, head: false } as const
    const read = new ImpliedRead(`/v2/${repository}/blobs/${digest}`, around)
    return scopeAllows(identity.scopes, pull) && authorize.isAllowed(identity, pull, read)
  }
}

/**
 * A repository is seen by who may list its tags, and a tag or referrer by who may fetch it. Of a token
 * the scope of the list itself is enough: clients ask for no other one.
 */
export function sightOf(
  identity: Identity,
  action: Action,
  authorize: Authorize,
  around: Asked,
): Sight {
  if (action.kind === 'list-catalog') {
    return {
      repositories: {
        areAlike: !authorize.tellsRepositoriesApart,
        sees: (repository) => {
          const list = { kind: 'list-tags', repository, page: {} } as const
          const read = new ImpliedRead(`/v2/${repository}/tags/list`, around)
          return authorize.isAllowed(identity, list, read)
        },
      },
      references: undefined,
    }
  }
  if (action.kind !== 'list-tags' && action.kind !== 'get-referrers') return everything
  const { repository } = action
  if (!authorize.tellsReferencesApart(repository)) return everything
  return {
    repositories: undefined,
    references: (reference) => {
      const pull = { kind: 'get-manifest', repository, reference, head: false } as const
      const text = reference.kind === 'tag' ? reference.tag : reference.digest
      const read = new ImpliedRead(`/v2/${repository}/manifests/${text}`, around)
      return authorize.isAllowed(identity, pull, read)
    },
  }
}

/**
 * Whoever judges by method and path must see those of the read, not of the request around it. A class,
 * since a list makes a thousand of them, and objects with closures took most of its time.
 */
class ImpliedRead implements Asked {
  readonly method = 'GET'
  readonly query = ''
  readonly path: string
  readonly #around: Asked

  constructor(path: string, around: Asked) {
    this.path = path
    this.#around = around
  }

  get isSecure(): boolean {
    return this.#around.isSecure
  }

  header(name: string): string {
    return this.#around.header(name)
  }

  clientIp(): string {
    return this.#around.clientIp()
  }
}

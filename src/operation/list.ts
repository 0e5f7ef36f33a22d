// Lists of tags and repositories, page by page.

import { apiVersion, unknownReply } from '../http/error-reply.ts'
import { HeaderBlock, type HeaderPair } from '../http/header-block.ts'
import type { Reply } from '../http/reply.ts'
import { linkNext } from '../oci/link.ts'
import type { Action, ListPage } from '../route/action.ts'
import type { MaybePromise } from '../storage/metadata/contract.ts'
import { chain, type Registry } from './registry.ts'

type ListTags = Extract<Action, { kind: 'list-tags' }>
type ListCatalog = Extract<Action, { kind: 'list-catalog' }>

/** Most names in one reply; a list without `n` that is longer gets a Link as well. */
export const listLimitMax = 10_000

const encoder = new TextEncoder()

/** Source: distribution-spec end-8a, end-8b. */
export function listTags(action: ListTags, registry: Registry): MaybePromise<Reply> {
  const { page, repository } = action
  const limit = limitOf(page)
  return chain(registry.metadata.listTags(repository, storePage(page, limit)), (tags) => {
    if (tags === undefined) return unknownReply('NAME_UNKNOWN')
    const { names, next } = cut(tags, limit)
    const body = { name: repository, tags: names }
    return listReply(body, `/v2/${repository}/tags/list`, limit, next)
  })
}

/** Source: Docker Registry HTTP API V2 "Catalog". */
export function listCatalog(action: ListCatalog, registry: Registry): MaybePromise<Reply> {
  const { page } = action
  const limit = limitOf(page)
  return chain(registry.metadata.listRepositories(storePage(page, limit)), (repositories) => {
    const { names, next } = cut(repositories, limit)
    return listReply({ repositories: names }, '/v2/_catalog', limit, next)
  })
}

function limitOf(page: ListPage): number {
  return Math.min(page.limit ?? listLimitMax, listLimitMax)
}

// One more than asked for tells whether there is a next page.
function storePage(page: ListPage, limit: number): { after?: string; limit: number } {
  return { ...(page.last === undefined ? {} : { after: page.last }), limit: limit + 1 }
}

function cut<T extends string>(
  found: readonly T[],
  limit: number,
): { readonly names: readonly T[]; readonly next: T | undefined } {
  const names = found.slice(0, limit)
  return { names, next: found.length > limit ? names.at(-1) : undefined }
}

function listReply(body: object, path: string, limit: number, next: string | undefined): Reply {
  const headers: HeaderPair[] = [['Content-Type', 'application/json'], apiVersion]
  if (next !== undefined) headers.push(['Link', linkNext(path, { n: String(limit), last: next })])
  return {
    kind: 'whole',
    status: 200,
    headers: new HeaderBlock(headers),
    body: encoder.encode(JSON.stringify(body)),
  }
}

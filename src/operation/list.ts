// Lists of tags and repositories, page by page, of what the caller may see.

import { apiVersion, unknownReply } from '../http/error-reply.ts'
import { HeaderBlock, type HeaderPair } from '../http/header-block.ts'
import type { Reply } from '../http/reply.ts'
import { linkNext } from '../oci/link.ts'
import type { RepositoryName } from '../oci/name.ts'
import type { Tag } from '../oci/tag.ts'
import type { Action, ListPage } from '../route/action.ts'
import type { MaybePromise } from '../storage/metadata/contract.ts'
import { isCursor, openCursor, sealCursor } from './list-cursor.ts'
import { chain, type Registry } from './registry.ts'
import type { Sight } from './sight.ts'
import { visiblePage } from './visible-page.ts'

type ListTags = Extract<Action, { kind: 'list-tags' }>
type ListCatalog = Extract<Action, { kind: 'list-catalog' }>

/** Most names in one reply; a list without `n` that is longer gets a Link as well. */
export const listLimitMax = 10_000

const encoder = new TextEncoder()

/** Source: distribution-spec end-8a, end-8b. Errors: OciError PAGINATION_INVALID. */
export function listTags(action: ListTags, registry: Registry, sight: Sight): MaybePromise<Reply> {
  const { page, repository } = action
  const { references } = sight
  const list: List<Tag> = {
    path: `/v2/${repository}/tags/list`,
    read: (after, limit) => registry.metadata.listTags(repository, storePage(after, limit)),
    body: (tags) => ({ name: repository, tags }),
  }
  const sees = references && ((tag: Tag) => references({ kind: 'tag', tag }))
  return answer(list, page, registry, sees)
}

/** Source: Docker Registry HTTP API V2 "Catalog". Errors: OciError PAGINATION_INVALID. */
export function listCatalog(
  action: ListCatalog,
  registry: Registry,
  { repositories }: Sight,
): MaybePromise<Reply> {
  const list: List<RepositoryName> = {
    path: '/v2/_catalog',
    read: (after, limit) => registry.metadata.listRepositories(storePage(after, limit)),
    body: (names) => ({ repositories: names }),
  }
  if (repositories?.areAlike !== true) {
    return answer(list, action.page, registry, repositories?.sees)
  }
  return chain(list.read(undefined, 1), (some) => {
    const first = some?.[0]
    return chain(first === undefined || repositories.sees(first), (areSeen) =>
      areSeen ? answer(list, action.page, registry, undefined) : listReply(list, [], 0, undefined),
    )
  })
}

/** A list in the store, and how it is shown. */
interface List<T extends string> {
  readonly path: string
  /** Undefined where there is no such list. */
  readonly read: (
    after: string | undefined,
    limit: number,
  ) => MaybePromise<readonly T[] | undefined>
  readonly body: (items: readonly T[]) => object
}

/** `sees` undefined: all of it is shown. */
function answer<T extends string>(
  list: List<T>,
  page: ListPage,
  registry: Registry,
  sees: ((item: T) => MaybePromise<boolean>) | undefined,
): MaybePromise<Reply> {
  const limit = limitOf(page)
  if (sees !== undefined && limit > 0) return answerSeen(list, page, registry, sees)
  const start = isCursor(page.last) ? openCursor(registry, list.path, page.last) : page.last
  return chain(start, (after) =>
    // One more than asked for tells whether there is a next page.
    chain(list.read(after, limit + 1), (found) => {
      if (found === undefined) return unknownReply('NAME_UNKNOWN')
      const items = found.slice(0, limit)
      return listReply(list, items, limit, found.length > limit ? items.at(-1) : undefined)
    }),
  )
}

async function answerSeen<T extends string>(
  list: List<T>,
  { last, ...page }: ListPage,
  registry: Registry,
  sees: (item: T) => MaybePromise<boolean>,
): Promise<Reply> {
  const limit = limitOf(page)
  const after = isCursor(last) ? await openCursor(registry, list.path, last) : last
  const found = await visiblePage({ read: list.read, after, limit, sees })
  if (found === undefined) return unknownReply('NAME_UNKNOWN')
  const { items, next } = found
  if (next === undefined || next.isSeen) return listReply(list, items, limit, next?.item)
  return listReply(list, items, limit, await sealCursor(registry, list.path, next.item))
}

function limitOf(page: ListPage): number {
  return Math.min(page.limit ?? listLimitMax, listLimitMax)
}

function storePage(after: string | undefined, limit: number): { after?: string; limit: number } {
  return { ...(after === undefined ? {} : { after }), limit }
}

function listReply<T extends string>(
  { path, body }: List<T>,
  items: readonly T[],
  limit: number,
  next: string | undefined,
): Reply {
  const headers: HeaderPair[] = [['Content-Type', 'application/json'], apiVersion]
  if (next !== undefined) headers.push(['Link', linkNext(path, { n: String(limit), last: next })])
  return {
    kind: 'whole',
    status: 200,
    headers: new HeaderBlock(headers),
    body: encoder.encode(JSON.stringify(body(items))),
  }
}

// Pages of what can be brought back: what runs have taken away, then manifests that anybody has deleted.

import { type Digest, parseDigest } from '../../oci/digest.ts'
import { parseRepositoryName } from '../../oci/name.ts'
import type { Dropped, RemovedManifest } from '../../storage/metadata/garbage.ts'
import type { MaintenanceStore } from '../../storage/metadata/maintenance.ts'

/** What is asked for: all of a run, all of a digest, or all. */
export interface Wanted {
  readonly run?: string
  readonly digest?: Digest
}

export type Restorable =
  | { readonly kind: 'dropped'; readonly dropped: Dropped }
  | { readonly kind: 'manifest'; readonly removed: RemovedManifest }

export interface RestorablePage {
  readonly items: readonly Restorable[]
  /** Where to go on; absent at the end. */
  readonly next?: string
}

const rowsMax = 5_000
// Other requests wait for a look. Manifests are read with all that they name.
const rowsPerLook = { dropped: 200, manifests: 10 } as const

/**
 * The next of them, at most `limit`; a page may have few, or none, and still not be the last.
 * Errors: StorageError.
 */
export async function readRestorable(
  metadata: MaintenanceStore,
  wanted: Wanted,
  page: { readonly from: Cursor | undefined; readonly limit: number },
): Promise<RestorablePage> {
  const items: Restorable[] = []
  let cursor = page.from ?? start
  for (let looked = 0; looked < rowsMax && items.length < page.limit; ) {
    const limit = Math.min(rowsPerLook[cursor.list], page.limit - items.length)
    looked += limit
    const rows = await look(metadata, cursor, limit)
    items.push(...rows.filter((row) => isWanted(row, wanted)))
    const last = rows.at(-1)
    if (last !== undefined) cursor = { list: cursor.list, after: keyOf(last) }
    else if (cursor.list === 'manifests') return { items }
    else cursor = { list: 'manifests' }
    // A long list is no reason to keep others waiting.
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { items, next: encodeCursor(cursor) }
}

async function look(
  metadata: MaintenanceStore,
  { after, list }: Cursor,
  limit: number,
): Promise<Restorable[]> {
  // What cannot be read cannot be brought back; `keelson scrub` tells of it.
  const onCorrupt = (): void => {}
  // Only the place among the others counts of what `after` says.
  const size = 0
  if (list === 'dropped') {
    const rows = await metadata.listDropped({
      ...{ limit, onCorrupt },
      ...(after === undefined ? {} : { after: { ...after, size, run: '' } }),
    })
    return rows.map((dropped) => ({ kind: 'dropped', dropped }))
  }
  const { repository } = after ?? {}
  const rows = await metadata.listRemovedManifests({
    ...{ limit, onCorrupt },
    ...(after === undefined || repository === undefined
      ? {}
      : { after: { ...after, repository, size, mediaType: '', tags: [], children: [] } }),
  })
  return rows.map((removed) => ({ kind: 'manifest', removed }))
}

function isWanted(row: Restorable, { run, digest }: Wanted): boolean {
  const { run: by, digest: of } = row.kind === 'dropped' ? row.dropped : row.removed
  return (run === undefined || by === run) && (digest === undefined || of === digest)
}

type Key = Pick<Dropped, 'atMs' | 'digest' | 'repository'>

export interface Cursor {
  readonly list: 'dropped' | 'manifests'
  readonly after?: Key
}

const start: Cursor = { list: 'dropped' }

function keyOf(row: Restorable): Key {
  const { atMs, digest, repository } = row.kind === 'dropped' ? row.dropped : row.removed
  return repository === undefined ? { atMs, digest } : { atMs, digest, repository }
}

function encodeCursor({ list, after }: Cursor): string {
  const { atMs = 0, digest = '', repository = '' } = after ?? {}
  return [list, atMs, digest, repository].join(' ')
}

/** Undefined where it is none. */
export function parseCursor(text: string): Cursor | undefined {
  const [list = '', at = '', digestText = '', repositoryText = ''] = text.split(' ')
  if (list !== 'dropped' && list !== 'manifests') return undefined
  if (digestText === '') return { list }
  const atMs = Number(at)
  const digest = parseDigest(digestText)
  if (digest === undefined || !Number.isSafeInteger(atMs) || atMs < 0) return undefined
  if (repositoryText === '') return { list, after: { atMs, digest } }
  const repository = parseRepositoryName(repositoryText)
  return repository === undefined ? undefined : { list, after: { atMs, digest, repository } }
}

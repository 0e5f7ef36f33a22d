// Where a tag has pointed, and to bring it back there.

import { type Digest, parseDigest } from '../../oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../oci/name.ts'
import { parseTag, type Tag } from '../../oci/tag.ts'
import type { TagMove } from '../../storage/metadata/tag-history.ts'
import { type RoomAnswer, refusal, shownTime } from './answer.ts'
import { bringBack } from './bring-back.ts'
import type { TagCallsSource } from './contract.ts'

/** As `tag history` answers it. */
export interface ShownHistory {
  readonly repository: string
  readonly tag: string
  /** Where it points; absent where it is not there. */
  readonly digest?: string
  /** The latest first. */
  readonly moves: readonly {
    readonly at: string
    readonly from?: string
    readonly to?: string
  }[]
}

// What else Date.parse takes means other moments in other places: 5, 01/02/2027, or a time without a zone.
const isoTime = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/
const limitDefault = 50
const movesMax = 10_000

/** By path, of a GET: `?repository=&tag=&limit=`. */
export function tagRoutes(
  source: TagCallsSource,
): Readonly<Record<string, (query: URLSearchParams) => Promise<RoomAnswer>>> {
  return { '/tag/history': (query) => history(source, query) }
}

/** By path, of a POST: `{ repository, tag, to? | at? }`. */
export function tagCalls(
  source: TagCallsSource,
): Readonly<Record<string, (input: unknown) => Promise<RoomAnswer>>> {
  return { '/tag/restore': (input) => restore(source, input) }
}

async function history(source: TagCallsSource, query: URLSearchParams): Promise<RoomAnswer> {
  const named = parseNamed(Object.fromEntries(query))
  if (typeof named === 'string') return refusal(400, named)
  const limit = Number(query.get('limit') ?? limitDefault)
  if (!Number.isInteger(limit) || limit < 1 || limit > movesMax) {
    return refusal(400, `limit: expected a number from 1 to ${movesMax}`)
  }
  const { metadata, shared } = source.parts
  const { repository, tag } = named
  if (shared) metadata.refresh()
  const digest = await metadata.readTag(repository, tag)
  const moves = await metadata.readTagHistory(repository, tag, limit)
  const body: ShownHistory = {
    ...{ repository, tag },
    ...(digest === undefined ? {} : { digest }),
    moves: moves.map(({ atMs, from, to }) => ({
      at: shownTime(atMs),
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
    })),
  }
  return { status: 200, body }
}

async function restore(source: TagCallsSource, input: unknown): Promise<RoomAnswer> {
  if (typeof input !== 'object' || input === null) return refusal(400, 'expected an object')
  const asked: Readonly<Record<string, unknown>> = { ...input }
  const named = parseNamed(asked)
  if (typeof named === 'string') return refusal(400, named)
  const { metadata, shared } = source.parts
  const { repository, tag } = named
  if (shared) metadata.refresh()
  const current = await metadata.readTag(repository, tag)
  const moves = await metadata.readTagHistory(repository, tag, movesMax)
  const target = targetOf(moves, asked)
  if (typeof target === 'string') return refusal(409, `${repository}:${tag}: ${target}`)
  if ('error' in target) return refusal(400, target.error)
  const { digest } = target
  if (digest === current) return refusal(409, `${repository}:${tag} points to ${digest} already`)
  if (current !== undefined && source.settings().isImmutable(repository)(tag)) {
    return refusal(409, `${repository}:${tag} is immutable`)
  }
  return bringBack(source, { repository, tag, digest, current })
}

function parseNamed(
  asked: Readonly<Record<string, unknown>>,
): { readonly repository: RepositoryName; readonly tag: Tag } | string {
  const { repository, tag, to: _to, at: _at, limit: _limit, ...others } = asked
  const [surplus] = Object.keys(others)
  if (surplus !== undefined) return `${surplus} is not known`
  const name = typeof repository === 'string' ? parseRepositoryName(repository) : undefined
  if (name === undefined) return 'repository: expected the name of a repository'
  const parsed = typeof tag === 'string' ? parseTag(tag) : undefined
  return parsed === undefined ? 'tag: expected a tag' : { repository: name, tag: parsed }
}

/** A sentence where there is none; `error` where nobody can know what is meant. */
function targetOf(
  moves: readonly TagMove[],
  { to, at }: Readonly<Record<string, unknown>>,
): { readonly digest: Digest } | { readonly error: string } | string {
  if (to !== undefined && at !== undefined) return { error: 'expected to or at, not both' }
  const [last] = moves
  if (last === undefined) return 'nothing is known of such a tag'
  if (to !== undefined) return byDigest(moves, to)
  if (at !== undefined) return byTime(moves, at)
  if (last.from === undefined) return `it pointed nowhere before ${shownTime(last.atMs)}`
  return { digest: last.from }
}

function byDigest(
  moves: readonly TagMove[],
  to: unknown,
): { readonly digest: Digest } | { readonly error: string } | string {
  const digest = typeof to === 'string' ? parseDigest(to) : undefined
  if (digest === undefined) return { error: 'to: expected a digest such as sha256:…' }
  const isKnown = moves.some((move) => move.from === digest || move.to === digest)
  return isKnown ? { digest } : `it never pointed to ${digest}`
}

function byTime(
  moves: readonly TagMove[],
  at: unknown,
): { readonly digest: Digest } | { readonly error: string } | string {
  const timeMs = typeof at === 'string' && isoTime.test(at) ? Date.parse(at) : Number.NaN
  if (Number.isNaN(timeMs)) {
    return { error: 'at: expected a time such as 2027-01-31T00:00:00Z' }
  }
  const inForce = moves.find(({ atMs }) => atMs <= timeMs)
  const shown = shownTime(timeMs)
  if (inForce === undefined) return `nothing is known of it before ${shown}`
  if (inForce.to === undefined) return `it was not there at ${shown}`
  return { digest: inForce.to }
}

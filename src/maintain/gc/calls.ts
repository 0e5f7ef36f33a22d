// What can be asked about garbage besides a run: what can be brought back, and to bring it back.

import { parseDigest } from '../../oci/digest.ts'
import type { JobDeed, JobParts } from '../job/contract.ts'
import {
  type Cursor,
  parseCursor,
  type Restorable,
  readRestorable,
  type Wanted,
} from './dropped-page.ts'
import { restorePage } from './restore.ts'
import type { GcSettings } from './settings.ts'
import { shownTime } from './tally.ts'

export interface GcAnswer {
  readonly status: number
  readonly body: object
}

export interface GcCallsSource {
  readonly parts: Pick<JobParts, 'metadata' | 'changing' | 'now' | 'shared'>
  /** Asked each time. */
  readonly settings: () => Pick<GcSettings, 'graceMs' | 'restoreWindowMs'>
  /** Once it is done. */
  readonly record: (deed: JobDeed) => void
}

const limitDefault = 200
const limitMax = 1_000
const runLengthMax = 100

/** By path, of a GET. `?run=`, `?digest=`, `?limit=`, `?from=` (the `next` of the page before). */
export function gcRoutes(
  source: GcCallsSource,
): Readonly<Record<string, (query: URLSearchParams) => Promise<GcAnswer>>> {
  return { '/gc/dropped': (query) => listDropped(source, query) }
}

/** By path, of a POST. `{ run }` or `{ digest }`, and `from` as above. */
export function gcCalls(
  source: GcCallsSource,
): Readonly<Record<string, (input: unknown) => Promise<GcAnswer>>> {
  return { '/gc/restore': (input) => restore(source, input) }
}

async function listDropped(source: GcCallsSource, query: URLSearchParams): Promise<GcAnswer> {
  const asked = parseAsked(Object.fromEntries(query))
  if (typeof asked === 'string') return refusal(400, asked)
  const limitText = query.get('limit')
  const limit = limitText === null ? limitDefault : Number(limitText)
  if (!Number.isInteger(limit) || limit < 1 || limit > limitMax) {
    return refusal(400, `limit: expected a number from 1 to ${limitMax}`)
  }
  const { metadata, shared } = source.parts
  if (shared) metadata.refresh()
  const { items, next } = await readRestorable(metadata, asked.wanted, { from: asked.from, limit })
  const { restoreWindowMs } = source.settings()
  const shown = items.map((item) => shownItem(item, restoreWindowMs))
  return { status: 200, body: next === undefined ? { items: shown } : { items: shown, next } }
}

async function restore(source: GcCallsSource, input: unknown): Promise<GcAnswer> {
  if (typeof input !== 'object' || input === null) return refusal(400, 'expected an object')
  const asked = parseAsked(input)
  if (typeof asked === 'string') return refusal(400, asked)
  const { run, digest } = asked.wanted
  if ((run === undefined) === (digest === undefined)) {
    return refusal(400, 'expected a run or a digest')
  }
  const { parts, record, settings } = source
  const reason = run === undefined ? 'an operator asked for it' : `an operator asked for run ${run}`
  const { graceMs } = settings()
  const from = asked.from
  const page = await restorePage({ parts, record, graceMs, reason }, asked.wanted, from)
  return { status: 200, body: page }
}

interface Asked {
  readonly wanted: Wanted
  readonly from: Cursor | undefined
}

function parseAsked(input: object): Asked | string {
  const {
    run,
    digest,
    from,
    limit: _limit,
    ...others
  }: Readonly<Record<string, unknown>> = {
    ...input,
  }
  const [surplus] = Object.keys(others)
  if (surplus !== undefined) return `unknown field ${surplus}`
  if (run !== undefined && (typeof run !== 'string' || run.length > runLengthMax)) {
    return 'run: expected the id of a run'
  }
  const parsed = typeof digest === 'string' ? parseDigest(digest) : undefined
  if (digest !== undefined && parsed === undefined) return 'digest: expected one such as sha256:…'
  const cursor = typeof from === 'string' ? parseCursor(from) : undefined
  if (from !== undefined && cursor === undefined) return 'from: expected the next of an answer'
  const wanted = {
    ...(typeof run === 'string' ? { run } : {}),
    ...(parsed === undefined ? {} : { digest: parsed }),
  }
  return { wanted, from: cursor }
}

/** As the admin interface shows it. */
export interface ShownRestorable {
  /** `hold`: of a repository on a blob. */
  readonly kind: 'blob' | 'hold' | 'manifest'
  readonly digest: string
  readonly size: number
  readonly repository?: string
  readonly tags?: readonly string[]
  readonly droppedAt: string
  /** Absent where a client deleted it. */
  readonly run?: string
  /** From then on it may be destroyed. */
  readonly until: string
}

function shownItem(item: Restorable, windowMs: number): ShownRestorable {
  const { atMs, digest, size, run, repository } =
    item.kind === 'dropped' ? item.dropped : item.removed
  const of = item.kind === 'manifest' ? { tags: item.removed.tags } : {}
  const held = repository === undefined ? 'blob' : 'hold'
  return {
    ...{ kind: item.kind === 'manifest' ? 'manifest' : held, digest, size },
    ...(repository === undefined ? {} : { repository }),
    ...of,
    droppedAt: shownTime(atMs),
    ...(run === undefined ? {} : { run }),
    until: shownTime(atMs + windowMs),
  }
}

function refusal(status: number, error: string): GcAnswer {
  return { status, body: { error } }
}

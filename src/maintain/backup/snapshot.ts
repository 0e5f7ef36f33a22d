// A snapshot: what one backup holds, with a digest of it all, so that no byte of it changes unseen.

import { readdir, readFile } from 'node:fs/promises'
import { type Digest, digestOfBytes, parseDigest } from '../../oci/digest.ts'
import { BackupError, unlessAbsent } from './error.ts'
import { backupFormat, type Layout, snapshotIdOf } from './layout.ts'

export type SegmentKind = 'record' | 'body' | 'blob'

export interface SegmentName {
  readonly kind: SegmentKind
  /** Of what is inside, uncompressed. */
  readonly digest: Digest
  readonly entries: number
}

/** A blob that the rows rely on, and that was not to be had. */
export interface MissingBlob {
  readonly digest: Digest
  readonly size: number
  readonly reason: string
  /** A repository held it. One that none did was garbage, which may go at any moment. */
  readonly isHeld: boolean
}

export interface Snapshot {
  readonly id: string
  /** As `DumpStore.readStoreId`. */
  readonly store: string
  /** Of the rows; milliseconds since 1970, as `endedAtMs`. */
  readonly takenAtMs: number
  readonly endedAtMs: number
  /** In the order of the dump. */
  readonly segments: readonly SegmentName[]
  readonly repositories: number
  readonly manifests: number
  readonly tags: number
  readonly blobs: { readonly count: number; readonly bytes: number }
  /** Where any of them is held, the backup is not complete. */
  readonly missing: readonly MissingBlob[]
  /** Records that could not be read, for people; they are in it as they are. */
  readonly unreadable: readonly string[]
}

/** What keeps the backup from being complete. */
export function lackedBy({ missing }: Pick<Snapshot, 'missing'>): readonly MissingBlob[] {
  return missing.filter(({ isHeld }) => isHeld)
}

/** With all that is in it. */
export function formatSnapshot(snapshot: Snapshot): Uint8Array {
  const content = { format: backupFormat, ...snapshot }
  const digest = digestOfBytes('sha256', Buffer.from(JSON.stringify(content)))
  return Buffer.from(`${JSON.stringify({ ...content, digest }, undefined, 1)}\n`)
}

/** Errors: BackupError where it is not what was written, or of another format. */
export function parseSnapshot(bytes: Uint8Array, path: string): Snapshot {
  const value = parsed(bytes)
  if (value === undefined) throw new BackupError(`${path} is damaged`)
  const { digest, ...content } = value
  if (digestOfBytes('sha256', Buffer.from(JSON.stringify(content))) !== digest) {
    throw new BackupError(`${path} is damaged: it does not have its own digest`)
  }
  const { format, ...snapshot } = content
  if (format !== backupFormat) {
    throw new BackupError(`${path} has format ${format}, and this version reads ${backupFormat}`)
  }
  // What has its digest is what `formatSnapshot` was given, but the digest is no secret.
  if (!isSnapshot(snapshot)) throw new BackupError(`${path} cannot be read`)
  return snapshot
}

/** Every one, oldest first, by its name alone. */
export async function listSnapshotIds({ snapshots }: Layout): Promise<string[]> {
  const names = (await unlessAbsent(readdir(snapshots))) ?? []
  return names
    .map(snapshotIdOf)
    .filter((id) => id !== undefined)
    .sort()
}

/** Errors: as `parseSnapshot`; BackupError where there is none. */
export async function readSnapshot(layout: Layout, id: string): Promise<Snapshot> {
  const path = layout.snapshot(id)
  const bytes = await unlessAbsent(readFile(path))
  if (bytes === undefined) throw new BackupError(`${path} is not there`)
  const snapshot = parseSnapshot(bytes, path)
  if (snapshot.id !== id) throw new BackupError(`${path} is snapshot ${snapshot.id}`)
  return snapshot
}

/**
 * The one whose id begins so; the latest where `at` is absent.
 * Errors: BackupError where none does, or several do.
 */
export function chooseSnapshot(ids: readonly string[], at: string | undefined): string {
  const found = at === undefined ? ids.slice(-1) : ids.filter((id) => id.startsWith(at))
  const [id] = found
  if (id === undefined) {
    throw new BackupError(at === undefined ? 'there is no snapshot' : `no snapshot is called ${at}`)
  }
  if (found.length > 1) throw new BackupError(`several snapshots begin with ${at}`)
  return id
}

function parsed(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'))
    return typeof value === 'object' && value !== null
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

function isSnapshot(value: object): value is Snapshot {
  const {
    id,
    store,
    takenAtMs,
    endedAtMs,
    segments,
    repositories,
    manifests,
    tags,
    blobs,
    missing,
    unreadable,
  } = value as Readonly<Record<string, unknown>>
  const counts = [takenAtMs, endedAtMs, repositories, manifests, tags]
  return (
    typeof id === 'string' &&
    typeof store === 'string' &&
    counts.every(isCount) &&
    isListOf(
      segments,
      ({ kind, digest, entries }) => isKind(kind) && isDigest(digest) && isCount(entries),
    ) &&
    isListOf([blobs], ({ count, bytes }) => isCount(count) && isCount(bytes)) &&
    isListOf(
      missing,
      ({ digest, size, reason, isHeld }) =>
        [isDigest(digest), isCount(size), typeof reason === 'string'].every(Boolean) &&
        typeof isHeld === 'boolean',
    ) &&
    Array.isArray(unreadable) &&
    unreadable.every((text) => typeof text === 'string')
  )
}

function isListOf(
  value: unknown,
  isOne: (fields: Readonly<Record<string, unknown>>) => boolean,
): boolean {
  return (
    Array.isArray(value) &&
    value.every((one: unknown) => typeof one === 'object' && one !== null && isOne({ ...one }))
  )
}

function isKind(value: unknown): boolean {
  return value === 'record' || value === 'body' || value === 'blob'
}

function isDigest(value: unknown): boolean {
  return typeof value === 'string' && parseDigest(value) !== undefined
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

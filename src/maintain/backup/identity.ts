// Which store a backup directory is of: an id in its first file, so that two stores never mix.

import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectory, NewNames, writeWhole } from './durable-files.ts'
import { BackupError, systemCode, unlessAbsent } from './error.ts'
import { algorithms, backupFormat, type Layout } from './layout.ts'

export interface BackupIdentity {
  /** As `DumpStore.readStoreId`. */
  readonly store: string
  /** Milliseconds since 1970. */
  readonly createdAtMs: number
}

/**
 * Undefined where there is no backup directory, or an empty one.
 * Errors: BackupError where it is something else, or of another format.
 */
export async function readIdentity(layout: Layout): Promise<BackupIdentity | undefined> {
  const text = await unlessAbsent(readFile(layout.identity, 'utf8'))
  if (text !== undefined) return parseIdentity(text, layout)
  const entries = await entriesOf(layout.root)
  // A kill may have come between the directories and the file.
  const isOurs = entries.every((name) => ownNames.has(name) || name.startsWith('.'))
  if (isOurs && (await isWithoutSnapshots(layout))) return undefined
  throw new BackupError(`${layout.root} is no backup directory, and it is not empty`)
}

/** As `readIdentity`. Errors: also BackupError where there is none. */
export async function requireIdentity(layout: Layout): Promise<BackupIdentity> {
  const identity = await readIdentity(layout)
  if (identity === undefined) throw new BackupError(`there is no backup in ${layout.root}`)
  return identity
}

/**
 * Make what is missing in the directory, which must be there itself: where its disk is not mounted, a new
 * one would only look like a backup.
 * Errors: BackupError where it is not there; the system's own.
 */
export async function prepareDirectory(layout: Layout): Promise<void> {
  await requireDirectory(layout.root)
  const names = new NewNames()
  const { temporary, locks, snapshots, segments, blobs } = layout
  const perAlgorithm = algorithms.map((algorithm) => join(blobs, algorithm))
  for (const path of [temporary, locks, snapshots, segments, blobs, ...perAlgorithm]) {
    await makeDirectory(path, names)
  }
  await names.sync()
}

/** Errors: BackupError where it is not there. */
export async function requireDirectory(path: string): Promise<void> {
  const found = await unlessAbsent(stat(path))
  if (found?.isDirectory() === true) return
  const text =
    found === undefined
      ? `${path} is not there: mount its disk, or make the directory once`
      : `${path} is not a directory`
  throw new BackupError(text)
}

/** Only under the lock. */
export async function writeIdentity(
  layout: Layout,
  identity: BackupIdentity,
  temporary: string,
): Promise<void> {
  const names = new NewNames()
  const text = JSON.stringify({ format: backupFormat, ...identity }, undefined, 2)
  await writeWhole(layout.identity, Buffer.from(`${text}\n`), { temporary, names })
  await names.sync()
}

/** What kills have left half written. Only under the lock. */
export async function clearTemporary(layout: Layout): Promise<void> {
  for (const name of await entriesOf(layout.temporary)) {
    await rm(join(layout.temporary, name), { force: true })
  }
}

const ownNames: ReadonlySet<string> = new Set([
  ...['tmp', 'snapshots', 'segments', 'blobs', 'locks'],
  // Of a disk of its own.
  'lost+found',
])

async function isWithoutSnapshots({ snapshots }: Layout): Promise<boolean> {
  return (await entriesOf(snapshots)).length === 0
}

async function entriesOf(path: string): Promise<readonly string[]> {
  try {
    return (await unlessAbsent(readdir(path))) ?? []
  } catch (error) {
    if (systemCode(error) !== 'ENOTDIR') throw error
    throw new BackupError(`${path} is not a directory`)
  }
}

function parseIdentity(text: string, { identity }: Layout): BackupIdentity {
  const { format, store, createdAtMs } = fieldsOf(text)
  if (typeof format === 'number' && format !== backupFormat) {
    const advice = format > backupFormat ? 'use a newer version for it' : 'make a new one'
    throw new BackupError(
      `${identity} has format ${format}, and this version reads ${backupFormat}: ${advice}`,
    )
  }
  const isWhole = format === backupFormat && typeof createdAtMs === 'number'
  if (!isWhole || typeof store !== 'string') throw new BackupError(`${identity} cannot be read`)
  return { store, createdAtMs }
}

function fieldsOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch {
    // Told of by the caller, as every other wrong form.
  }
  return {}
}

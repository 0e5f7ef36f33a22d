// The job that makes a backup, of which `keelson backup create` is the command.

import { realpath } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, relative } from 'node:path'
import type { Job, JobContext, JobRates, JobReport } from '../job/contract.ts'
import { BlobCopier } from './copy-blob.ts'
import { type CopiedBlobs, copyBlobs } from './copy-blobs.ts'
import { NewNames, writeWhole } from './durable-files.ts'
import { BackupError, explainedFault, unlessAbsent } from './error.ts'
import {
  clearTemporary,
  prepareDirectory,
  readIdentity,
  requireDirectory,
  writeIdentity,
} from './identity.ts'
import { Layout, snapshotId } from './layout.ts'
import { lockDirectory } from './lock.ts'
import { createdReport } from './report.ts'
import { formatSnapshot, listSnapshotIds, type Snapshot } from './snapshot.ts'
import { type WrittenRows, writeRows } from './write-rows.ts'

export interface BackupSettings {
  /** Directories of the store, where no backup may lie. */
  readonly storePaths: readonly string[]
  /** Whether the bytes of removed blobs are overwritten, which a backup of hard links would share. */
  readonly overwrites: boolean
  /** Most bytes in a second that are copied; 0: as many as it can. */
  readonly rateBytes: number
}

export interface BackupInput {
  /** An absolute path. */
  readonly to: string
  /** Hard links in place of copies. */
  readonly link: boolean
  readonly dryRun: boolean
}

/** `settings` are asked each time. */
export function createBackupJob(settings: () => BackupSettings): Job<BackupInput> {
  return {
    kind: 'backup',
    parse: parseInput,
    rates: (): JobRates => ({ itemsPerSecond: 0, bytesPerSecond: settings().rateBytes }),
    run: async (input, context) => {
      await refuse(input, settings())
      const layout = new Layout(input.to)
      try {
        return await (input.dryRun ? rehearse(layout, context) : create(layout, input, context))
      } catch (error) {
        throw explainedFault(error, layout.root)
      }
    },
  }
}

function parseInput(input: unknown): { readonly input: BackupInput } | { readonly error: string } {
  const fields = typeof input === 'object' && input !== null ? input : {}
  const { to, link = false, dryRun = false } = fields as Readonly<Record<string, unknown>>
  if (typeof to !== 'string' || !isAbsolute(to)) {
    return { error: 'to: expected the absolute path of the directory of the backup' }
  }
  if (typeof link !== 'boolean') return { error: 'link: expected true or false' }
  if (typeof dryRun !== 'boolean') return { error: 'dryRun: expected true or false' }
  return { input: { to, link, dryRun } }
}

async function refuse({ to, link }: BackupInput, settings: BackupSettings): Promise<void> {
  const target = await realPath(to)
  for (const path of settings.storePaths) {
    const store = await realPath(path)
    if (isWithin(target, store)) throw new BackupError(`${to} lies in the store itself, ${path}`)
    if (isWithin(store, target)) throw new BackupError(`the store lies in ${to}: use another place`)
  }
  if (!link || !settings.overwrites) return
  throw new BackupError('gc.overwrite would overwrite linked blobs in the backup, too: copy them')
}

/** What is not there yet lies where its parent does. */
async function realPath(path: string): Promise<string> {
  const found = await unlessAbsent(realpath(path))
  const parent = dirname(path)
  if (found !== undefined || parent === path) return found ?? path
  return join(await realPath(parent), basename(path))
}

function isWithin(path: string, folder: string): boolean {
  const way = relative(folder, path)
  return way === '' || !(way === '..' || way.startsWith('../') || isAbsolute(way))
}

async function rehearse(layout: Layout, context: JobContext): Promise<JobReport> {
  await requireDirectory(layout.root)
  const identity = await readIdentity(layout)
  const store = await context.metadata.readStoreId()
  if (identity !== undefined) requireSameStore(layout, identity.store, store)
  const rows = await writeRows(layout, context, true)
  const names = new NewNames()
  const copied = await copyBlobs(layout, rows, context, blobsIn(rows), undefined, names)
  return createdReport(undefined, rows, copied)
}

async function create(
  layout: Layout,
  { link }: BackupInput,
  context: JobContext,
): Promise<JobReport> {
  const { metadata, now, randomUuid } = context
  await requireDirectory(layout.root)
  const known = await readIdentity(layout)
  await metadata.ensureSecret(`${randomUuid()}${randomUuid()}`)
  const store = (await metadata.readStoreId()) ?? ''
  if (known !== undefined) requireSameStore(layout, known.store, store)
  await prepareDirectory(layout)
  const lock = await lockDirectory(layout, { randomUuid })
  try {
    await clearTemporary(layout)
    // Again: two stores may have found it empty at the same time.
    const identity = await readIdentity(layout)
    if (identity !== undefined) requireSameStore(layout, identity.store, store)
    else
      await writeIdentity(
        layout,
        { store, createdAtMs: now() },
        join(layout.temporary, randomUuid()),
      )
    const rows = await writeRows(layout, context, false)
    const names = new NewNames()
    const copier = new BlobCopier(layout, context, names, link)
    const copied = await copyBlobs(layout, rows, context, blobsIn(rows), copier, names)
    await names.sync()
    const snapshot = await writeSnapshot(layout, { store, rows, copied }, context)
    return createdReport(snapshot, rows, copied)
  } finally {
    await lock.release()
  }
}

function blobsIn({ segments }: WrittenRows): number {
  return segments.reduce((sum, { kind, entries }) => sum + (kind === 'blob' ? entries : 0), 0)
}

interface Parts {
  readonly store: string
  readonly rows: WrittenRows
  readonly copied: CopiedBlobs
}

async function writeSnapshot(
  layout: Layout,
  { store, rows, copied }: Parts,
  { now, randomUuid }: JobContext,
): Promise<Snapshot> {
  const { takenAtMs, segments, counts, unreadable } = rows
  const { count, bytes, missing } = copied
  const latest = (await listSnapshotIds(layout)).at(-1)
  const id = snapshotId(takenAtMs, randomUuid().slice(0, 8), latest)
  const snapshot = {
    ...{ id, store, takenAtMs, endedAtMs: now(), segments, ...counts },
    ...{ blobs: { count, bytes }, missing, unreadable },
  }
  const names = new NewNames()
  const temporary = join(layout.temporary, randomUuid())
  await writeWhole(layout.snapshot(id), formatSnapshot(snapshot), { temporary, names })
  await names.sync()
  return snapshot
}

function requireSameStore({ root }: Layout, found: string, store: string | undefined): void {
  if (found === store) return
  throw new BackupError(`${root} holds backups of another store: use another directory`)
}

// The metadata store of a configuration, opened to be filled: by a restore, or by a migration.

import { mkdir, stat } from 'node:fs/promises'
import type { Config, PostgresConfig } from '../config/schema.ts'
import type { RestoreTarget } from '../storage/metadata/dump.ts'
import { openLmdbRestore } from '../storage/metadata/lmdb/open.ts'
import type { MaintenanceStore } from '../storage/metadata/maintenance.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Closers } from './closers.ts'
import { type KeepsPlaceId, pairingProblem } from './pairing.ts'

export interface OpenRestore {
  readonly target: RestoreTarget
  /** The same, to be read. */
  readonly store: MaintenanceStore
}

/**
 * Alone, and durable whatever the configuration says of durability.
 * Errors: Error with a message for the operator; StorageError.
 */
export async function openRestoreTarget(
  config: Config,
  log: Logger,
  closers: Closers,
): Promise<OpenRestore> {
  const { metadataStore } = config
  if (metadataStore.kind === 'memory') {
    throw new Error('a store in memory is gone with this command: configure one on disk')
  }
  if (metadataStore.kind === 'postgres') return openDatabase(config, metadataStore, log, closers)
  const { path } = metadataStore
  await requireOwn(path)
  await mkdir(path, { recursive: true, mode: 0o700 })
  await requirePlace(config)
  const { target, store, close } = await openLmdbRestore({ path, now: Date.now })
  closers.add(close)
  return { target, store }
}

async function openDatabase(
  config: Config,
  metadataStore: PostgresConfig,
  log: Logger,
  closers: Closers,
): Promise<OpenRestore> {
  // Loaded here, so that a command without one starts without its client.
  const { connectOptionsOf } = await import('../storage/metadata/postgres/configured.ts')
  const { openPostgresRestore } = await import('../storage/metadata/postgres/open.ts')
  const { target, store, close } = await openPostgresRestore({
    ...(await connectOptionsOf(metadataStore)),
    onNotice: (notice) => log.warn(notice),
  })
  closers.add(close)
  await requirePlace(config, store)
  return { target, store }
}

async function requirePlace(config: Config, records?: KeepsPlaceId): Promise<void> {
  const problem = await pairingProblem(config, records)
  if (problem !== undefined) throw new Error(problem)
}

/** A file that another user makes there would keep the server out of its own store. */
export async function requireOwn(folder: string): Promise<void> {
  const found = await stat(folder).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  })
  if (found === undefined || found.uid === process.geteuid?.()) return
  throw new Error(`${folder} belongs to user ${found.uid}: run this as that user, the server's`)
}

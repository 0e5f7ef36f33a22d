// The metadata store while no server runs: locked and opened, or the reason why that cannot be.

import { randomUUID } from 'node:crypto'
import type { Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { StorageError } from '../storage/error.ts'
import { type LmdbMetadataStore, openLmdbMetadataStore } from '../storage/metadata/lmdb/open.ts'
import type { MaintenanceStore } from '../storage/metadata/maintenance.ts'
import type { TokenStore } from '../storage/metadata/token-store.ts'
import type { Logger } from '../telemetry/log.ts'
import { openMetadata } from './metadata.ts'

/** Errors: Error with a message for the operator: no store, one in use, or one of another user. */
export async function openAlone({
  admin,
  metadataStore,
  storage,
}: Config): Promise<LmdbMetadataStore> {
  const where =
    admin.socket === undefined
      ? 'admin.socket is not configured'
      : `no server answers on ${admin.socket}`
  if (metadataStore.kind === 'memory') {
    throw new Error(`${where}, and a metadata store in memory is nowhere else: start it first`)
  }
  if (metadataStore.kind === 'postgres') {
    // Other servers may use the database at this moment, and nobody could tell.
    throw new Error(`${where}, and with [metadata_store.postgres] this needs one: start it first`)
  }
  const { path } = metadataStore
  await checkOwner(path, where)
  try {
    return await openLmdbMetadataStore({
      ...{ path, durability: storage.durability, sharing: 'exclusive', now: Date.now },
      random: randomUUID,
    })
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    const advice =
      error.kind === 'conflict' ? '; if that is the server, its admin.socket is another one' : ''
    throw new Error(`${where}, and ${error.message}${advice}`)
  }
}

/**
 * The same, and a database that nobody else is connected to: for what is better not done than done beside others.
 * Errors: as `openAlone`; StorageError.
 */
export async function openAloneToMove(
  config: Config,
  log: Logger,
): Promise<MaintenanceStore & TokenStore> {
  if (config.metadataStore.kind !== 'postgres') return openAlone(config)
  return openMetadata(config, log, { isAlone: true })
}

// A file that another user makes in the folder would keep the server out of its own store.
async function checkOwner(path: string, where: string): Promise<void> {
  const file = join(path, 'data.mdb')
  let found: Stats
  try {
    found = await stat(file)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new Error(
        `${where}, and there is no metadata store in ${path} yet: start the server once`,
      )
    }
    throw new Error(`${where}, and ${file} cannot be reached: run this as the user of the server`)
  }
  if (found.uid !== process.geteuid?.()) {
    throw new Error(
      `${where}, and ${file} belongs to user ${found.uid}: run this as that user, which is the server's`,
    )
  }
}

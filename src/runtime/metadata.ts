// Which metadata store a configuration asks for, opened.

import { mkdir } from 'node:fs/promises'
import type { Config, PostgresConfig } from '../config/schema.ts'
import { openLmdbMetadataStore } from '../storage/metadata/lmdb/open.ts'
import type { MaintenanceStore } from '../storage/metadata/maintenance.ts'
import { MemoryMetadataStore } from '../storage/metadata/memory/store.ts'
import type { PostgresMetadataStore } from '../storage/metadata/postgres/store.ts'
import type { TokenStore } from '../storage/metadata/token-store.ts'
import type { Logger } from '../telemetry/log.ts'

/** Errors: StorageError; Error for the operator. */
export async function openMetadata(
  { metadataStore, storage }: Config,
  log: Logger,
  { isAlone = false }: { readonly isAlone?: boolean } = {},
): Promise<MaintenanceStore & TokenStore> {
  const { durability, sharing } = storage
  if (metadataStore.kind === 'memory') return new MemoryMetadataStore()
  if (metadataStore.kind === 'postgres') {
    const onNotice = (notice: string): void => log.warn(notice)
    return openPostgres(metadataStore, { durability, onNotice, isAlone })
  }
  const { path } = metadataStore
  await mkdir(path, { recursive: true, mode: 0o700 })
  const onNotice = (notice: string): void => log.info(notice)
  return openLmdbMetadataStore({ path, durability, sharing, now: Date.now, onNotice })
}

interface PostgresHow {
  readonly durability: 'fsync' | 'none'
  readonly onNotice: (notice: string) => void
  /** Of a database; what LMDB is, its lock says. */
  readonly isAlone: boolean
}

async function openPostgres(
  config: PostgresConfig,
  how: PostgresHow,
): Promise<PostgresMetadataStore> {
  // Loaded here, so that a server without one starts without its client.
  const { connectOptionsOf } = await import('../storage/metadata/postgres/configured.ts')
  const { openPostgresMetadataStore } = await import('../storage/metadata/postgres/open.ts')
  return openPostgresMetadataStore({ ...(await connectOptionsOf(config)), ...how })
}

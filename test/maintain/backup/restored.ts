// Answers for a store that a backup was restored to: its stores, and a registry on it.

import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Layout } from '../../../src/maintain/backup/layout.ts'
import {
  type RestoreOptions,
  type RestoreResult,
  restoreBackup,
} from '../../../src/maintain/backup/restore.ts'
import { createIngestPool } from '../../../src/offload/ingest-pool.ts'
import type { BlobStore } from '../../../src/storage/blob/contract.ts'
import { openFsBlobStore } from '../../../src/storage/blob/fs/store.ts'
import type { KeyValueStore } from '../../../src/storage/metadata/kv/contract.ts'
import { KeyValueMetadataStore } from '../../../src/storage/metadata/kv/store.ts'
import { openLmdb, openLmdbRestore } from '../../../src/storage/metadata/lmdb/open.ts'
import { withFolder } from './scene.ts'

export const graceMs = 3_600_000

function metadataPath(rootDir: string): string {
  return join(rootDir, '_keelson', 'metadata')
}

/** Restore the backup in `from` to the store in `rootDir`, as the command does. */
export async function restoreTo(
  rootDir: string,
  from: string,
  options: Partial<RestoreOptions> = {},
): Promise<RestoreResult> {
  const path = metadataPath(rootDir)
  await mkdir(path, { recursive: true })
  const { target, close } = await openLmdbRestore({ path, now: Date.now })
  const durability = 'fsync'
  const blobs = await openFsBlobStore({ rootDir, durability })
  const ingest = createIngestPool({
    ...{ workers: 1, slabBytes: 1 << 20, slabsPerUpload: 4, memoryBudgetBytes: 8 << 20 },
    durability,
  })
  try {
    return await restoreBackup(
      new Layout(from),
      { target, blobs, ingest },
      {
        ...{ at: undefined, mayLack: false, keepsBlobs: false, graceMs, now: Date.now },
        ...{ randomUuid: randomUUID, signal: new AbortController().signal, onProgress: () => {} },
        ...options,
      },
    )
  } finally {
    await ingest.close()
    await blobs.close()
    await close()
  }
}

export interface RestoredStore {
  readonly rootDir: string
  readonly records: KeyValueStore
  readonly metadata: KeyValueMetadataStore
  readonly blobs: BlobStore
}

/** Look at the store in `rootDir`, as a server would open it. */
export async function opened(
  rootDir: string,
  body: (store: RestoredStore) => Promise<void>,
): Promise<void> {
  const path = metadataPath(rootDir)
  const { store: records } = await openLmdb({
    ...{ path, durability: 'none', sharing: 'exclusive', now: Date.now },
  })
  const blobs = await openFsBlobStore({ rootDir, durability: 'none' })
  try {
    await body({ rootDir, records, metadata: new KeyValueMetadataStore(records), blobs })
  } finally {
    await blobs.close()
    await records.close()
  }
}

/** Restored to an empty directory, which is removed after `body`. */
export async function withRestored(
  from: string,
  options: Partial<RestoreOptions>,
  body: (store: RestoredStore, result: RestoreResult) => Promise<void>,
): Promise<void> {
  await withFolder(async (rootDir) => {
    const result = await restoreTo(rootDir, from, options)
    await opened(rootDir, (store) => body(store, result))
  })
}

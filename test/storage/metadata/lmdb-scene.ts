// An LMDB metadata store in a folder of its own.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type LmdbMetadataStore,
  type LmdbOptions,
  openLmdbMetadataStore,
} from '../../../src/storage/metadata/lmdb/open.ts'

export interface LmdbScene {
  readonly path: string
  readonly store: LmdbMetadataStore
  readonly reopen: () => Promise<LmdbMetadataStore>
  readonly cleanup: () => Promise<void>
}

/** Everything that a case leaves to the defaults of tests. */
export function lmdbOptions(path: string, options: Partial<LmdbOptions> = {}): LmdbOptions {
  return { path, durability: 'fsync', sharing: 'exclusive', now: Date.now, ...options }
}

export async function lmdbScene(options: Partial<LmdbOptions> = {}): Promise<LmdbScene> {
  const folder = await mkdtemp(join(tmpdir(), 'keelson-metadata-'))
  // With a dot in it, since a path like that must be a folder too.
  const path = join(folder, 'metadata.lmdb')
  const open = (): Promise<LmdbMetadataStore> => openLmdbMetadataStore(lmdbOptions(path, options))
  let current = await open()
  const reopen = async (): Promise<LmdbMetadataStore> => {
    await current.close()
    current = await open()
    return current
  }
  const cleanup = async (): Promise<void> => {
    await current.close()
    await rm(folder, { recursive: true })
  }
  return { path, store: current, reopen, cleanup }
}

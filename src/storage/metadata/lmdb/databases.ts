// The LMDB environment of a store: records as text, manifest bodies as bytes, in one transaction.

import { closeSync, fsyncSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Database, open, type RootDatabase, type RootDatabaseOptionsWithPath } from 'lmdb'
import type { WriteTarget } from '../kv/buffered.ts'

export interface Databases {
  readonly root: RootDatabase
  readonly records: Database<string, string>
  readonly bodies: Database<Uint8Array, string>
}

export type OpenRoot = typeof open

// Address space, not memory or disk; beyond it the map grows by being mapped anew.
const mapSizeAtStart = 16 * 1024 ** 3

/**
 * When a commit is synced. `behind`: after it can be read, while the next one is written. `within`: as a
 * part of it. Several processes need `within`: LMDB in this package takes the death of a process that
 * syncs behind a commit for the death of a writer, and turns the count of transactions back while
 * another process writes, whose acknowledged commit is then written over (lmdb 3.5.6, mdb_mutex_failed).
 */
export type Syncing = 'behind' | 'within' | 'never'

/** The folder must be there. `openRoot` is that of the package; tests pass one whose writes fail. */
export function openDatabases(
  path: string,
  syncing: Syncing,
  openRoot: OpenRoot = open,
): Databases {
  const options: RootDatabaseOptionsWithPath & { readonly permissionsMode: number } = {
    path,
    // The package would take a path with a dot in its last part for a file.
    noSubdir: false,
    maxDbs: 4,
    mapSize: mapSizeAtStart,
    permissionsMode: 0o600,
    noSync: syncing === 'never',
    // The default, `behind`, is not asked for: the package would refuse it, before we can say why, where
    // this process has the store open in another way already.
    ...(syncing === 'within' ? { overlappingSync: false } : {}),
    // We batch ourselves; the package's own batching leaves a promise without a handler behind when a
    // commit fails, which would end the process.
    eventTurnBatching: false,
  }
  const root = openRoot(options)
  const records = root.openDB<string, string>('records', { encoding: 'string' })
  const bodies = root.openDB<Uint8Array, string>('bodies', { encoding: 'binary' })
  if (syncing !== 'never') for (const folder of [path, dirname(path)]) syncFolder(folder)
  return { root, records, bodies }
}

/** Writes of the transaction that runs at the moment. */
export function writeTarget({ records, bodies }: Databases): WriteTarget {
  return {
    put: (key, value) => void records.putSync(key, value),
    remove: (key) => void records.removeSync(key),
    putBody: (key, body) => void bodies.putSync(key, body),
    removeBody: (key) => void bodies.removeSync(key),
  }
}

/** LMDB syncs its file, but not the entry of the file in its folder. */
function syncFolder(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

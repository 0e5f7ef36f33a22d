// Which keys some blob of a store may need: asked before a start, so that none reads what it cannot understand.
// A directory with an empty file for each id, so that processes add and retire without reading what others write.

import { closeSync, fsyncSync, lstatSync, mkdirSync, openSync, statSync } from 'node:fs'
import { readdir, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { findKey, type SealingKeys } from '../../../sealing/keys.ts'
import { StorageError } from '../../error.ts'
import { encryptionKeysKey } from '../keys.ts'
import { syncDirectory } from './directory-sync.ts'
import { storageError, systemCode } from './file-call.ts'

// With a name behind it: a run that rewraps wants to retire it, and it is needed until then.
const shape = /^([0-9a-f]{16})(?:\.([0-9a-f]{8}))?$/

interface Entry {
  readonly id: string
  /** Of the run that wants to retire it. */
  readonly run: string | undefined
  readonly path: string
}

async function readEntries(root: string): Promise<readonly Entry[]> {
  const path = join(root, encryptionKeysKey)
  let names: readonly string[]
  try {
    names = await readdir(path)
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT') return []
    if (code === 'ENOTDIR' && isFileNow(path)) {
      throw new StorageError('corrupt', `${path} is not a directory`)
    }
    throw storageError(`read ${path}`, error)
  }
  return names.flatMap((name) => {
    const [, id, run] = shape.exec(name) ?? []
    return id === undefined ? [] : [{ id, run, path: join(path, name) }]
  })
}

// Else the root is one.
function isFileNow(path: string): boolean {
  try {
    return lstatSync(path).isFile()
  } catch {
    return false
  }
}

/** Ids of keys; none where nothing was ever encrypted. Errors: StorageError 'unavailable', 'corrupt'. */
export async function readKeyList(root: string): Promise<readonly string[]> {
  return [...new Set((await readEntries(root)).map(({ id }) => id))].sort()
}

/** What keeps a store from being opened with these keys, for the operator. Errors: as `readKeyList`. */
export async function keyProblem(
  root: string,
  keys: SealingKeys | undefined,
): Promise<string | undefined> {
  const ids = await readKeyList(root)
  const missing = ids.filter((id) => keys === undefined || findKey(keys, id) === undefined)
  if (missing.length === 0) return undefined
  const list = missing.length === 1 ? `the key ${missing[0]}` : `the keys ${missing.join(', ')}`
  const path = join(root, encryptionKeysKey)
  const hint =
    keys === undefined
      ? 'give it in [blob_store.fs.encryption]'
      : 'add it to the keys of [blob_store.fs.encryption], behind the first one'
  return `blobs in ${root} are encrypted with ${list}, which is not configured: ${hint} (${path} names all that are needed)`
}

/** Errors: Error for the operator; as `readKeyList`. */
export async function requireKeys(root: string, keys: SealingKeys | undefined): Promise<void> {
  const problem = await keyProblem(root, keys)
  if (problem !== undefined) throw new Error(problem)
}

/**
 * These keys are needed: list those that are not, or that a run has marked or retired meanwhile. Durable. Called before
 * anything is encrypted, and again once it is published: a run lists the blobs after it has marked, so that it sees what was
 * published, or this sees the mark. Takes a microsecond for each key that is listed. Errors: StorageError.
 */
export function keepNotedNow(root: string, ids: readonly string[]): void {
  for (const id of ids) if (!isNotedNow(root, id)) noteNow(root, id)
}

function isNotedNow(root: string, id: string): boolean {
  const path = join(root, encryptionKeysKey, id)
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined
  } catch (error) {
    throw storageError(`look for ${path}`, error)
  }
}

// Rare: at a start, and where a run has marked the key meanwhile.
function noteNow(root: string, id: string): void {
  const directory = join(root, encryptionKeysKey)
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    closeSync(openSync(join(directory, id), 'a', 0o600))
    for (const path of [directory, dirname(directory)]) {
      const fd = openSync(path, 'r')
      try {
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
    }
  } catch (error) {
    throw storageError(`write to ${directory}`, error)
  }
}

/**
 * Mark every id but one for `run`, eight hex digits, before it looks at the first file; whoever uses a key that is
 * marked lists it again. Errors: StorageError.
 */
export async function markOthers(root: string, active: string, run: string): Promise<void> {
  const directory = join(root, encryptionKeysKey)
  try {
    for (const { id, path } of await readEntries(root)) {
      if (id === active) continue
      // Another run may be at it, too.
      const marked = join(directory, `${id}.${run}`)
      await rename(path, marked).catch(unlessGone)
    }
    await syncDirectory(directory)
  } catch (error) {
    throw storageError(`write to ${directory}`, error)
  }
}

/** What `run` has marked goes; it has seen every file. Answers which ids are still needed. Errors: StorageError. */
export async function retireMarked(root: string, run: string): Promise<readonly string[]> {
  const directory = join(root, encryptionKeysKey)
  try {
    for (const entry of await readEntries(root)) {
      if (entry.run === run) await unlink(entry.path).catch(unlessGone)
    }
    await syncDirectory(directory)
  } catch (error) {
    throw storageError(`write to ${directory}`, error)
  }
  return readKeyList(root)
}

function unlessGone(error: unknown): void {
  if (systemCode(error) !== 'ENOENT') throw error
}

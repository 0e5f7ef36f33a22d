// Which keys some blob of a store may need: asked before a start, so that none reads what it cannot understand.
// A directory with an empty file for each id, so that processes add and retire without reading what others write.

import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
} from 'node:fs'
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

/** A store is opened with this key as the active one: list it, whatever was before. Durable. Errors: StorageError. */
export function listNow(root: string, id: string): void {
  const directory = join(root, encryptionKeysKey)
  const path = join(directory, id)
  if (isThereNow(path)) return
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    closeSync(openSync(path, 'a', 0o600))
    for (const path of [directory, dirname(directory)]) syncNow(path)
  } catch (error) {
    throw storageError(`write to ${directory}`, error)
  }
}

/**
 * This key is needed: one that a run has marked is listed again. Durable. False where a run has retired it already, which
 * has seen every file that needed it and has said so. Called before anything is encrypted, and again once it is
 * published: a run looks at the blobs after it has marked, so that it sees what was published, or this sees the mark.
 * Takes a microsecond where the key is listed. Errors: StorageError.
 */
export function keepListedNow(root: string, id: string): boolean {
  const directory = join(root, encryptionKeysKey)
  const path = join(directory, id)
  for (;;) {
    if (isThereNow(path)) return true
    const mark = marksNow(root, id)[0]
    if (mark === undefined) {
      if (!isRetiredNow(root, id)) continue
      return false
    }
    try {
      // In one step: the run finds its mark, or the key listed.
      renameSync(join(directory, mark), path)
      syncNow(directory)
    } catch (error) {
      // To another run's mark, or for good.
      if (systemCode(error) !== 'ENOENT') throw storageError(`write to ${directory}`, error)
    }
  }
}

/** Whether no start needs it any more. Errors: StorageError. */
export function isRetiredNow(root: string, id: string): boolean {
  const path = join(root, encryptionKeysKey, id)
  const isGone = (): boolean => !isThereNow(path) && marksNow(root, id).length === 0
  // Twice: it may have been listed again, or marked, between the two looks.
  return isGone() && isGone()
}

function isThereNow(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined
  } catch (error) {
    throw storageError(`look for ${path}`, error)
  }
}

// Rare: where a run is at work, or has been.
function marksNow(root: string, id: string): readonly string[] {
  const directory = join(root, encryptionKeysKey)
  try {
    return readdirSync(directory).filter((name) => {
      const [, of, run] = shape.exec(name) ?? []
      return of === id && run !== undefined
    })
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw storageError(`read ${directory}`, error)
  }
}

function syncNow(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
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

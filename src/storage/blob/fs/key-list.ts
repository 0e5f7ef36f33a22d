// Which keys some blob of a store may need: asked before a start, so that none reads what it cannot understand.

import { randomUUID } from 'node:crypto'
import { open, readFile, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { findKey, type SealingKeys } from '../../../sealing/keys.ts'
import { StorageError } from '../../error.ts'
import { encryptionKeysKey } from '../keys.ts'
import { syncDirectory } from './directory-sync.ts'
import { storageError, systemCode } from './file-call.ts'

const shape = /^[0-9a-f]{16}$/

/** Ids of keys; none where nothing was ever encrypted. Errors: StorageError 'unavailable', 'corrupt'. */
export async function readKeyList(root: string): Promise<readonly string[]> {
  const path = join(root, encryptionKeysKey)
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw storageError(`read ${path}`, error)
  }
  const ids = text.split('\n').filter((line) => line !== '')
  const isGood = ids.length > 0 && ids.every((id) => shape.test(id))
  if (!isGood) throw new StorageError('corrupt', `${path} holds no ids of keys`)
  return ids
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

/** Durable, before anything is encrypted with the active key. Errors: StorageError. */
export async function noteKey(root: string, { active }: SealingKeys): Promise<void> {
  const ids = await readKeyList(root)
  if (!ids.includes(active.id)) await writeKeyList(root, [...ids, active.id])
}

/** Whole or as it was. Errors: StorageError. */
export async function writeKeyList(root: string, ids: readonly string[]): Promise<void> {
  const path = join(root, encryptionKeysKey)
  const temporary = `${path}.${randomUUID()}`
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(`${ids.join('\n')}\n`)
      await file.datasync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    await syncDirectory(dirname(path))
  } catch (error) {
    await unlink(temporary).catch(() => undefined)
    throw storageError(`write ${path}`, error)
  }
}

// The id by which directories that belong together know each other: one line in a file of each.

import { randomUUID } from 'node:crypto'
import { link, mkdir, open, readFile, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { StorageError } from '../../error.ts'
import { syncDirectory } from './directory-sync.ts'
import { storageError, systemCode } from './file-call.ts'

const shape = /^(?:(?:pending )?[0-9a-f-]{8,64}|takes [0-9a-f-]{8,64} from [0-9a-f-]{8,64})$/

/**
 * What the file says; undefined where there is none.
 * Errors: StorageError 'unavailable' where it cannot be read, 'corrupt' where it says something else.
 */
export async function readPlaceId(path: string): Promise<string | undefined> {
  let text: string
  try {
    text = (await readFile(path, 'utf8')).trim()
  } catch (error) {
    // ENOTDIR, as every other one, is no proof that there never was one.
    if (systemCode(error) === 'ENOENT') return undefined
    throw storageError(`read ${path}`, error)
  }
  if (!shape.test(text)) throw new StorageError('corrupt', `${path} holds no id of a store`)
  return text
}

/**
 * Durable, and whole or not there. Where there is one already it stays, unless it is `replaced`.
 * Answers what the file says afterwards. Errors: StorageError 'unavailable', 'full', 'corrupt'.
 */
export async function writePlaceId(
  path: string,
  text: string,
  { replaced }: { readonly replaced: boolean },
): Promise<string> {
  const directory = dirname(path)
  const temporary = `${path}.${randomUUID()}`
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(`${text}\n`)
      await file.datasync()
    } finally {
      await file.close()
    }
    if (replaced) await rename(temporary, path)
    else await linkNew(temporary, path)
    await syncDirectory(directory)
  } catch (error) {
    await unlink(temporary).catch(() => undefined)
    throw storageError(`write ${path}`, error)
  }
  return (await readPlaceId(path)) ?? text
}

async function linkNew(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path)
  } catch (error) {
    // Another process that starts at the same time was first.
    if (systemCode(error) !== 'EEXIST') throw error
  }
  await unlink(temporary)
}

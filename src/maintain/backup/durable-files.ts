// Files that are either whole and on the disk, or not there.

import { type FileHandle, link, mkdir, open, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemCode, unlessAbsent } from './error.ts'
import { directoryMode, fileMode } from './layout.ts'

/** Directories with names that may not be on the disk yet. */
export class NewNames {
  readonly #directories = new Set<string>()

  add(path: string): void {
    this.#directories.add(dirname(path))
  }

  /** Those of earlier runs that a kill has kept from syncing it, and its own in the one above. */
  addDirectory(path: string): void {
    this.#directories.add(path)
    this.#directories.add(dirname(path))
  }

  /** Resolves when all names that were added are durable. Errors: the system's own. */
  async sync(): Promise<void> {
    const directories = [...this.#directories]
    this.#directories.clear()
    for (const directory of directories) await syncDirectory(directory)
  }
}

/** Make one directory, whose parent is there. Errors: the system's own. */
export async function makeDirectory(path: string, names: NewNames): Promise<void> {
  try {
    await mkdir(path, { mode: directoryMode })
    names.add(path)
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
  }
}

/** The data is on the disk, the name is once `names` are synced. Replaces what is there. */
export async function writeWhole(
  path: string,
  bytes: Uint8Array,
  {
    temporary,
    names,
    fileMode: mode = fileMode,
  }: { readonly temporary: string; readonly names: NewNames; readonly fileMode?: number },
): Promise<void> {
  const file = await open(temporary, 'wx', mode)
  try {
    await file.writeFile(bytes)
    await file.datasync()
  } catch (error) {
    await closeAndRemove(file, temporary)
    throw error
  }
  await file.close()
  await moveInto(temporary, path, names)
}

/** What a kill leaves is removed by whoever writes there next. */
export async function moveInto(temporary: string, path: string, names: NewNames): Promise<void> {
  try {
    await inDirectory(path, names, () => rename(temporary, path))
  } catch (error) {
    await unlessAbsent(unlink(temporary))
    throw error
  }
}

/** A second name for what is there already. Errors: the system's own, EEXIST among them. */
export function linkInto(source: string, path: string, names: NewNames): Promise<void> {
  return inDirectory(path, names, () => link(source, path))
}

async function inDirectory(
  path: string,
  names: NewNames,
  enter: () => Promise<void>,
): Promise<void> {
  try {
    await enter()
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
    // Its directory is made when the first name goes there.
    await makeDirectory(dirname(path), names)
    await enter()
  }
  names.add(path)
}

/** For what is of no use any more. */
export async function closeAndRemove(file: FileHandle, path: string): Promise<void> {
  await file.close()
  await unlessAbsent(unlink(path))
}

/** Errors: the system's own. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** Remove a file; its absence is fine. */
export async function removeFile(path: string, names: NewNames): Promise<void> {
  await unlessAbsent(unlink(path))
  names.add(path)
}

/** What was written to it, by whatever name, is on the disk. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.datasync()
  } finally {
    await file.close()
  }
}

// Overwrites files before they are unlinked, in pieces, and marks them so that whoever reads them notices.

import { randomFill } from 'node:crypto'
import {
  chmod,
  close,
  constants,
  type Dirent,
  fchmod,
  fdatasync,
  fstat,
  open,
  type Stats,
  unlink,
  write,
} from 'node:fs'
import { opendir } from 'node:fs/promises'
import { join } from 'node:path'
import type { StorageError } from '../../error.ts'
import type { Erased } from '../contract.ts'
import { fileCall, storageError, systemCode } from './file-call.ts'

/**
 * Permissions of a file whose bytes are being overwritten. Every process that has it open sees them in one call,
 * and nobody gives them to a file for another reason.
 */
export const erasingMode = 0o1200

const permissionBits = 0o7777
const pieceBytes = 1024 * 1024
// What nobody can be waiting for longer than one piece: no link, and no pipe that has no reader.
const flags = constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

export function isErasing(mode: number): boolean {
  return (mode & permissionBits) === erasingMode
}

/** Of all files in `directory`, one after the other. Errors: as `mayGoOn`; StorageError 'unavailable'. */
export async function* eraseAll(
  directory: string,
  mayGoOn: (bytes: number) => Promise<void>,
): AsyncGenerator<Erased> {
  for await (const { name } of entries(directory)) {
    const place = join(directory, name)
    let error: StorageError
    try {
      yield await erase(place, mayGoOn)
      continue
    } catch (cause) {
      if (!(cause instanceof FileFault)) throw cause
      error = storageError(`overwrite ${place}`, cause.cause)
    }
    yield { kind: 'failed', place, error }
  }
}

/** Of this file alone, unlike what `mayGoOn` says about all of them. */
class FileFault extends Error {}

async function erase(path: string, mayGoOn: (bytes: number) => Promise<void>): Promise<Erased> {
  const fd = await ofFile(openToWrite(path))
  try {
    const { size, nlink } = await ofFile(inspect(path, fd))
    // Its bytes are those of the other names, too.
    if (nlink > 1) {
      await ofFile(remove(path))
      return { kind: 'unlinked', size }
    }
    // Before the first byte: what is read and found unmarked afterwards is what it was.
    await ofFile(fileCall((settle) => fchmod(fd, erasingMode, (error) => settle(error, undefined))))
    await overwrite(fd, size, mayGoOn)
    await ofFile(fileCall((settle) => fdatasync(fd, (error) => settle(error, undefined))))
    await ofFile(remove(path))
    return { kind: 'overwritten', size }
  } finally {
    close(fd, () => undefined)
  }
}

async function overwrite(
  fd: number,
  size: number,
  mayGoOn: (bytes: number) => Promise<void>,
): Promise<void> {
  const piece = Buffer.allocUnsafe(Math.min(size, pieceBytes))
  for (let done = 0; done < size; ) {
    const position = done
    const length = Math.min(piece.length, size - done)
    await mayGoOn(length)
    await ofFile(fileCall<Uint8Array>((settle) => randomFill(piece, settle)))
    const written = await ofFile(
      fileCall<number>((settle) => write(fd, piece, 0, length, position, settle)),
    )
    done += written
  }
}

async function openToWrite(path: string): Promise<number> {
  const opened = (): Promise<number> => fileCall<number>((settle) => open(path, flags, settle))
  try {
    return await opened()
  } catch (error) {
    if (systemCode(error) !== 'EACCES') throw error
    // Of an imported tree: only to be read, but ours.
    await fileCall((settle) => chmod(path, 0o600, (fault) => settle(fault, undefined)))
    return opened()
  }
}

async function inspect(path: string, fd: number): Promise<Stats> {
  const stats = await fileCall<Stats>((settle) => fstat(fd, settle))
  if (!stats.isFile()) throw new Error(`${path} is not a file`)
  return stats
}

function remove(path: string): Promise<void> {
  return fileCall((settle) => unlink(path, (error) => settle(error, undefined)))
}

async function ofFile<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (cause) {
    throw new FileFault('', { cause })
  }
}

async function* entries(directory: string): AsyncGenerator<Dirent> {
  try {
    yield* await opendir(directory)
  } catch (error) {
    // Nothing was ever set aside.
    if (systemCode(error) !== 'ENOENT') throw storageError(`list ${directory}`, error)
  }
}

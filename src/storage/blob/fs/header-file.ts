// Reads the beginning of a file, to see whether and how it is encrypted.

import { close, closeSync, constants, open, openSync, read, readSync } from 'node:fs'
import { headerBytes } from '../../../sealing/layout.ts'
import { fileCall, storageError, systemCode } from './file-call.ts'

const flags = constants.O_RDONLY | constants.O_NOFOLLOW

/** `headerBytes` of it, zeros where it ends before; undefined where it is gone. Errors: StorageError. */
export async function readHeader(path: string): Promise<Buffer | undefined> {
  const header = Buffer.alloc(headerBytes)
  try {
    const fd = await fileCall<number>((settle) => open(path, flags, settle))
    try {
      await fileCall<number>((settle) => read(fd, header, 0, headerBytes, 0, settle))
    } finally {
      await fileCall((settle) => close(fd, (error) => settle(error ?? null, undefined)))
    }
    return header
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw storageError(`read ${path}`, error)
  }
}

/**
 * The same at once, of its first `bytes`: for what was written a moment ago, whose pages are in memory, and where nearly
 * nothing is asked for.
 */
export function readHeaderNow(path: string, bytes: number = headerBytes): Buffer | undefined {
  const header = Buffer.alloc(bytes)
  try {
    const fd = openSync(path, flags)
    try {
      readSync(fd, header, 0, bytes, 0)
    } finally {
      closeSync(fd)
    }
    return header
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw storageError(`read ${path}`, error)
  }
}

// What a file begins with, read at once: its inode was just looked at.

import { closeSync, constants, openSync, readSync } from 'node:fs'
import { storageError, systemCode } from './file-call.ts'

/** Its first bytes, zeros where it ends before; undefined where it is gone. Errors: StorageError 'unavailable'. */
export function beginningNow(path: string, length: number): Buffer | undefined {
  const beginning = Buffer.alloc(length)
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
    try {
      readSync(fd, beginning, 0, length, 0)
    } finally {
      closeSync(fd)
    }
    return beginning
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw storageError(`read ${path}`, error)
  }
}

// What an LMDB error means to storage.

import { statfsSync } from 'node:fs'
import { StorageError, type StorageErrorKind } from '../../error.ts'

// Source: lmdb.h "Return Codes", errno.h.
const kinds: Readonly<Record<number, StorageErrorKind>> = {
  [-30792]: 'full', // MDB_MAP_FULL
  28: 'full', // ENOSPC
  122: 'full', // EDQUOT
  27: 'full', // EFBIG
  [-30797]: 'corrupt', // MDB_PAGE_NOTFOUND
  [-30796]: 'corrupt', // MDB_CORRUPTED
  [-30793]: 'corrupt', // MDB_INVALID
}

const inputOutputError = 5

// Below it a disk counts as full; LMDB needs some pages for any commit.
const freeBytesMin = 1024 * 1024

/** `path` is the store's folder: a write that fell short for want of room reads as an I/O error. */
export function storageFault(cause: unknown, path: string): StorageError {
  if (cause instanceof StorageError) return cause
  const code = codeOf(cause)
  const isFull = code === inputOutputError && freeBytes(path) < freeBytesMin
  const kind = isFull ? 'full' : code === undefined ? undefined : kinds[code]
  const what = cause instanceof Error ? cause.message : String(cause)
  return new StorageError(kind ?? 'unavailable', `metadata store: ${what}`, cause)
}

function codeOf(cause: unknown): number | undefined {
  const code: unknown = cause instanceof Error && 'code' in cause ? cause.code : undefined
  return typeof code === 'number' ? code : undefined
}

function freeBytes(path: string): number {
  try {
    const { bavail, bsize } = statfsSync(path)
    return bavail * bsize
  } catch {
    // Nothing can be said of the room, so the error keeps its own meaning.
    return Number.POSITIVE_INFINITY
  }
}

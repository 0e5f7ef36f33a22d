// Directories for stores on disk and on tmpfs: made, measured, emptied and removed here.

import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  unlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { atEnd, runToEnd } from './children.ts'
import type { StoreKind } from './contract.ts'

const TMPFS = 'tmpfs'

/** Type of the file system that holds `path`, as /proc/mounts calls it. */
export function filesystemOf(path: string): string {
  let best = { mount: '', type: 'unknown' }
  for (const line of readFileSync('/proc/mounts', 'utf8').split('\n')) {
    const [, mount = '', type = ''] = line.split(' ')
    const inside = mount === '/' || path === mount || path.startsWith(`${mount}/`)
    // Of two mounts on one point the later one is seen.
    if (inside && mount.length >= best.mount.length) best = { mount, type }
  }
  return best.type
}

/** Base directory per store kind; undefined where the machine has none. */
export interface StoreBases {
  readonly disk: string | undefined
  readonly memory: string | undefined
}

/** `diskDirectory` wins; else the first of the usual places that is not tmpfs. */
export function findBases(diskDirectory: string | undefined): StoreBases {
  const candidates = [tmpdir(), '/var/tmp', process.cwd()]
  const disk = diskDirectory ?? candidates.find((it) => filesystemOf(resolve(it)) !== TMPFS)
  return { disk, memory: filesystemOf('/dev/shm') === TMPFS ? '/dev/shm' : undefined }
}

export function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory)
  return bavail * bsize
}

/** A fresh empty directory, removed by `remove` or when the bench ends. */
export function makeDirectory(bases: StoreBases, store: StoreKind): string | undefined {
  const base = bases[store]
  if (base === undefined) return undefined
  const directory = mkdtempSync(join(base, 'keelson-bench-'))
  atEnd(() => remove(directory))
  return directory
}

export function remove(directory: string): void {
  rmSync(directory, { recursive: true, force: true })
}

const isData = (path: string): boolean => path.endsWith('/data')

/**
 * Delete the bytes of pushed blobs behind the server's back and flush the file system, so that
 * rounds neither fill the store nor inherit write-back. Payloads are unique, so none is asked for
 * again.
 */
export async function reclaim(
  blobRoot: string,
  isBlob: (path: string) => boolean = isData,
): Promise<void> {
  // A server that has stored nothing yet need not have made its tree.
  if (!existsSync(blobRoot)) return
  for (const entry of listTree(blobRoot)) {
    if (isBlob(entry)) unlinkSync(entry)
  }
  await runToEnd(undefined, ['sync', '-f', blobRoot], 120_000)
}

function listTree(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

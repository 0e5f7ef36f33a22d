// Prepares a root directory: the tree that publishing relies on, and proof that it can publish.

import { randomUUID } from 'node:crypto'
import { close, link, mkdir, open, unlink } from 'node:fs'
import { dirname, join } from 'node:path'
import { StorageError } from '../../error.ts'
import {
  algorithmKey,
  blobsKey,
  digestAlgorithms,
  prefixLength,
  probeName,
  uploadsKey,
} from '../keys.ts'
import { syncDirectory } from './directory-sync.ts'
import { fileCall, storageError, systemCode, unlessCode } from './file-call.ts'

const directoryMode = 0o700
const noLinkCodes: ReadonlySet<string> = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'EXDEV',
  'ENOSYS',
])

/**
 * Make what is missing of the tree under the absolute path `root`, durably, and check that the file
 * system has hard links. Idempotent; several processes may do it at once.
 * Errors: StorageError 'unavailable', 'full'.
 */
export async function prepareTree(root: string, isDurable: boolean): Promise<void> {
  try {
    const made = await mkdirAll(join(root, uploadsKey))
    const synced = [join(root, uploadsKey), join(root, uploadsKey, '..'), root]
    for (const algorithm of digestAlgorithms) {
      const parent = join(root, algorithmKey(algorithm))
      await mkdirAll(parent)
      // All prefixes exist from the start, so that a publish has two directories to sync, not three.
      await Promise.all(prefixes().map((prefix) => mkdirOne(join(parent, prefix))))
      synced.push(parent)
    }
    synced.push(join(root, blobsKey), ...parentsOfNew(root, made))
    if (isDurable) await syncAll(root, synced)
  } catch (error) {
    throw storageError(`prepare ${root}`, error)
  }
  await probeLink(root)
}

/** Make one directory; one that is there already is fine. Errors: the system's own. */
export async function mkdirOne(path: string): Promise<void> {
  const made = fileCall((settle) => mkdir(path, directoryMode, (error) => settle(error, undefined)))
  await unlessCode(made, 'EEXIST')
}

/** Answers the first directory that had to be made. */
function mkdirAll(path: string): Promise<string | undefined> {
  return fileCall<string | undefined>((settle) =>
    mkdir(path, { recursive: true, mode: directoryMode }, settle),
  )
}

async function syncAll(root: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) await syncDirectory(path)
  // Another process may have made the root just now; what we may not read was made long ago.
  await unlessCode(syncDirectory(dirname(root)), 'EACCES')
}

/** Directories above `root` that got a new name; `made` is the first that was made. */
function parentsOfNew(root: string, made: string | undefined): readonly string[] {
  const parents = []
  for (let path = root; made !== undefined && path.startsWith(made); path = dirname(path)) {
    parents.push(dirname(path))
  }
  return parents
}

function prefixes(): readonly string[] {
  const count = 16 ** prefixLength
  return Array.from({ length: count }, (_, i) => i.toString(16).padStart(prefixLength, '0'))
}

async function probeLink(root: string): Promise<void> {
  const name = `${probeName}${randomUUID()}`
  const source = join(root, uploadsKey, name)
  const target = join(root, blobsKey, name)
  try {
    const fd = await fileCall<number>((settle) => open(source, 'wx', 0o600, settle))
    await fileCall((settle) => close(fd, (error) => settle(error ?? null, undefined)))
    await fileCall((settle) => link(source, target, (error) => settle(error, undefined)))
  } catch (error) {
    if (!noLinkCodes.has(systemCode(error))) throw storageError(`prepare ${root}`, error)
    const text = `${root}: ${blobsKey} and ${uploadsKey} must lie on one file system with hard links`
    throw new StorageError('unavailable', text, error)
  } finally {
    for (const path of [target, source]) {
      await new Promise<void>((resolve) => unlink(path, () => resolve()))
    }
  }
}

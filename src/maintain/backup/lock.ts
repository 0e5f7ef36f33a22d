// One writer of a backup directory at a time, also where several hosts reach it.
//
// Method: whoever wants to write leaves a file of its own, and then looks for those of others. Of two at
// once each sees the other, so at most one goes on; perhaps none. Names are never used twice, so a file of
// somebody who has died can be removed by anybody.

import { readdir, readFile, stat, unlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isProcessAlive, processIdentity } from '../../storage/process-identity.ts'
import { moveInto, NewNames } from './durable-files.ts'
import { BackupError, unlessAbsent } from './error.ts'
import { fileMode, type Layout } from './layout.ts'

const renewEveryMs = 10_000

/** An owner of another host or container that has been silent for so long is gone. */
const silenceMaxMs = 120_000

export interface DirectoryLock {
  /** Idempotent. */
  release(): Promise<void>
}

/**
 * Take the lock of a backup directory, whose folders are there. Who has died is passed over.
 * Errors: BackupError while somebody alive has it, or wants it at the same moment.
 */
export async function lockDirectory(
  { root, locks, temporary }: Layout,
  { randomUuid }: { readonly randomUuid: () => string },
): Promise<DirectoryLock> {
  const owner = processIdentity()
  const name = randomUuid()
  const path = join(locks, name)
  const made = join(temporary, name)
  // Moved there, so that nobody reads half of it.
  await writeFile(made, `${owner}\n`, { mode: fileMode, flag: 'wx' })
  await moveInto(made, path, new NewNames())
  let release: Promise<void> | undefined
  const renewing = setInterval(() => void renew(path), renewEveryMs)
  renewing.unref()
  const lock: DirectoryLock = {
    release: () => {
      clearInterval(renewing)
      release ??= unlessAbsent(unlink(path))
      return release
    },
  }
  try {
    for (const other of await readdir(locks)) {
      if (other === name) continue
      const rival = await findRival(join(locks, other), { owner, path })
      if (rival !== undefined) throw inUse(root, rival)
    }
    return lock
  } catch (error) {
    await lock.release()
    throw error
  }
}

/** The owner of the lock at `path`, where it lives; what the dead have left is removed. */
async function findRival(
  path: string,
  own: { readonly owner: string; readonly path: string },
): Promise<string | undefined> {
  const text = await unlessAbsent(readFile(path, 'utf8'))
  if (text === undefined) return undefined
  const owner = text.trim()
  const isGone =
    placeOf(owner) === placeOf(own.owner)
      ? !isProcessAlive(owner)
      : (await silenceMs(path, own.path)) > silenceMaxMs
  if (!isGone) return owner
  await unlessAbsent(unlink(path))
  return undefined
}

/** Host, since its start, and container: there a process can be asked for. */
function placeOf(owner: string): string {
  return owner.split('/').slice(2).join('/')
}

/** By the clock of the file system, which several hosts share: our own file was touched just now. */
async function silenceMs(path: string, ownPath: string): Promise<number> {
  const [other, own] = await Promise.all([unlessAbsent(stat(path)), stat(ownPath)])
  return other === undefined ? Number.POSITIVE_INFINITY : own.mtimeMs - other.mtimeMs
}

/** A disk that does not answer is told of by the work itself. */
async function renew(path: string): Promise<void> {
  const now = new Date()
  await utimes(path, now, now).catch(() => undefined)
}

function inUse(root: string, owner: string): BackupError {
  const pid = owner.split('/')[0] || 'unknown'
  return new BackupError(
    `process ${pid} writes to ${root}: wait for its end; where that was another host, or container, that is gone, for ${silenceMaxMs / 60_000} minutes`,
  )
}

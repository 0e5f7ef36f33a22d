// Answers for how much room a small file system has: a file takes the rest.
import { appendFile, stat, statfs, truncate } from 'node:fs/promises'
import { join } from 'node:path'

export interface Disk {
  readonly path: string
  /** Leave so much room. */
  leave(bytes: number): Promise<void>
}

export function diskAt(path: string): Disk {
  const ballast = join(path, 'ballast')
  const leave = async (bytes: number): Promise<void> => {
    await appendFile(ballast, '')
    const { bavail, bsize } = await statfs(path)
    // In one step, so that whoever looks meanwhile sees nothing that was not meant.
    const more = bavail * bsize - bytes
    if (more > 0) await appendFile(ballast, Buffer.alloc(more))
    else await truncate(ballast, Math.max(0, (await stat(ballast)).size + more))
  }
  return { path, leave }
}

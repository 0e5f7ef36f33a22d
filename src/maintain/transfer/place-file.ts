// Gives a file a second place without copying its bytes, where the file system can.

import { constants } from 'node:fs'
import { copyFile, link, open } from 'node:fs/promises'

/** How bytes came to lie where they are. */
export type Placing = 'cloned' | 'linked' | 'copied' | 'adopted'

const notHereCodes: ReadonlySet<string> = new Set([
  ...['EXDEV', 'EPERM', 'EACCES', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL', 'ENOTTY', 'EMLINK'],
  ...['EBADF', 'ETXTBSY'],
])

/** Remembers what the file systems of a run cannot do. */
export class FilePlacer {
  #mayClone = true
  #mayLink = true

  /**
   * Make `target`, which is not there, of `source`; undefined where only copying does. A clone has a file of its
   * own, and shares its bytes till one of both changes; a link is the same file, so only for what nobody changes.
   * Errors: the system's own, such as ENOSPC.
   */
  async place(
    source: string,
    target: string,
    mayLink: boolean,
  ): Promise<'cloned' | 'linked' | undefined> {
    if (this.#mayClone) {
      const flags = constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE
      if (await succeeds(copyFile(source, target, flags))) return 'cloned'
      this.#mayClone = false
    }
    if (mayLink && this.#mayLink) {
      if (await succeeds(link(source, target))) return 'linked'
      this.#mayLink = false
    }
    return undefined
  }
}

async function succeeds(call: Promise<unknown>): Promise<boolean> {
  try {
    await call
    return true
  } catch (error) {
    if (notHereCodes.has((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
}

const readBytes = 256 << 10

/** The bytes of a file; each chunk is valid until the next one. Errors: the system's own. */
export async function* chunksOf(path: string): AsyncGenerator<Uint8Array> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    const buffer = new Uint8Array(readBytes)
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await file.close()
  }
}

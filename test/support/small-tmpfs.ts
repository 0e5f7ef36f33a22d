// Answers for really full file systems in tests: a small tmpfs of its own, unmounted after.

import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { needsThat } from './tools.ts'

const run = promisify(execFile)

// Few enough for a test to use up.
const inodesMax = 2048

async function mount(sizeBytes: number): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'keelson-tmpfs-'))
  const options = `size=${sizeBytes},nr_inodes=${inodesMax},mode=0700`
  try {
    await run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path])
  } catch (error) {
    await rm(path, { recursive: true })
    throw error
  }
  return path
}

async function unmount(path: string): Promise<void> {
  await run('umount', [path])
  await rm(path, { recursive: true })
}

async function canMount(): Promise<boolean> {
  try {
    await unmount(await mount(1 << 20))
    return true
  } catch {
    return false
  }
}

/** Options for `test()`: skips, by name, where this user may not mount. */
export const needsTmpfs: { readonly skip: string | false } = needsThat(
  (await canMount()) ? [] : ['the right to mount a tmpfs'],
)

/** Run `body` with an empty file system of this size. */
export async function withTmpfs(
  sizeBytes: number,
  body: (path: string) => Promise<void>,
): Promise<void> {
  const path = await mount(sizeBytes)
  try {
    await body(path)
  } finally {
    await unmount(path)
  }
}

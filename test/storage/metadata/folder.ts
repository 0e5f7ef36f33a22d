// A temporary folder for as long as a test runs.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export async function withFolder(body: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'keelson-metadata-'))
  try {
    await body(path)
  } finally {
    await rm(path, { recursive: true, force: true })
  }
}

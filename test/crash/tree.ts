// Looks at a blob store's files themselves: what is at a digest's place has that digest.

import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Algorithm, digestOf } from '../support/registry-client.ts'

/** Errors: AssertionError that names the first wrong blob. */
export async function assertTreeIsRight(rootDir: string): Promise<void> {
  for (const algorithm of ['sha256', 'sha512'] satisfies Algorithm[]) {
    const parent = join(rootDir, 'blobs', algorithm)
    for (const prefix of await readdir(parent)) {
      for (const hex of await readdir(join(parent, prefix))) {
        const path = join(parent, prefix, hex, 'data')
        // A directory without a file is one whose link was never made.
        const bytes = await readFile(path).catch(unlessAbsent)
        if (bytes) assert.equal(digestOf(bytes, algorithm), `${algorithm}:${hex}`, path)
      }
    }
  }
}

function unlessAbsent(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
}

// What lies in a backup directory, whoever put it there.

import { opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, parseDigest } from '../../oci/digest.ts'
import { unlessAbsent } from './error.ts'
import { algorithms, type Layout, segmentHexOf } from './layout.ts'

/** A file among blobs or segments. `digest` is absent where its name is none. */
export interface PresentFile {
  readonly path: string
  readonly digest: Digest | undefined
}

export async function* presentBlobs({ blobs }: Layout): AsyncGenerator<PresentFile> {
  for (const algorithm of algorithms) {
    for await (const { folder, name } of filesBelow(join(blobs, algorithm))) {
      const digest = name.startsWith(folder) ? parseDigest(`${algorithm}:${name}`) : undefined
      yield { path: join(blobs, algorithm, folder, name), digest }
    }
  }
}

export async function* presentSegments({ segments }: Layout): AsyncGenerator<PresentFile> {
  for await (const { folder, name } of filesBelow(segments)) {
    const hex = segmentHexOf(name)
    const digest = hex?.startsWith(folder) ? parseDigest(`sha256:${hex}`) : undefined
    yield { path: join(segments, folder, name), digest }
  }
}

async function* filesBelow(
  root: string,
): AsyncGenerator<{ readonly folder: string; readonly name: string }> {
  const folders = await unlessAbsent(opendir(root))
  if (folders === undefined) return
  for await (const folder of folders) {
    if (!folder.isDirectory()) continue
    for await (const entry of await opendir(join(root, folder.name))) {
      yield { folder: folder.name, name: entry.name }
    }
  }
}

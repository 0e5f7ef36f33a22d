// Answers for fs blob stores in tests: one in a temporary directory, removed and checked for leaks.

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { UploadId } from '../../../../src/oci/upload-id.ts'
import { openFsBlobStore } from '../../../../src/storage/blob/fs/store.ts'
import type { BlobStoreScene } from '../../../contract/blob-store.ts'
import { openFilesBelow } from '../../../support/open-files.ts'
import { until } from '../../../support/until.ts'

export interface FsScene extends BlobStoreScene {
  readonly root: string
}

/** `parent` defaults to the system's temporary directory. */
export async function openFsScene(parent: string = tmpdir()): Promise<FsScene> {
  const root = await mkdtemp(join(parent, 'keelson-blobs-'))
  const store = await openFsBlobStore({ rootDir: root, durability: 'fsync' })
  return {
    root,
    store,
    stage: async (upload: UploadId, bytes: Uint8Array) => {
      const target = store.staging(upload)
      assert.equal(target.kind, 'fs')
      // Never through the old file, which a publish may have linked.
      await rm(target.path, { force: true })
      await writeFile(target.path, bytes, { mode: 0o600, flag: 'wx' })
    },
    close: async () => {
      await store.close()
      // A reader's close is not waited for by anybody, so give it its moment.
      await until('every file is closed', () => openFilesBelow(root).length === 0, 2000).finally(
        () => rm(root, { recursive: true }),
      )
    },
  }
}

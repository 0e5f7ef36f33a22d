// Answers for fs blob stores in tests: one in a temporary directory, removed and checked for leaks.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Digest, digestHex, digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId, type UploadId } from '../../../../src/oci/upload-id.ts'
import { parseKeys, type SealingKeys } from '../../../../src/sealing/keys.ts'
import { fileLength } from '../../../../src/sealing/layout.ts'
import { openFsBlobStore } from '../../../../src/storage/blob/fs/store.ts'
import { openFreshSealed } from '../../../../workers/sealed-file.ts'
import type { BlobStoreScene } from '../../../contract/blob-store.ts'
import { openFilesBelow } from '../../../support/open-files.ts'
import { until } from '../../../support/until.ts'

export interface FsScene extends BlobStoreScene {
  readonly root: string
}

/** Two keys, made of nothing secret. */
export const someKeys: SealingKeys = parseKeys(
  `${'0123456789abcdef'.repeat(4)}\n${'fedcba98'.repeat(8)}\n`,
)

/** The same of a store that encrypts. */
export async function openSealedScene(keys: SealingKeys = someKeys): Promise<FsScene> {
  const scene = await openFsScene(tmpdir(), keys)
  return {
    ...scene,
    bytesThere: fileLength,
    stage: sealedStage(scene.store, keys),
  }
}

/** As workers do for `store`, which encrypts with these keys. */
export function sealedStage(store: FsScene['store'], keys: SealingKeys): FsScene['stage'] {
  return async (upload, bytes) => {
    const target = store.staging(upload)
    assert.ok(target.kind === 'fs')
    const file = await openFreshSealed(target.path, keys)
    await file.write([bytes], 0)
    await file.seal('sha256', digestHex(digestOfBytes('sha256', bytes)))
    await file.sync()
    await file.close()
  }
}

/** Stage and publish it. */
export async function put(
  { store, stage }: Pick<FsScene, 'store' | 'stage'>,
  bytes: Uint8Array,
): Promise<Digest> {
  const upload = newUploadId(randomUUID)
  const digest = digestOfBytes('sha256', bytes)
  await stage(upload, bytes)
  await store.publish(upload, digest, bytes.length)
  await store.discard(upload)
  return digest
}

/** `parent` defaults to the system's temporary directory. */
export async function openFsScene(parent: string = tmpdir(), keys?: SealingKeys): Promise<FsScene> {
  const root = await mkdtemp(join(parent, 'keelson-blobs-'))
  const store = await openFsBlobStore({ rootDir: root, durability: 'fsync', ...(keys && { keys }) })
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

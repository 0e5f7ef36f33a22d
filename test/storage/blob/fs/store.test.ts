// Goal: blobs as files keep the contract of a blob store, in Docker Distribution's tree.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import {
  chmod,
  link,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { digestHex, digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId } from '../../../../src/oci/upload-id.ts'
import { openFsBlobStore } from '../../../../src/storage/blob/fs/store.ts'
import { StorageError } from '../../../../src/storage/error.ts'
import { blobStoreContract } from '../../../contract/blob-store.ts'
import { patternBytes } from '../../../support/pattern-source.ts'
import { type FsScene, openFsScene } from './scene.ts'

blobStoreContract('fs', openFsScene)

const bytes = patternBytes(100_000)
const digest = digestOfBytes('sha256', bytes)
const hex = digestHex(digest)

function check(title: string, body: (scene: FsScene) => Promise<void>): void {
  test(`fs: ${title}`, async () => {
    const scene = await openFsScene()
    try {
      await body(scene)
    } finally {
      await scene.close()
    }
  })
}

function dataPath({ root }: FsScene): string {
  return join(root, 'blobs', 'sha256', hex.slice(0, 2), hex, 'data')
}

async function publish({ store, stage }: FsScene): Promise<void> {
  const upload = newUploadId(randomUUID)
  await stage(upload, bytes)
  await store.publish(upload, digest, bytes.length)
  await store.discard(upload)
}

function isStorageError(kind: StorageError['kind']): (error: unknown) => boolean {
  return (error) => error instanceof StorageError && error.kind === kind
}

check('a blob lies where Docker Distribution puts it, private to the user', async (scene) => {
  await publish(scene)
  assert.deepEqual(await readFile(dataPath(scene)), bytes)
  const file = await stat(dataPath(scene))
  assert.equal(file.mode & 0o777, 0o600)
  assert.equal(file.nlink, 1)
  assert.equal((await stat(dirname(dataPath(scene)))).mode & 0o777, 0o700)
  assert.equal((await stat(join(scene.root, '_keelson', 'uploads'))).mode & 0o777, 0o700)
})

check('every prefix exists from the start, and opening leaves nothing else', async ({ root }) => {
  assert.deepEqual((await readdir(root)).sort(), ['_keelson', 'blobs'])
  assert.deepEqual((await readdir(join(root, 'blobs'))).sort(), ['sha256', 'sha512'])
  for (const algorithm of ['sha256', 'sha512']) {
    assert.equal((await readdir(join(root, 'blobs', algorithm))).length, 256)
  }
  assert.deepEqual(await readdir(join(root, '_keelson', 'uploads')), [])
})

check('a tree that Docker Distribution wrote is adopted as it is', async (scene) => {
  await mkdir(dirname(dataPath(scene)))
  await writeFile(dataPath(scene), bytes)
  await mkdir(join(scene.root, 'repositories', 'library', 'x', '_uploads'), { recursive: true })
  const again = await openFsBlobStore({ rootDir: scene.root, durability: 'fsync' })
  assert.equal(await again.size(digest), bytes.length)
  const listed = []
  for await (const blob of again.list()) listed.push(blob)
  assert.deepEqual(listed, [{ digest, size: bytes.length }])
  await again.close()
})

check('foreign files are passed over', async (scene) => {
  await publish(scene)
  const { root, store } = scene
  await writeFile(join(root, 'blobs', 'README'), '')
  await writeFile(join(root, 'blobs', 'sha256', 'README'), '')
  await writeFile(join(root, 'blobs', 'sha256', hex.slice(0, 2), 'README'), '')
  // A blob's directory without data, one under a foreign prefix, and one that is a file.
  await mkdir(join(root, 'blobs', 'sha256', '00', '0'.repeat(64)))
  await mkdir(join(root, 'blobs', 'sha256', '01', hex))
  await writeFile(join(root, 'blobs', 'sha256', '01', hex, 'data'), bytes)
  await writeFile(join(root, 'blobs', 'sha256', 'ff', 'f'.repeat(64)), '')
  await writeFile(join(root, '_keelson', 'uploads', 'README'), '')
  await mkdir(join(root, '_keelson', 'uploads', newUploadId(randomUUID)))
  const listed = []
  for await (const blob of store.list()) listed.push(blob.digest)
  assert.deepEqual(listed, [digest])
  for await (const upload of store.listStaged()) assert.fail(upload)
})

check('a foreign file in the directory of a removed blob stays', async (scene) => {
  await publish(scene)
  const foreign = join(dirname(dataPath(scene)), 'note')
  await writeFile(foreign, 'mine')
  assert.equal(await scene.store.remove(digest), true)
  assert.equal(await scene.store.size(digest), undefined)
  assert.equal(await readFile(foreign, 'utf8'), 'mine')
})

check('the directory of a removed blob goes with it', async (scene) => {
  await publish(scene)
  await scene.store.remove(digest)
  await assert.rejects(stat(dirname(dataPath(scene))), { code: 'ENOENT' })
})

check('a file that became shorter is corrupt, at once and later', async (scene) => {
  await publish(scene)
  const reader = await scene.store.open(digest)
  assert.ok(reader)
  await truncate(dataPath(scene), 10)
  const target = Buffer.alloc(100)
  await assert.rejects(reader.read(0, target), isStorageError('corrupt'))
  assert.throws(() => reader.readNow?.(0, target), isStorageError('corrupt'))
  reader.close()
})

check('what is no file at the place of one is corrupt', async (scene) => {
  await mkdir(dataPath(scene), { recursive: true })
  await assert.rejects(scene.store.open(digest), isStorageError('corrupt'))
  await assert.rejects(scene.store.size(digest), isStorageError('corrupt'))
})

check('a link at the place of a blob is not followed', async (scene) => {
  const outside = join(scene.root, 'outside')
  await writeFile(outside, bytes)
  await mkdir(dirname(dataPath(scene)))
  await symlink(outside, dataPath(scene))
  await assert.rejects(scene.store.open(digest), isStorageError('unavailable'))
  await assert.rejects(scene.store.size(digest), isStorageError('corrupt'))
})

check('a store that cannot be looked at is unavailable, never empty', async (scene) => {
  await publish(scene)
  const prefix = join(scene.root, 'blobs', 'sha256', hex.slice(0, 2))
  // A file in the way gives ENOTDIR also to root, for whom permissions mean nothing.
  await rm(prefix, { recursive: true })
  await writeFile(prefix, '')
  await assert.rejects(scene.store.open(digest), isStorageError('unavailable'))
  await assert.rejects(scene.store.size(digest), isStorageError('unavailable'))
  await assert.rejects(scene.store.remove(digest), isStorageError('unavailable'))
})

check('a publish goes on where the directory was removed under it', async (scene) => {
  for (let round = 0; round < 50; round++) {
    const upload = newUploadId(randomUUID)
    await scene.stage(upload, bytes)
    const removed = scene.store.remove(digest)
    const published = scene.store.publish(upload, digest, bytes.length)
    await Promise.allSettled([removed, published])
    await scene.store.discard(upload)
  }
  await publish(scene)
  assert.equal(await scene.store.size(digest), bytes.length)
})

check('several processes may open one store at the same time', async ({ root }) => {
  const stores = await Promise.all(
    Array.from({ length: 4 }, () => openFsBlobStore({ rootDir: root, durability: 'fsync' })),
  )
  for (const store of stores) await store.close()
})

check('a root that is a file is refused', async ({ root }) => {
  const file = join(root, 'file')
  await writeFile(file, '')
  const opening = openFsBlobStore({ rootDir: file, durability: 'fsync' })
  await assert.rejects(opening, isStorageError('unavailable'))
})

check('readiness fails where nothing can be written', async ({ root, store }) => {
  const uploads = join(root, '_keelson', 'uploads')
  await rm(uploads, { recursive: true })
  await assert.rejects(store.probe(), isStorageError('unavailable'))
  await mkdir(uploads)
  await store.probe()
  assert.deepEqual(await readdir(uploads), [])
})

check('a blob is shared with the staging place until that is discarded', async (scene) => {
  const upload = newUploadId(randomUUID)
  await scene.stage(upload, bytes)
  await scene.store.publish(upload, digest, bytes.length)
  assert.equal((await stat(dataPath(scene))).nlink, 2)
  // A link of our own shows that publishing replaces nothing.
  await link(dataPath(scene), join(scene.root, 'kept'))
  await scene.store.publish(upload, digest, bytes.length)
  assert.equal((await stat(dataPath(scene))).nlink, 3)
  await scene.store.discard(upload)
  await chmod(join(scene.root, 'kept'), 0o600)
})

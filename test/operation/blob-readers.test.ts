// Goal: open blobs are shared, and none outlives its blob or serves bytes that are not those of its digest.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { type Digest, digestOfBytes } from '../../src/oci/digest.ts'
import { newUploadId } from '../../src/oci/upload-id.ts'
import { BlobReaders, type SharedReader } from '../../src/operation/blob-readers.ts'
import { BlobSource, MultipartSource } from '../../src/operation/blob-source.ts'
import { StorageError } from '../../src/storage/error.ts'
import { openFsScene } from '../storage/blob/fs/scene.ts'
import { openFilesBelow } from '../support/open-files.ts'
import { patternBytes } from '../support/pattern-source.ts'
import { until } from '../support/until.ts'

const bytes = patternBytes(300_000)
const digest = digestOfBytes('sha256', bytes)

interface Scene {
  readonly readers: BlobReaders
  acquire(): Promise<SharedReader>
  publish(): Promise<Digest>
  /** As another process does: nobody tells the readers. */
  destroy(options?: { readonly overwrite: boolean }): Promise<void>
  openFiles(count: number): Promise<void>
}

function check(title: string, shared: boolean, body: (scene: Scene) => Promise<void>): void {
  test(`open blobs: ${title}`, async () => {
    const { close, root, stage, store } = await openFsScene()
    const readers = new BlobReaders(store, 4, shared)
    const publish = async (): Promise<Digest> => {
      const upload = newUploadId(randomUUID)
      await stage(upload, bytes)
      await store.publish(upload, digest, bytes.length)
      await store.discard(upload)
      return digest
    }
    try {
      await publish()
      await body({
        ...{ readers, publish },
        acquire: async () => {
          const shared = await readers.acquire(digest)
          assert.ok(shared)
          return shared
        },
        destroy: async (options) => {
          await store.remove(digest, options)
          for await (const { kind } of store.eraseRemoved(async () => {})) {
            assert.equal(kind, 'overwritten')
          }
        },
        openFiles: (count) =>
          until(`${count} open files`, () => openFilesBelow(root).length === count, 10_000),
      })
    } finally {
      readers.close()
      await close()
    }
  })
}

const isUnavailable = (error: unknown): boolean =>
  error instanceof StorageError && error.kind === 'unavailable'

check('one file serves many, and stays open for the next', false, async (scene) => {
  const [first, second] = await Promise.all([scene.acquire(), scene.acquire()])
  assert.equal(first?.reader, second?.reader)
  first?.release()
  second?.release()
  await scene.openFiles(1)
  const third = await scene.acquire()
  assert.equal(third.reader, first?.reader)
  third.release()
})

check('a destroyed one is closed at once, one that is read at the end', false, async (scene) => {
  const shared = await scene.acquire()
  await scene.destroy()
  scene.readers.drop(digest)
  const whole = Buffer.alloc(bytes.length)
  await new BlobSource(shared, { start: 0, end: bytes.length - 1 }).read(0, whole)
  assert.deepEqual(whole, bytes)
  shared.release()
  await scene.openFiles(0)
})

check('one that is destroyed while it is being opened is not kept', false, async (scene) => {
  const opening = scene.acquire()
  scene.readers.drop(digest)
  const shared = await opening
  shared.release()
  await scene.openFiles(0)
  ;(await scene.acquire()).release()
  await scene.openFiles(1)
})

check('one that another process has destroyed is let go of', true, async (scene) => {
  const used = await scene.acquire()
  scene.readers.dropGone()
  const other = await scene.acquire()
  assert.equal(other.reader, used.reader)
  await scene.destroy()
  scene.readers.dropGone()
  assert.equal(await scene.readers.acquire(digest), undefined)
  used.release()
  await scene.openFiles(1)
  other.release()
  await scene.openFiles(0)
})

check('an idle one that another process has destroyed is closed', true, async (scene) => {
  ;(await scene.acquire()).release()
  await scene.openFiles(1)
  await scene.destroy()
  scene.readers.dropGone()
  await scene.openFiles(0)
})

for (const overwrite of [false, true]) {
  const how = overwrite ? 'overwritten' : 'destroyed'
  check(`one that was ${how} elsewhere and pushed again is opened anew`, true, async (scene) => {
    const before = await scene.acquire()
    await scene.destroy({ overwrite })
    await scene.publish()
    const after = await scene.acquire()
    assert.notEqual(after.reader, before.reader)
    const whole = Buffer.alloc(bytes.length)
    await new BlobSource(after, { start: 0, end: bytes.length - 1 }).read(0, whole)
    assert.deepEqual(whole, bytes)
    before.release()
    after.release()
  })
}

check('no transfer of overwritten bytes ever ends well', true, async (scene) => {
  const shared = await scene.acquire()
  const range = { start: 1000, end: 200_999 }
  const source = new BlobSource(shared, range)
  const parts = new MultipartSource(shared, [range, { start: 5, end: 9 }], 'boundary')
  const half = Buffer.alloc(100_000)
  await source.read(0, half)
  await parts.read(200, half)
  await scene.destroy({ overwrite: true })
  await assert.rejects(source.read(100_000, half), isUnavailable)
  // The first read of a source is left to the thread pool.
  source.readNow(0, Buffer.alloc(1))
  assert.throws(() => source.readNow(100_000, half), isUnavailable)
  const closing = Buffer.alloc(8)
  assert.throws(() => parts.readNow(parts.length - closing.length, closing), isUnavailable)
  shared.release()
})

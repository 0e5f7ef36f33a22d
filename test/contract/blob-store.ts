// The contract of a blob store. Each backend's test calls it once with a way to open an empty one.
//
// Method: every case opens a store of its own, and closing it fails on what it left behind.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { type Digest, digestOfBytes } from '../../src/oci/digest.ts'
import { newUploadId, type UploadId } from '../../src/oci/upload-id.ts'
import type { BlobReader, BlobStore, Erased } from '../../src/storage/blob/contract.ts'
import { StorageError } from '../../src/storage/error.ts'
import { patternBytes } from '../support/pattern-source.ts'

export interface BlobStoreScene {
  readonly store: BlobStore
  /** Whether a reader goes on after its blob is removed, as an open file does; default true. */
  readonly readersOutlive?: boolean
  /** What a blob of so many bytes takes where it lies; default as many. */
  readonly bytesThere?: (length: number) => number
  /** Do what an ingest worker does: put bytes at the upload's staging place. */
  stage(upload: UploadId, bytes: Uint8Array): Promise<void>
  /** Closes the store and removes everything. Errors: AssertionError naming what was left open. */
  close(): Promise<void>
}

const bytes = patternBytes(300_000)
const digest = digestOfBytes('sha256', bytes)

/** Run every case on one backend. Source: src/storage/blob/contract.ts. */
export function blobStoreContract(name: string, open: () => Promise<BlobStoreScene>): void {
  const check = (title: string, body: (scene: BlobStoreScene) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      const scene = await open()
      try {
        await body(scene)
        assert.deepEqual(await collect(scene.store.listStaged()), [], 'a staged upload is left')
      } finally {
        await scene.close()
      }
    })
  }
  publishing(check)
  reading(check)
  removing(check)
  erasing(check)
  settingAside(check)
}

type Check = (title: string, body: (scene: BlobStoreScene) => Promise<void>) => void

function newUpload(): UploadId {
  return newUploadId(randomUUID)
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = []
  for await (const item of items) all.push(item)
  return all
}

async function put({ store, stage }: BlobStoreScene, content: Uint8Array): Promise<Digest> {
  const upload = newUpload()
  const of = digestOfBytes('sha256', content)
  await stage(upload, content)
  await store.publish(upload, of, content.length)
  await store.discard(upload)
  return of
}

async function readAll(reader: BlobReader | undefined): Promise<Buffer> {
  assert.ok(reader)
  const content = Buffer.alloc(reader.size)
  assert.equal(await reader.read(0, content), reader.size)
  reader.close()
  return content
}

function isStorageError(kind: StorageError['kind']): (error: unknown) => boolean {
  return (error) => error instanceof StorageError && error.kind === kind
}

function publishing(check: Check): void {
  check('what was staged and published is read back whole', async (scene) => {
    await put(scene, bytes)
    assert.equal(await scene.store.size(digest), bytes.length)
    assert.deepEqual(await readAll(await scene.store.open(digest)), bytes)
  })

  check('an empty blob is a blob', async (scene) => {
    const empty = await put(scene, new Uint8Array(0))
    assert.equal(await scene.store.size(empty), 0)
    assert.equal((await readAll(await scene.store.open(empty))).length, 0)
  })

  check('a sha512 blob lies beside the sha256 one', async (scene) => {
    const upload = newUpload()
    const wide = digestOfBytes('sha512', bytes)
    await scene.stage(upload, bytes)
    await scene.store.publish(upload, wide, bytes.length)
    await scene.store.publish(upload, digest, bytes.length)
    await scene.store.discard(upload)
    assert.deepEqual(await readAll(await scene.store.open(wide)), bytes)
    assert.deepEqual(await readAll(await scene.store.open(digest)), bytes)
  })

  check(
    'publishing twice is as good as once, also when nothing is staged any more',
    async (scene) => {
      const upload = newUpload()
      await scene.stage(upload, bytes)
      await scene.store.publish(upload, digest, bytes.length)
      await scene.store.publish(upload, digest, bytes.length)
      await scene.store.discard(upload)
      await scene.store.publish(upload, digest, bytes.length)
      assert.deepEqual(await readAll(await scene.store.open(digest)), bytes)
    },
  )

  check('many uploads of one blob publish it at the same time', async (scene) => {
    const uploads = Array.from({ length: 8 }, newUpload)
    await Promise.all(uploads.map((upload) => scene.stage(upload, bytes)))
    await Promise.all(uploads.map((upload) => scene.store.publish(upload, digest, bytes.length)))
    await Promise.all(uploads.map((upload) => scene.store.discard(upload)))
    assert.deepEqual(await collect(scene.store.list()), [{ digest, size: bytes.length }])
  })

  check('publishing what is not staged is a conflict and leaves no blob', async (scene) => {
    const upload = newUpload()
    const absent = scene.store.publish(upload, digest, bytes.length)
    await assert.rejects(absent, isStorageError('conflict'))
    await scene.stage(upload, bytes.subarray(1))
    const shorter = scene.store.publish(upload, digest, bytes.length)
    await assert.rejects(shorter, isStorageError('conflict'))
    await scene.store.discard(upload)
    assert.equal(await scene.store.size(digest), undefined)
    assert.equal(await scene.store.open(digest), undefined)
  })

  check('a blob of another size at the final key is corrupt and stays as it is', async (scene) => {
    const upload = newUpload()
    await scene.stage(upload, bytes.subarray(0, 10))
    await scene.store.publish(upload, digest, 10)
    await scene.stage(upload, bytes)
    const publish = scene.store.publish(upload, digest, bytes.length)
    await assert.rejects(publish, isStorageError('corrupt'))
    await scene.store.discard(upload)
    assert.equal(await scene.store.size(digest), 10)
  })

  check(
    'writing to the staging place after publishing and discarding leaves the blob',
    async (scene) => {
      const upload = newUpload()
      await scene.stage(upload, bytes)
      await scene.store.publish(upload, digest, bytes.length)
      await scene.store.discard(upload)
      await scene.stage(upload, Buffer.alloc(bytes.length))
      assert.deepEqual(await readAll(await scene.store.open(digest)), bytes)
      await scene.store.discard(upload)
    },
  )
}

function reading(check: Check): void {
  check('absence is a value', async ({ store }) => {
    assert.equal(await store.open(digest), undefined)
    assert.equal(await store.size(digest), undefined)
    assert.equal(await store.openStaged(newUpload()), undefined)
    assert.equal(await store.stagedSize(newUpload()), undefined)
    assert.deepEqual(await collect(store.list()), [])
  })

  check('what is staged can be read before it is published', async (scene) => {
    const upload = newUpload()
    await scene.stage(upload, bytes)
    assert.equal(await scene.store.stagedSize(upload), bytes.length)
    assert.deepEqual(await readAll(await scene.store.openStaged(upload)), bytes)
    assert.deepEqual(await collect(scene.store.listStaged()), [upload])
    await scene.store.discard(upload)
    await scene.store.discard(upload)
    assert.equal(await scene.store.stagedSize(upload), undefined)
  })

  check('a reader fills its target, and is short only at the end', async (scene) => {
    await put(scene, bytes)
    const reader = await scene.store.open(digest)
    assert.ok(reader)
    const target = Buffer.alloc(1000)
    for (const read of [reader.read.bind(reader), reader.readNow?.bind(reader)]) {
      if (!read) continue
      assert.equal(await read(123_456, target), 1000)
      assert.deepEqual(target, bytes.subarray(123_456, 124_456))
      assert.equal(await read(bytes.length - 7, target), 7)
      assert.deepEqual(target.subarray(0, 7), bytes.subarray(-7))
      assert.equal(await read(bytes.length, target), 0)
      assert.equal(await read(bytes.length + 5, target), 0)
      assert.equal(await read(0, target.subarray(0, 0)), 0)
    }
    reader.close()
    reader.close()
  })

  check('a reader that is closed while it reads gives what it was asked for', async (scene) => {
    await put(scene, bytes)
    const reader = await scene.store.open(digest)
    assert.ok(reader)
    const target = Buffer.alloc(bytes.length)
    const reading = reader.read(0, target)
    reader.close()
    assert.equal(await reading, bytes.length)
    assert.deepEqual(target, bytes)
    await assert.rejects(async () => reader.read(0, target))
  })

  check('a reader goes on where its blob is removed, or says so', async (scene) => {
    await put(scene, bytes)
    const reader = await scene.store.open(digest)
    await scene.store.remove(digest)
    if (scene.readersOutlive !== false) {
      assert.deepEqual(await readAll(reader), bytes)
      return
    }
    await assert.rejects(readAll(reader), isStorageError('unavailable'))
    assert.equal(reader?.isStale?.(), true)
    reader.close()
  })

  check('it is ready', ({ store }) => store.probe())
}

function removing(check: Check): void {
  check('a removed blob is gone, and removing says whether there was one', async (scene) => {
    await put(scene, bytes)
    assert.equal(await scene.store.remove(digest), true)
    assert.equal(await scene.store.remove(digest), false)
    assert.equal(await scene.store.size(digest), undefined)
    assert.deepEqual(await collect(scene.store.list()), [])
  })

  for (const overwrite of [false, true]) {
    check(`several are removed, and synced together (overwrite: ${overwrite})`, async (scene) => {
      const digests: Digest[] = []
      for (let i = 0; i < 5; i++) digests.push(await put(scene, bytes.subarray(0, i)))
      const [kept, ...removed] = digests
      for (const each of removed) {
        assert.equal(await scene.store.remove(each, { overwrite, isSyncedLater: true }), true)
        assert.equal(await scene.store.size(each), undefined)
      }
      for (let times = 0; times < 2; times++) await scene.store.syncRemoved([...removed, digest])
      assert.deepEqual(
        (await collect(scene.store.list())).map((blob) => blob.digest),
        [kept],
      )
    })
  }

  check('a removed blob can be published again', async (scene) => {
    await put(scene, bytes)
    await scene.store.remove(digest)
    await put(scene, bytes)
    assert.deepEqual(await readAll(await scene.store.open(digest)), bytes)
  })

  check('every blob is listed once with its size', async (scene) => {
    const expected = new Map<string, number>()
    for (let i = 0; i < 40; i++) {
      const content = bytes.subarray(0, i * 100)
      expected.set(await put(scene, content), content.length)
    }
    const listed = await collect(scene.store.list())
    assert.equal(listed.length, expected.size)
    assert.deepEqual(new Map(listed.map((blob) => [blob.digest, blob.size])), expected)
  })

  check('a listing that is left early leaves nothing open', async (scene) => {
    for (let i = 0; i < 5; i++) await put(scene, bytes.subarray(0, i))
    for await (const { size } of scene.store.list()) {
      assert.ok(size >= 0)
      break
    }
  })
}

const noHurry = async (): Promise<void> => {}

const sorted = (sizes: number[]): number[] =>
  sizes.filter((size) => size !== 0).sort((a, b) => a - b)

function eraseAll({ store }: BlobStoreScene): Promise<Erased[]> {
  return collect(store.eraseRemoved(noHurry))
}

function erasing(check: Check): void {
  check(
    'a blob that is removed to be overwritten is gone at once, its bytes later',
    async (scene) => {
      await put(scene, bytes)
      assert.equal(await scene.store.remove(digest, { overwrite: true }), true)
      assert.equal(await scene.store.remove(digest, { overwrite: true }), false)
      assert.equal(await scene.store.open(digest), undefined)
      assert.deepEqual(await collect(scene.store.list()), [])
      const size = scene.bytesThere?.(bytes.length) ?? bytes.length
      assert.deepEqual(await eraseAll(scene), [{ kind: 'overwritten', size }])
      assert.deepEqual(await eraseAll(scene), [])
    },
  )

  check('one that is brought again meanwhile is not the one that is overwritten', async (scene) => {
    await put(scene, bytes)
    await scene.store.remove(digest, { overwrite: true })
    await put(scene, bytes)
    const reader = await scene.store.open(digest)
    await eraseAll(scene)
    assert.equal(reader?.fateNow?.() ?? 'kept', 'kept')
    assert.deepEqual(await readAll(reader), bytes)
    assert.deepEqual(await readAll(await scene.store.open(digest)), bytes)
  })

  check(
    'a reader can tell that its blob was removed, and that it was overwritten',
    async (scene) => {
      await put(scene, bytes)
      const first = await scene.store.open(digest)
      if (first?.fateNow === undefined) return first?.close()
      assert.equal(first.fateNow(), 'kept')
      await scene.store.remove(digest)
      assert.equal(first.fateNow(), 'removed')
      assert.deepEqual(await readAll(first), bytes)
      await put(scene, bytes)
      const second = await scene.store.open(digest)
      assert.ok(second)
      await scene.store.remove(digest, { overwrite: true })
      assert.equal(second.fateNow?.(), 'kept')
      await eraseAll(scene)
      assert.equal(second.fateNow?.(), 'overwritten')
      second.close()
    },
  )

  check('every piece is waited for, and what is refused stays for another run', async (scene) => {
    const contents = [bytes, bytes.subarray(1), new Uint8Array(0)]
    for (const content of contents) {
      await scene.store.remove(await put(scene, content), { overwrite: true })
    }
    const stop = async (): Promise<void> => {
      throw new Error('stop')
    }
    await assert.rejects(collect(scene.store.eraseRemoved(stop)), { message: 'stop' })
    const asked: number[] = []
    const erased = await collect(scene.store.eraseRemoved(async (size) => void asked.push(size)))
    const { bytesThere = (length: number) => length } = scene
    const there = sorted(contents.map(({ length }) => bytesThere(length)))
    assert.deepEqual(sorted(asked), there)
    const sizes = erased.map((each) => (each.kind === 'failed' ? -1 : each.size))
    // The empty one may have gone before the refusal.
    assert.deepEqual(sorted(sizes), there)
    assert.deepEqual(await eraseAll(scene), [])
  })
}

function settingAside(check: Check): void {
  check('whether the bytes are there is answered at once', async (scene) => {
    const { store } = scene
    if (store.isThereNow === undefined) return
    assert.equal(store.isThereNow(digest), false)
    await put(scene, bytes)
    assert.equal(store.isThereNow(digest), true)
    await store.remove(digest)
    assert.equal(store.isThereNow(digest), false)
    await put(scene, bytes)
    await store.remove(digest, { overwrite: true })
    assert.equal(store.isThereNow(digest), false)
    await eraseAll(scene)
  })

  check('a blob in quarantine is out of the way, and one comes in its place', async (scene) => {
    const { store } = scene
    await put(scene, bytes)
    assert.equal(typeof (await store.quarantine(digest)), 'string')
    assert.equal(await store.quarantine(digest), undefined)
    assert.equal(await store.size(digest), undefined)
    assert.equal(await store.remove(digest), false)
    assert.deepEqual(await collect(store.list()), [])
    await put(scene, bytes)
    assert.deepEqual(await readAll(await store.open(digest)), bytes)
    assert.deepEqual(await eraseAll(scene), [])
  })

  check('a worker is told where the bytes of a blob or an upload are', async (scene) => {
    const { store } = scene
    const upload = newUpload()
    assert.deepEqual(store.stagedTarget(upload, 3), store.staging(upload, 3))
    assert.notDeepEqual(store.stagedTarget(upload), store.stagedTarget(newUpload()))
    const target = store.readingTarget?.(digest)
    if (target === undefined) return
    assert.equal(target.kind, store.staging(upload).kind)
    assert.notDeepEqual(target, store.staging(upload))
  })
}

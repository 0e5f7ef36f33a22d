// Goal: an encrypted store keeps the contract of a blob store, reads exactly what was written at every place of
// every size, and takes nothing for good that was changed on the disk.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { copyFile, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Digest, digestHex, digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId } from '../../../../src/oci/upload-id.ts'
import { parseKeys } from '../../../../src/sealing/keys.ts'
import {
  fileLength,
  headerBytes,
  sealBytes,
  sealPositions,
  segmentBytes,
  slotBytes,
  slotPosition,
  wrapBytes,
  wrapPositions,
} from '../../../../src/sealing/layout.ts'
import { openFsBlobStore } from '../../../../src/storage/blob/fs/store.ts'
import { StorageError } from '../../../../src/storage/error.ts'
import { blobStoreContract } from '../../../contract/blob-store.ts'
import { patternBytes } from '../../../support/pattern-source.ts'
import { type FsScene, openFsScene, openSealedScene, put, someKeys } from './scene.ts'

blobStoreContract('sealed fs', openSealedScene)

const large = patternBytes(3 * segmentBytes + 1000)

function check(title: string, body: (scene: FsScene) => Promise<void>): void {
  test(`sealed fs: ${title}`, async () => {
    const scene = await openSealedScene()
    try {
      await body(scene)
    } finally {
      await scene.close()
    }
  })
}

function pathOf({ root }: { readonly root: string }, digest: Digest): string {
  const hex = digestHex(digest)
  return join(root, 'blobs', 'sha256', hex.slice(0, 2), hex, 'data')
}

/** Undefined where it is refused, as it must be. */
async function readWhole(
  { store }: Pick<FsScene, 'store'>,
  digest: Digest,
): Promise<Buffer | undefined> {
  let reader: Awaited<ReturnType<typeof store.open>>
  try {
    reader = await store.open(digest)
    assert.ok(reader, 'it reads as absent')
    const now = Buffer.alloc(reader.size)
    reader.readNow?.(0, now)
    const later = Buffer.alloc(reader.size)
    await reader.read(0, later)
    assert.deepEqual(now, later)
    return now
  } catch (error) {
    assert.ok(error instanceof StorageError, String(error))
    return undefined
  } finally {
    reader?.close()
  }
}

check('nothing of a blob lies in its file', async (scene) => {
  const secret = Buffer.from('a text that is easily found again '.repeat(5000))
  const digest = await put(scene, secret)
  const file = await readFile(pathOf(scene, digest))
  assert.equal(file.indexOf('easily found'), -1)
  assert.equal(file.length, fileLength(secret.length))
  const again = await put(scene, Buffer.concat([secret, Buffer.from('!')]))
  const other = await readFile(pathOf(scene, again))
  assert.notDeepEqual(
    other.subarray(headerBytes, headerBytes + 1000),
    file.subarray(headerBytes, headerBytes + 1000),
  )
})

check('any range of any size is what was written', async (scene) => {
  const aroundBorder = fc
    .tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: -3, max: 3 }))
    .map(([segments, off]) => Math.max(0, segments * segmentBytes + off))
  const anySize = fc.oneof(aroundBorder, fc.integer({ min: 0, max: 5 * segmentBytes }))
  await fc.assert(
    fc.asyncProperty(
      anySize,
      fc.array(fc.tuple(anySize, anySize), { minLength: 1, maxLength: 8 }),
      fc.integer(),
      async (size, ranges, salt) => {
        const bytes = Buffer.from(patternBytes(size))
        if (size > 4) bytes.writeInt32BE(salt)
        const digest = await put(scene, bytes)
        assert.equal(await scene.store.size(digest), size)
        const reader = await scene.store.open(digest)
        assert.ok(reader)
        assert.equal(reader.size, size)
        for (const [from, length] of ranges) {
          const expected = bytes.subarray(from, from + length)
          const now = Buffer.alloc(length)
          const later = Buffer.alloc(length)
          const count: number | undefined = reader.readNow?.(from, now)
          assert.equal(count, expected.length)
          assert.equal(await reader.read(from, later), expected.length)
          assert.ok(now.subarray(0, count).equals(expected), `${from}+${length} of ${size}`)
          assert.ok(later.subarray(0, count).equals(expected), `${from}+${length} of ${size}`)
        }
        reader.close()
      },
    ),
    { numRuns: 40 },
  )
})

check('a flipped bit of the header or of a segment is found', async (scene) => {
  const digest = await put(scene, large)
  const path = pathOf(scene, digest)
  const file = await readFile(path)
  const places = [
    ...Array.from({ length: 16 }, (_, i) => i),
    ...Array.from({ length: sealBytes('sha256') }, (_, i) => sealPositions.sha256 + i),
    ...Array.from({ length: wrapBytes }, (_, i) => wrapPositions[0] + i),
    ...[0, 1, 2, 3].flatMap((segment) => {
      const end = segment === 3 ? file.length : slotPosition(segment) + slotBytes
      return [
        slotPosition(segment),
        slotPosition(segment) + 12,
        slotPosition(segment) + 777,
        end - 16,
        end - 1,
      ]
    }),
  ]
  for (const place of places) {
    const changed = Buffer.from(file)
    changed[place] = (changed[place] ?? 0) ^ (1 << (place % 8))
    await writeFile(path, changed)
    const read = await readWhole(scene, digest)
    // Without its magic it is a file of another size, which is never the blob's.
    if (place < 16) assert.notEqual(read?.length, large.length, `bit of byte ${place}`)
    else assert.equal(read, undefined, `bit of byte ${place}`)
  }
  await writeFile(path, file)
  assert.deepEqual(await readWhole(scene, digest), large)
})

check('staged bytes whose file has another length than theirs are not published', async (scene) => {
  const upload = newUploadId(randomUUID)
  const digest = digestOfBytes('sha256', large)
  await scene.stage(upload, large)
  const target = scene.store.staging(upload)
  assert.equal(target.kind, 'fs')
  const path = target.kind === 'fs' ? target.path : ''
  const { size } = await stat(path)
  for (const length of [size + 1, size + 28, size - 1]) {
    await truncate(path, length)
    await assert.rejects(
      scene.store.publish(upload, digest, large.length),
      (error) => error instanceof StorageError && error.kind === 'conflict',
      `${length - size} bytes more`,
    )
    assert.equal(await scene.store.size(digest), undefined)
  }
})

check('segments that changed places, or files, or were cut off, are found', async (scene) => {
  const digest = await put(scene, large)
  const path = pathOf(scene, digest)
  const file = await readFile(path)
  const swapped = Buffer.from(file)
  file.copy(swapped, slotPosition(0), slotPosition(1), slotPosition(2))
  file.copy(swapped, slotPosition(1), slotPosition(0), slotPosition(1))
  await writeFile(path, swapped)
  assert.equal(await readWhole(scene, digest), undefined)
  for (const length of [0, 1, 2, 3].map(slotPosition)) {
    await writeFile(path, file)
    await truncate(path, length)
    assert.equal(await readWhole(scene, digest), undefined, `cut off at ${length}`)
  }
  await writeFile(path, Buffer.concat([file, file.subarray(slotPosition(0), slotPosition(1))]))
  assert.equal(await readWhole(scene, digest), undefined, 'a segment more')
  await writeFile(path, file)
  const sibling = Buffer.from(large)
  sibling[0] = 0x55
  const other = await put(scene, sibling)
  const otherFile = await readFile(pathOf(scene, other))
  await copyFile(path, pathOf(scene, other))
  assert.equal(await readWhole(scene, other), undefined, 'the file of another blob')
  // Segments of another blob with the own header.
  await writeFile(
    path,
    Buffer.concat([file.subarray(0, headerBytes), otherFile.subarray(headerBytes)]),
  )
  assert.equal(await readWhole(scene, digest), undefined, 'the segments of another blob')
})

check('a blob whose key is not known is an error that says so, and not damage', async (scene) => {
  const digest = await put(scene, large)
  const path = pathOf(scene, digest)
  const strange = parseKeys(`${'ab'.repeat(31)}cd`)
  const other = await openSealedScene(strange)
  try {
    const there = await put(other, large)
    await copyFile(path, pathOf(other, there))
    await assert.rejects(
      other.store.open(there),
      (error) =>
        error instanceof StorageError &&
        error.kind === 'unavailable' &&
        error.message.includes(someKeys.active.id),
    )
  } finally {
    await other.close()
  }
})

check('a store is not opened without a key that it needs', async (scene) => {
  const digest = await put(scene, large)
  const open = { rootDir: scene.root, durability: 'fsync' } as const
  await assert.rejects(openFsBlobStore(open), /encrypted with the key [0-9a-f]{16}.*not configured/)
  const wrong = parseKeys(`${'11'.repeat(31)}22`)
  await assert.rejects(openFsBlobStore({ ...open, keys: wrong }), /which is not configured: add it/)
  const both = { active: wrong.active, others: [someKeys.active] }
  const store = await openFsBlobStore({ ...open, keys: both })
  assert.deepEqual(await readWhole({ store }, digest), large)
  await store.close()
})

test('sealed fs: blobs from before stay readable, and look like any other', async () => {
  const scene = await openFsScene()
  try {
    const digest = await put(scene, large)
    const store = await openFsBlobStore({
      rootDir: scene.root,
      durability: 'fsync',
      keys: someKeys,
    })
    assert.deepEqual(await readWhole({ store }, digest), large)
    assert.equal(await store.size(digest), large.length)
    const sight = await store.audit?.look(digest)
    assert.equal(sight?.kind === 'file' && sight.size, large.length)
    assert.equal(await store.sealing?.rewrap(digest), 'plain')
    await store.close()
  } finally {
    await scene.close()
  }
})

check('a blob is rewrapped for another key, and its segments stay', async (scene) => {
  const digest = await put(scene, large)
  const path = pathOf(scene, digest)
  const before = await readFile(path)
  const next = parseKeys(`${'77'.repeat(31)}78`)
  const keys = { active: next.active, others: [someKeys.active] }
  const open = { rootDir: scene.root, durability: 'fsync' } as const
  const store = await openFsBlobStore({ ...open, keys })
  assert.equal(await store.sealing?.rewrap(digest), 'rewrapped')
  assert.equal(await store.sealing?.rewrap(digest), 'current')
  const after = await readFile(path)
  assert.ok(after.subarray(headerBytes).equals(before.subarray(headerBytes)))
  await store.sealing?.beginRetiring('00000001')
  const needed = await store.sealing?.endRetiring('00000001')
  assert.deepEqual(needed, [next.active.id])
  await store.close()
  const alone = await openFsBlobStore({ ...open, keys: next })
  assert.deepEqual(await readWhole({ store: alone }, digest), large)
  await alone.close()
  await assert.rejects(openFsBlobStore({ ...open, keys: someKeys }), /not configured/)
})

check('a rewrap that is cut off anywhere leaves the blob readable', async (scene) => {
  const digest = await put(scene, large)
  const path = pathOf(scene, digest)
  const before = await readFile(path)
  const next = parseKeys(`${'77'.repeat(31)}78`)
  const keys = { active: next.active, others: [someKeys.active] }
  const open = { rootDir: scene.root, durability: 'fsync', keys } as const
  const store = await openFsBlobStore(open)
  await store.sealing?.rewrap(digest)
  const after = await readFile(path)
  const [a, b] = wrapPositions
  // The steps of a rewrap: the second wrap is written, then the first one is overwritten. Each can be torn.
  for (let torn = 0; torn <= wrapBytes; torn++) {
    const writing = Buffer.from(before)
    after.copy(writing, b, b, b + torn)
    await writeFile(path, writing)
    assert.deepEqual(await readWhole({ store }, digest), large, `${torn} bytes of the new wrap`)
    const clearing = Buffer.from(before)
    after.copy(clearing, b, b, b + wrapBytes)
    clearing.fill(0, a, a + torn)
    await writeFile(path, clearing)
    assert.deepEqual(
      await readWhole({ store }, digest),
      large,
      `${torn} bytes of the old wrap gone`,
    )
    // Whoever comes next finishes it.
    if (torn % 19 === 0) {
      assert.equal(await store.sealing?.rewrap(digest), 'rewrapped')
      assert.equal(await store.sealing?.rewrap(digest), 'current')
      assert.deepEqual(await readWhole({ store }, digest), large)
    }
  }
  assert.equal((await stat(path)).size, fileLength(large.length))
  await store.close()
})

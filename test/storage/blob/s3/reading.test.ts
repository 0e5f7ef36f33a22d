// Goal: nobody gets bytes of a bucket that are not those of the blob, in whole or in part. Method: a real S3 server,
// whose objects the test changes under its feet.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { type Digest, digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId } from '../../../../src/oci/upload-id.ts'
import type { BlobPass, BlobReader } from '../../../../src/storage/blob/contract.ts'
import { dataKey } from '../../../../src/storage/blob/keys.ts'
import { StorageError } from '../../../../src/storage/error.ts'
import { patternBytes } from '../../../support/pattern-source.ts'
import { needsVersitygw, S3Server } from '../../../support/versitygw.ts'
import { openS3Scene, type S3Scene } from './scene.ts'

const bytes = patternBytes(300_000)
const digest = digestOfBytes('sha256', bytes)

describe('reading blobs of a bucket', needsVersitygw, () => {
  let server: S3Server
  let bucket: string
  let scene: S3Scene
  before(async () => {
    server = await S3Server.start()
    bucket = await server.bucket()
    scene = openS3Scene(server.endpoint, bucket)
  })
  after(async () => {
    await scene?.close()
    await server?.stop()
  })

  async function put(content: Uint8Array): Promise<void> {
    const upload = newUploadId(randomUUID)
    await scene.stage(upload, content)
    await scene.store.publish(upload, digestOfBytes('sha256', content), content.length)
    await scene.store.discard(upload)
  }

  async function open(of: Digest): Promise<BlobReader & Required<Pick<BlobReader, 'pass'>>> {
    const reader = await scene.store.open(of)
    assert.ok(reader?.pass)
    return reader as BlobReader & Required<Pick<BlobReader, 'pass'>>
  }

  /** Behind the back of everybody. */
  function overwrite(of: Digest, content: Uint8Array): Promise<void> {
    return server.overwrite(bucket, `${scene.root}${dataKey(of)}`, content)
  }

  async function readPass(pass: BlobPass, pieceBytes: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (const piece = Buffer.alloc(pieceBytes); ; ) {
      const count = await pass.read(piece)
      if (count === 0) return Buffer.concat(pieces)
      pieces.push(Buffer.from(piece.subarray(0, count)))
    }
  }

  test('a pass gives the bytes from front to back, by one request', async () => {
    await put(bytes)
    const reader = await open(digest)
    for (const [start, end] of [
      [0, bytes.length],
      [5, 1000],
      [bytes.length - 3, bytes.length + 9],
    ] as const) {
      const before = scene.attempts.length
      const pass = reader.pass(start, end)
      assert.equal(pass.position, start)
      assert.deepEqual(await readPass(pass, 70_000), bytes.subarray(start, end))
      assert.equal(pass.position, Math.min(end, bytes.length))
      assert.equal(scene.attempts.length, before + 1)
      pass.close()
      pass.close()
    }
    reader.close()
  })

  test('of other bytes the last ones are never given away, and somebody is told', async () => {
    const content = patternBytes(200_001)
    const of = digestOfBytes('sha256', content)
    await put(content)
    const wrong = Buffer.from(content)
    wrong[100] = (wrong[100] ?? 0) ^ 1
    await overwrite(of, wrong)
    const reader = await open(of)
    for (const pieceBytes of [70_000, 200_001, 200_002]) {
      const told = scene.mismatches.length
      const pass = reader.pass(0, content.length)
      const pieces: Buffer[] = []
      const piece = Buffer.alloc(pieceBytes)
      await assert.rejects(
        async () => {
          for (;;) pieces.push(Buffer.from(piece.subarray(0, await pass.read(piece))))
        },
        (error) => error instanceof StorageError && error.kind === 'corrupt',
      )
      assert.ok(Buffer.concat(pieces).length < content.length)
      assert.equal(scene.mismatches.length, told + 1)
      assert.equal(scene.mismatches.at(-1), of)
      pass.close()
    }
    assert.equal(reader.isStale?.(), true)
    reader.close()
  })

  test('a read of the whole blob at once is held against its digest, too', async () => {
    const content = patternBytes(1000)
    const of = digestOfBytes('sha256', content)
    await put(content)
    await overwrite(of, Buffer.alloc(1000))
    const reader = await open(of)
    const target = Buffer.alloc(1000, 7)
    await assert.rejects(
      reader.read(0, target),
      (error) => error instanceof StorageError && error.kind === 'corrupt',
    )
    reader.close()
  })

  test('an object that has taken the place of the one that was opened is not read', async () => {
    const content = patternBytes(50_000)
    const of = digestOfBytes('sha256', content)
    await put(content)
    const reader = await open(of)
    // By S3, so that it has an ETag of its own.
    await scene.store.remove(of)
    const upload = newUploadId(randomUUID)
    await scene.stage(upload, Buffer.alloc(50_000))
    await scene.store.publish(upload, of, 50_000)
    await scene.store.discard(upload)
    await assert.rejects(
      reader.read(10, Buffer.alloc(10)),
      (error) => error instanceof StorageError && error.kind === 'unavailable',
    )
    assert.equal(reader.isStale?.(), true)
    reader.close()
  })

  test('a bucket that is away is no absent blob', async () => {
    const away = openS3Scene(server.endpoint, 'no-such-bucket')
    const isAway = (error: unknown): boolean =>
      error instanceof StorageError &&
      error.kind === 'unavailable' &&
      error.message.includes('NoSuchBucket')
    await assert.rejects(away.store.open(digest), isAway)
    await assert.rejects(away.store.size(digest), isAway)
    await assert.rejects(away.store.stagedSize(newUploadId(randomUUID)), isAway)
    await assert.rejects(away.store.readId('_keelson/store-id'), isAway)
    await assert.rejects(away.store.remove(digest), isAway)
    await assert.rejects(away.store.probe(), isAway)
    await away.close()
  })
})

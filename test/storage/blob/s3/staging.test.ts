// Goal: an upload goes on where its last acknowledged request left it, in whichever process, however small its pieces
// and whatever was left behind them. Method: two ingest pools beside a real S3 server stand for two processes.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId, type UploadId } from '../../../../src/oci/upload-id.ts'
import { StorageError } from '../../../../src/storage/error.ts'
import { patternBytes } from '../../../support/pattern-source.ts'
import { needsVersitygw, S3Server } from '../../../support/versitygw.ts'
import { mib, openS3Scene, type S3Scene } from './scene.ts'

describe('uploads to a bucket', needsVersitygw, () => {
  let server: S3Server
  let bucket: string
  let one: S3Scene
  let other: S3Scene
  before(async () => {
    server = await S3Server.start()
    bucket = await server.bucket()
    one = openS3Scene(server.endpoint, bucket, { partBytes: 5 * mib })
    other = openS3Scene(server.endpoint, bucket, { partBytes: 5 * mib })
  })
  after(async () => {
    await one?.close()
    await other?.close()
    await server?.stop()
  })

  async function publishAndRead(upload: UploadId, bytes: Buffer): Promise<void> {
    const digest = digestOfBytes('sha256', bytes)
    assert.equal(await one.store.stagedSize(upload), bytes.length)
    await other.store.publish(upload, digest, bytes.length)
    const reader = await one.store.open(digest)
    const read = Buffer.alloc(bytes.length)
    assert.equal(await reader?.read(0, read), bytes.length)
    assert.ok(read.equals(bytes))
    reader?.close()
    await one.store.discard(upload)
    assert.equal(await one.store.stagedSize(upload), undefined)
  }

  test('bodies of all sizes, in turns by two processes, become one blob', async () => {
    const bytes = patternBytes(17 * mib)
    const upload = newUploadId(randomUUID)
    const sizes = [1, 300_000, 6 * mib, 5 * mib, 0, 100, 2 * mib, 3 * mib]
    let offset = 0
    for (const [i, size] of [...sizes, Number.POSITIVE_INFINITY].entries()) {
      const body = bytes.subarray(offset, offset + size)
      const outcome = await (i % 2 === 0 ? one : other).receive({ upload, offset }, body)
      offset += body.length
      assert.deepEqual(outcome, {
        kind: 'complete',
        offset,
        digest: digestOfBytes('sha256', bytes.subarray(0, offset)),
      })
    }
    assert.equal(offset, bytes.length)
    await publishAndRead(upload, bytes)
  })

  test('what follows the committed offset is cut off, by other bytes or by none', async () => {
    const bytes = patternBytes(7 * mib)
    const upload = newUploadId(randomUUID)
    const junk = Buffer.alloc(12 * mib, 'junk')
    await one.receive({ upload }, junk)
    await one.receive({ upload }, bytes.subarray(0, 3 * mib))
    await one.receive({ upload, offset: 3 * mib }, junk)
    await other.receive({ upload, offset: 3 * mib }, Buffer.alloc(0))
    assert.equal(await one.store.stagedSize(upload), 3 * mib)
    await one.receive({ upload, offset: 2 * mib }, junk.subarray(0, 9 * mib))
    // In the middle of a piece, and to more than one part.
    await other.receive({ upload, offset: 1 * mib }, bytes.subarray(1 * mib))
    await publishAndRead(upload, bytes)
  })

  test('fewer bytes than were committed are corrupt', async () => {
    const upload = newUploadId(randomUUID)
    await one.receive({ upload }, Buffer.alloc(1000))
    const isCorrupt = (error: unknown): boolean =>
      error instanceof StorageError && error.kind === 'corrupt'
    await assert.rejects(one.receive({ upload, offset: 1001 }, Buffer.alloc(9)), isCorrupt)
    await assert.rejects(one.ingest.rehash(one.store.staging(upload), 1001, 'sha256'), isCorrupt)
    await one.store.discard(upload)
  })

  test('staged bytes and blobs are hashed again in the threads', async () => {
    const bytes = patternBytes(6 * mib + 5)
    const upload = newUploadId(randomUUID)
    await one.receive({ upload }, bytes)
    const staged = await other.ingest.rehash(other.store.staging(upload), bytes.length, 'sha512')
    assert.equal(staged, digestOfBytes('sha512', bytes))
    const digest = digestOfBytes('sha256', bytes)
    await publishAndRead(upload, bytes)
    const paced: number[] = []
    const target = one.store.readingTarget(digest)
    const again = await one.ingest.rehash(target, bytes.length, 'sha256', async (count) => {
      paced.push(count)
    })
    assert.equal(again, digest)
    assert.ok(paced.length > 1)
  })

  test('small chunks are not published one by one', async () => {
    const bytes = patternBytes(6 * mib)
    const upload = newUploadId(randomUUID)
    for (let offset = 0; offset < bytes.length; offset += mib) {
      await one.receive({ upload, offset }, bytes.subarray(offset, offset + mib))
    }
    const before = other.attempts.length
    await publishAndRead(upload, bytes)
    const parts = other.attempts.slice(before).map(({ operation }) => operation)
    assert.equal(parts.filter((operation) => operation.startsWith('UploadPart')).length, 2)
  })

  test('many uploads share a budget that is smaller than their parts', async () => {
    const tight = openS3Scene(server.endpoint, bucket, {
      ...{ partBytes: 5 * mib, threadBudgetBytes: 6 * mib },
    })
    const bodies = Array.from({ length: 6 }, (_, i) => Buffer.alloc(7 * mib, i + 1))
    const uploads = bodies.map(() => newUploadId(randomUUID))
    await Promise.all(bodies.map((body, i) => tight.receive({ upload: uploads[i]! }, body)))
    for (const [i, body] of bodies.entries()) await publishAndRead(uploads[i]!, body)
    await tight.close()
  })

  test('every upload with pieces is listed, and nothing else of the bucket', async () => {
    const uploads = [newUploadId(randomUUID), newUploadId(randomUUID)].sort()
    for (const upload of uploads) await one.receive({ upload }, Buffer.alloc(10))
    const listed: string[] = []
    for await (const upload of other.store.listStaged()) listed.push(upload)
    assert.deepEqual(listed.sort(), uploads)
    for (const upload of uploads) await one.store.discard(upload)
  })
})

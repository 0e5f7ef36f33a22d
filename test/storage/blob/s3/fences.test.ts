// Goal: what a body that was given up sends late, or one that has taken the upload over, never gets into the bytes that are
// published for another. Method: pieces in a bucket, in the orders in which they may come.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId, type UploadId } from '../../../../src/oci/upload-id.ts'
import { stagedSegments } from '../../../../src/s3/pieces.ts'
import { StorageError } from '../../../../src/storage/error.ts'
import { Dice, randomFrom } from '../../../support/dice.ts'
import { S3Gate } from '../../../support/s3-faults.ts'
import { needsVersitygw, S3Server } from '../../../support/versitygw.ts'
import { mib, openS3Scene, type S3Scene } from './scene.ts'

describe('pieces of an upload', needsVersitygw, () => {
  let server: S3Server
  let gate: S3Gate
  let scene: S3Scene
  before(async () => {
    server = await S3Server.start()
    gate = await S3Gate.open(server.endpoint)
    scene = openS3Scene(gate.endpoint, await server.bucket(), { partBytes: 6 * mib })
  })
  after(async () => {
    await scene?.close()
    await gate?.close()
    await server?.stop()
  })

  async function send(
    upload: UploadId,
    fence: number,
    offset: number,
    bytes: Buffer,
  ): Promise<void> {
    const target = scene.store.staging(upload, fence)
    const { kind } = await scene.receive({ upload, target, offset }, bytes)
    assert.equal(kind, 'complete')
  }

  async function published(upload: UploadId, fence: number, bytes: Buffer): Promise<void> {
    const digest = digestOfBytes('sha256', bytes)
    const target = scene.store.staging(upload, fence)
    assert.equal(await scene.ingest.rehash(target, bytes.length, 'sha256'), digest)
    await scene.store.publish(upload, digest, bytes.length, { replace: false, fence })
    const reader = await scene.store.open(digest)
    assert.ok(reader)
    const read = Buffer.alloc(bytes.length)
    await reader.read(0, read)
    reader.close()
    assert.ok(read.equals(bytes))
    await scene.store.discard(upload)
  }

  test('of a body that was given up come late, in the middle and behind the end', async () => {
    const upload = newUploadId(randomUUID)
    const bytes = Buffer.alloc(11 * mib, 'right')
    const junk = Buffer.alloc(12 * mib, 'junk')
    await send(upload, 2, 0, bytes.subarray(0, 6 * mib))
    await send(upload, 4, 6 * mib, bytes.subarray(6 * mib))
    // Fence 3 began where 4 did; 5 where 4 ended.
    await send(upload, 3, 6 * mib, junk)
    await send(upload, 5, 11 * mib, junk)
    await published(upload, 6, bytes)
  })

  test('of whoever has taken it over are not published for the one before', async () => {
    const upload = newUploadId(randomUUID)
    const bytes = Buffer.alloc(7 * mib, 'mine')
    await send(upload, 5, 0, bytes)
    await send(upload, 6, 0, Buffer.alloc(7 * mib, 'other'))
    assert.equal(await scene.store.stagedSize(upload, 5), 7 * mib)
    await published(upload, 5, bytes)
  })

  test('fewer than that are a conflict, whatever others have staged', async () => {
    const upload = newUploadId(randomUUID)
    await send(upload, 1, 0, Buffer.alloc(10))
    await send(upload, 2, 10, Buffer.alloc(10))
    const digest = digestOfBytes('sha256', Buffer.alloc(20, 'x'))
    const isConflict = (error: unknown): boolean =>
      error instanceof StorageError && error.kind === 'conflict'
    const publish = scene.store.publish(upload, digest, 20, { replace: false, fence: 1 })
    await assert.rejects(publish, isConflict)
    await scene.store.discard(upload)
  })

  test('small ones at the end are copied whole, and ranges of large ones alone', async () => {
    const upload = newUploadId(randomUUID)
    const bytes = Buffer.alloc(11.5 * mib + 77, 'range')
    await send(upload, 1, 0, bytes.subarray(0, 9 * mib))
    // Cuts both pieces of the first body.
    await send(upload, 2, 5.5 * mib, bytes.subarray(5.5 * mib, 11.5 * mib))
    await send(upload, 3, 11.5 * mib, bytes.subarray(11.5 * mib))
    gate.calls.length = 0
    await published(upload, 3, bytes)
    const copied = gate.calls.filter(({ headers }) => headers['x-amz-copy-source'] !== undefined)
    const ranges = copied.map(({ headers }) => headers['x-amz-copy-source-range'])
    // AWS copies a range of an object only where that has more than 5 MiB.
    assert.deepEqual(ranges.sort(), [`bytes=0-${5.5 * mib - 1}`, undefined, undefined])
  })
})

test('whatever comes late of bodies that were given up, the committed bytes are those of the last commits', () => {
  const seed = Number(process.env['KEELSON_TEST_SEED'] ?? 20_261_123)
  for (let run = 0; run < 2_000; run++) {
    const dice = new Dice(randomFrom(seed + run))
    const owners: number[] = []
    const pieces: { fence: number; start: number; size: number; key: string; etag: string }[] = []
    for (let fence = 1; fence <= 1 + dice.below(8); fence++) {
      const start = owners.length
      const sizes = Array.from({ length: dice.below(4) }, () => 1 + dice.below(5))
      let at = start
      const own = sizes.map((size) => {
        const piece = { fence, start: at, size, key: `${fence}`, etag: '' }
        at += size
        return piece
      })
      const isCommitted = dice.chance(0.6)
      // Of one that was given up any of its pieces arrive, at any time.
      pieces.push(...own.filter(() => isCommitted || dice.chance(0.5)))
      if (isCommitted) owners.push(...sizes.flatMap((size) => Array<number>(size).fill(fence)))
    }
    const found = stagedSegments(pieces, owners.length).flatMap(({ start, end, piece }) =>
      Array<number>(end - start).fill(piece.fence),
    )
    assert.deepEqual(found, owners, `run ${run} of seed ${seed}`)
  }
})

// Goal: with equal parts a blob is put together of parts of one size, but for the last, whatever its pieces are. Method:
// uploads in chunks of many sizes through a gate before a real S3 server, which sees the size of each part.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId } from '../../../../src/oci/upload-id.ts'
import { patternBytes } from '../../../support/pattern-source.ts'
import { S3Gate } from '../../../support/s3-faults.ts'
import { needsVersitygw, S3Server } from '../../../support/versitygw.ts'
import { mib, openS3Scene, type S3Scene } from './scene.ts'

const part = 5 * mib

const cases: readonly (readonly [name: string, cuts: readonly number[], copied: number])[] = [
  ['in one go', [17 * mib], 4],
  ['in chunks of parts', [part, part, 3], 3],
  ['in odd chunks', [1, 3 * mib, 7 * mib, 2 * mib, 300_000, 6 * mib], 0],
  ['in chunks that are larger', [12 * mib, 12 * mib], 2],
  ['to the last byte of a part', [3 * mib, 7 * mib], 0],
]

describe('equal parts', needsVersitygw, () => {
  let server: S3Server
  let gate: S3Gate
  let scene: S3Scene
  before(async () => {
    server = await S3Server.start()
    gate = await S3Gate.open(server.endpoint)
    const bucket = await server.bucket()
    scene = openS3Scene(gate.endpoint, bucket, { partBytes: part, equalParts: true })
  })
  after(async () => {
    await scene?.close()
    await gate?.close()
    await server?.stop()
  })

  for (const [name, cuts, copied] of cases) {
    test(`pushed ${name}, it is whole, and its parts have one size`, async () => {
      const bytes = patternBytes(cuts.reduce((a, b) => a + b))
      // No two of them are the same blob.
      bytes.write(name)
      const digest = digestOfBytes('sha256', bytes)
      const upload = newUploadId(randomUUID)
      let offset = 0
      for (const size of cuts) {
        await scene.receive({ upload, offset }, bytes.subarray(offset, offset + size))
        offset += size
      }
      const pieces = new Map<string, number>()
      gate.calls.length = 0
      await scene.store.publish(upload, digest, bytes.length)
      const sizes = new Map<number, number | 'copied'>()
      for (const { method, target, headers } of gate.calls) {
        const number = new URL(target, 'http://s3.test').searchParams.get('partNumber')
        if (method !== 'PUT' || number === null) continue
        const from = headers['x-amz-copy-source']
        // Of a piece that is copied it is all, and has the size that its part must have.
        assert.equal(headers['x-amz-copy-source-range'], undefined)
        sizes.set(Number(number), from === undefined ? Number(headers['content-length']) : 'copied')
        if (from !== undefined) pieces.set(String(from), Number(number))
      }
      const count = Math.ceil(bytes.length / part)
      assert.equal(sizes.size, count)
      assert.equal(pieces.size, copied)
      for (const [number, size] of sizes) {
        const expected = number < count ? part : bytes.length - (count - 1) * part
        if (size !== 'copied') assert.equal(size, expected, `part ${number}`)
      }
      for (const [from, number] of pieces) {
        const start = Number.parseInt(/([0-9a-f]{12})-[0-9a-f]{8}$/.exec(from)?.[1] ?? '', 16)
        assert.equal(start, (number - 1) * part, from)
      }
      const reader = await scene.store.open(digest)
      const read = Buffer.alloc(bytes.length)
      assert.equal(await reader?.read(0, read), bytes.length)
      assert.ok(read.equals(bytes))
      reader?.close()
    })
  }
})

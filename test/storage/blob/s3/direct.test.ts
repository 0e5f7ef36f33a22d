// Goal: a body that is a whole blob goes to its key at once, is seen there by nobody before it is published, and leaves
// nothing behind where it is not. Method: real ingest threads and a real S3 server, and a gate that spoils answers.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { Digest } from '../../../../src/oci/digest.ts'
import { digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId, type UploadId } from '../../../../src/oci/upload-id.ts'
import { listMultiparts } from '../../../../src/s3/multipart.ts'
import type { UnfinishedBlob } from '../../../../src/storage/blob/contract.ts'
import { StorageError } from '../../../../src/storage/error.ts'
import { poll } from '../../../http/product.ts'
import { FedBody } from '../../../offload/fed-body.ts'
import { patternBytes } from '../../../support/pattern-source.ts'
import { S3Gate } from '../../../support/s3-faults.ts'
import { within } from '../../../support/until.ts'
import { needsVersitygw, S3Server } from '../../../support/versitygw.ts'
import { mib, openS3Scene, type S3Scene } from './scene.ts'

const bytes = patternBytes(13 * mib)
const digest = digestOfBytes('sha256', bytes)

describe('whole blobs to a bucket', needsVersitygw, () => {
  let server: S3Server
  let gate: S3Gate
  before(async () => {
    server = await S3Server.start()
    gate = await S3Gate.open(server.endpoint)
  })
  after(async () => {
    await gate?.close()
    await server?.stop()
  })

  function check(
    title: string,
    body: (scene: S3Scene, upload: UploadId) => Promise<void>,
    options: Parameters<typeof openS3Scene>[2] = {},
  ): void {
    test(title, async () => {
      const bucket = await server.bucket()
      const scene = openS3Scene(gate.endpoint, bucket, { partBytes: 5 * mib, ...options })
      gate.calls.length = 0
      try {
        await body(scene, newUploadId(randomUUID))
      } finally {
        gate.behave(() => undefined)
        await scene.close()
      }
    })
  }

  async function send(
    { receive, store }: S3Scene,
    upload: UploadId,
    body: Buffer = bytes,
    told: Digest = digest,
  ): Promise<UnfinishedBlob | undefined> {
    const target = store.staging(upload, 1, { digest: told, bytes: body.length })
    const outcome = await receive({ upload, target }, body)
    assert.ok(outcome.kind === 'complete')
    assert.deepEqual([outcome.offset, outcome.digest], [body.length, digestOfBytes('sha256', body)])
    return outcome.unfinished
  }

  async function read({ store }: S3Scene): Promise<Buffer | undefined> {
    const reader = await store.open(digest)
    if (reader === undefined) return undefined
    const found = Buffer.alloc(reader.size)
    assert.equal(await reader.read(0, found), found.length)
    reader.close()
    return found
  }

  const operations = ({ attempts }: S3Scene): readonly string[] =>
    attempts.map(({ operation }) => operation).filter((each) => !each.startsWith('List'))

  check('nothing is staged, and nothing copied', async (scene, upload) => {
    const unfinished = await send(scene, upload)
    assert.ok(unfinished)
    assert.deepEqual([unfinished.size, unfinished.parts.length], [bytes.length, 3])
    assert.equal(await scene.store.size(digest), undefined)
    assert.equal(await scene.store.stagedSize(upload), undefined)
    const how = { replace: false, unfinished }
    await scene.store.publish(upload, digest, bytes.length, how)
    assert.ok((await read(scene))?.equals(bytes))
    // As after a destruction that had begun before, and for nothing.
    await scene.store.publish(upload, digest, bytes.length, how)
    await scene.store.abandon?.(unfinished)
    assert.ok((await read(scene))?.equals(bytes))
    assert.deepEqual(
      operations(scene).filter((each) => /Copy|Put|Abort/.test(each)),
      [],
    )
    assert.deepEqual(await listMultiparts(scene.bucket, scene.root), [])
  })

  check('a small one is a single part', async (scene, upload) => {
    const small = bytes.subarray(0, 1000)
    const told = digestOfBytes('sha256', small)
    const unfinished = await send(scene, upload, small, told)
    assert.equal(unfinished?.parts.length, 1)
    await scene.store.publish(upload, told, small.length, { replace: false, unfinished })
    assert.equal(await scene.store.size(told), small.length)
  })

  check('what is given up leaves nothing', async (scene, upload) => {
    const unfinished = await send(scene, upload)
    assert.ok(unfinished)
    await scene.store.abandon?.(unfinished)
    await scene.store.abandon?.(unfinished)
    assert.deepEqual(await listMultiparts(scene.bucket, scene.root), [])
    const late = scene.store.publish(upload, digest, bytes.length, { replace: false, unfinished })
    await assert.rejects(late, isUnavailable)
    assert.equal(await scene.store.size(digest), undefined)
  })

  check('nor does a body that fails', async (scene, upload) => {
    let parts = 0
    gate.behave(({ target }) => {
      if (!target.includes('partNumber=')) return undefined
      parts += 1
      return parts > 1 ? { kind: 'fails', status: 403, code: 'AccessDenied' } : undefined
    })
    const target = scene.store.staging(upload, 1, { digest, bytes: bytes.length })
    await assert.rejects(scene.receive({ upload, target }, bytes), isUnavailable)
    const left = (): ReturnType<typeof listMultiparts> => listMultiparts(scene.bucket, scene.root)
    await poll('nothing is left', async () => ((await left()).length === 0 ? true : undefined))
  })

  check(
    'a body that is given up is over at once, also where the bucket is silent',
    async (scene, upload) => {
      gate.behave(() => ({ kind: 'stalls' }))
      const target = scene.store.staging(upload, 1, { digest, bytes: bytes.length })
      const body = new FedBody({ length: bytes.length }).feed(bytes.subarray(0, 6 * mib))
      const given = scene.ingest.receive(
        {
          ...{ target, offset: 0, algorithm: 'sha256', sync: true },
          ...{ hash: { kind: 'stream' }, bytesMax: Number.MAX_SAFE_INTEGER },
        },
        body,
      )
      // The thread has all of it, and a part that waits for the bucket.
      const isTaken = async (): Promise<true | undefined> =>
        (body.backlog === 0 && scene.ingest.gauges.slabBytesInUse === 0) || undefined
      await poll('all is taken', isTaken)
      body.abort()
      assert.equal((await within('its end', given, 5_000)).kind, 'aborted')
    },
  )

  check(
    'what is there already stays, and is replaced where it is damaged',
    async (scene, upload) => {
      const first = await send(scene, upload)
      await scene.store.publish(upload, digest, bytes.length, {
        replace: false,
        unfinished: first!,
      })
      const second = await send(scene, newUploadId(randomUUID))
      await scene.store.publish(upload, digest, bytes.length, {
        replace: false,
        unfinished: second!,
      })
      assert.equal(operations(scene).filter((each) => each.startsWith('Complete')).length, 1)
      await scene.store.publish(upload, digest, bytes.length, {
        replace: true,
        unfinished: second!,
      })
      assert.equal(operations(scene).filter((each) => each.startsWith('Complete')).length, 2)
      assert.ok((await read(scene))?.equals(bytes))
    },
  )

  check('of two at once one is first, and both are right', async (scene) => {
    const uploads = [newUploadId(randomUUID), newUploadId(randomUUID)]
    const sent = await Promise.all(uploads.map((upload) => send(scene, upload)))
    await Promise.all(
      sent.map(async (unfinished, i) => {
        const how = { replace: false, unfinished: unfinished! }
        await scene.store.publish(uploads[i]!, digest, bytes.length, how)
        await scene.store.abandon?.(unfinished!)
      }),
    )
    assert.ok((await read(scene))?.equals(bytes))
    assert.deepEqual(await listMultiparts(scene.bucket, scene.root), [])
  })

  check('an end whose answer is lost has happened', async (scene, upload) => {
    const unfinished = await send(scene, upload)
    let isFirst = true
    gate.behave(({ method, target }) => {
      if (method !== 'POST' || !target.includes('uploadId=') || !isFirst) return undefined
      isFirst = false
      return { kind: 'cuts-answer', after: 0 }
    })
    await scene.store.publish(upload, digest, bytes.length, {
      ...{ replace: false, unfinished: unfinished! },
    })
    assert.ok((await read(scene))?.equals(bytes))
    await scene.store.abandon?.(unfinished!)
    assert.ok((await read(scene))?.equals(bytes))
  })

  check('another size is a conflict', async (scene, upload) => {
    const unfinished = await send(scene, upload)
    const how = { replace: false, unfinished: unfinished! }
    const wrong = scene.store.publish(upload, digest, bytes.length - 1, how)
    await assert.rejects(
      wrong,
      (error) => error instanceof StorageError && error.kind === 'conflict',
    )
    assert.equal(await scene.store.size(digest), undefined)
  })

  check(
    'without memory for a part it is staged',
    async (scene, upload) => {
      assert.equal(await send(scene, upload), undefined)
      assert.equal(await scene.store.stagedSize(upload), bytes.length)
      await scene.store.publish(upload, digest, bytes.length)
      assert.ok((await read(scene))?.equals(bytes))
    },
    { threadBudgetBytes: 9 * mib },
  )

  check(
    'many at once all come through, and none takes the memory of the others for ever',
    async (scene) => {
      const uploads = Array.from({ length: 12 }, () => newUploadId(randomUUID))
      const sent = await Promise.all(uploads.map((upload) => send(scene, upload)))
      const kinds = new Set(sent.map((unfinished) => unfinished !== undefined))
      assert.deepEqual(kinds, new Set([true, false]))
      for (const unfinished of sent) if (unfinished) await scene.store.abandon?.(unfinished)
      assert.ok(await send(scene, newUploadId(randomUUID)))
    },
    { threadBudgetBytes: 24 * mib },
  )
})

function isUnavailable(error: unknown): boolean {
  return error instanceof StorageError && error.kind === 'unavailable'
}

// Goal: whatever an S3 does, a blob is stored whole or not at all, what is read is right or refused, and every wait ends.
// Method: a gate in front of a real S3 server spoils single requests.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, beforeEach, describe, test } from 'node:test'
import { type Digest, digestOfBytes } from '../../src/oci/digest.ts'
import { newUploadId } from '../../src/oci/upload-id.ts'
import { StorageError } from '../../src/storage/error.ts'
import { mib, openS3Scene, type S3Scene } from '../storage/blob/s3/scene.ts'
import { patternBytes } from '../support/pattern-source.ts'
import { type S3Call, S3Gate, type S3Manner } from '../support/s3-faults.ts'
import { needsVersitygw, S3Server } from '../support/versitygw.ts'

const attemptsMax = 3
const bytes = patternBytes(11 * mib)

const isPiece = ({ method, target }: S3Call): boolean =>
  method === 'PUT' && target.includes('/_keelson/uploads/')
const isRead = ({ method, target }: S3Call): boolean =>
  method === 'GET' && target.includes('/blobs/sha256/')
const isPublish = ({ method, target }: S3Call): boolean =>
  (method === 'PUT' || method === 'POST') && target.includes('/blobs/sha256/')
type Is = (call: S3Call) => boolean

function isUnavailable(pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof StorageError, String(error))
    assert.equal(error.kind, 'unavailable')
    assert.match(error.message, pattern)
    return true
  }
}

describe('an S3 that misbehaves', needsVersitygw, () => {
  let server: S3Server
  let gate: S3Gate
  let bucket: string
  let scene: S3Scene
  before(async () => {
    server = await S3Server.start()
    gate = await S3Gate.open(server.endpoint)
    bucket = await server.bucket()
    scene = openScene(20_000)
  })
  beforeEach(() => gate.behave(() => undefined))
  after(async () => {
    gate?.behave(() => undefined)
    await scene?.close()
    await gate?.close()
    await server?.stop()
  })

  function openScene(attemptTimeoutMs: number): S3Scene {
    return openS3Scene(gate.endpoint, bucket, {
      partBytes: 5 * mib,
      connection: { attemptTimeoutMs, attemptsMax },
    })
  }

  async function push(content: Buffer, to: S3Scene = scene): Promise<Digest> {
    const upload = newUploadId(randomUUID)
    const digest = digestOfBytes('sha256', content)
    try {
      await to.stage(upload, content)
      await to.store.publish(upload, digest, content.length)
    } finally {
      gate.behave(() => undefined)
      await to.store.discard(upload)
    }
    return digest
  }

  async function read(digest: Digest, size: number, from: S3Scene = scene): Promise<Buffer> {
    const reader = await from.store.open(digest)
    assert.ok(reader)
    const content = Buffer.alloc(size)
    try {
      assert.equal(await reader.read(0, content), size)
      return content
    } finally {
      reader.close()
    }
  }

  let pushes = 0
  /** Of its own each time. */
  function content(): Buffer {
    pushes += 1
    return Buffer.concat([bytes, Buffer.from(String(pushes))])
  }

  const passing: readonly (readonly [what: string, is: Is, manner: S3Manner])[] = [
    ['503 SlowDown', isPiece, { kind: 'fails', status: 503, code: 'SlowDown' }],
    ['500 InternalError', isPublish, { kind: 'fails', status: 500, code: 'InternalError' }],
    ['429', isPublish, { kind: 'fails', status: 429, code: 'TooManyRequests' }],
    ['a piece that is cut', isPiece, { kind: 'cuts-request', after: 2 * mib }],
    ['a proxy that is away', isPiece, { kind: 'speaks-html', status: 502 }],
  ]
  for (const [what, is, manner] of passing) {
    test(`${what} is tried again`, async () => {
      const whole = content()
      const before = scene.attempts.length
      gate.spoil(attemptsMax - 1, is, manner)
      const digest = await push(whole)
      assert.ok((await read(digest, whole.length)).equals(whole))
      assert.ok(scene.attempts.slice(before).some(({ isRetry }) => isRetry))
    })
  }

  const lasting: readonly (readonly [
    what: string,
    is: Is,
    manner: S3Manner,
    attempts: number,
    pattern: RegExp,
  ])[] = [
    ['a piece', isPiece, { kind: 'fails', status: 503, code: 'SlowDown' }, attemptsMax, /SlowDown/],
    ['a piece', isPiece, { kind: 'fails', status: 403, code: 'AccessDenied' }, 1, /AccessDenied/],
    ['a copy', isPublish, { kind: 'fails', status: 403, code: 'AccessDenied' }, 1, /AccessDenied/],
    ['a copy', isPublish, { kind: 'fails', status: 404, code: 'NoSuchBucket' }, 1, /NoSuchBucket/],
    ['a piece', isPiece, { kind: 'speaks-html', status: 404 }, 1, /404/],
  ]
  for (const [what, is, manner, attempts, pattern] of lasting) {
    test(`${what} that always meets ${JSON.stringify(manner)} is given up`, async () => {
      const whole = content()
      const digest = digestOfBytes('sha256', whole)
      const seen = new Map<string, number>()
      gate.behave((call) => {
        if (!is(call)) return undefined
        seen.set(call.target, (seen.get(call.target) ?? 0) + 1)
        return manner
      })
      await assert.rejects(push(whole), isUnavailable(pattern))
      assert.equal(Math.max(...seen.values()), attempts)
      assert.equal(await scene.store.size(digest), undefined)
    })
  }

  test('no room is told as such', async () => {
    gate.spoil(1, isPiece, { kind: 'fails', status: 507, code: 'InsufficientStorage' })
    await assert.rejects(
      push(content()),
      (error) => error instanceof StorageError && error.kind === 'full',
    )
  })

  test('one that never answers is left after its time', async () => {
    const hasty = openScene(300)
    const digest = await push(content())
    gate.behave(() => ({ kind: 'stalls' }))
    await assert.rejects(hasty.store.size(digest), isUnavailable(/no answer within 300 ms/))
    await assert.rejects(hasty.store.probe(), isUnavailable(/no answer within 300 ms/))
    assert.equal(hasty.attempts.length, 2 * attemptsMax)
    assert.ok(hasty.attempts.every(({ result }) => result === 'timeout'))
    const upload = newUploadId(randomUUID)
    await assert.rejects(hasty.stage(upload, Buffer.alloc(10)), isUnavailable(/no answer within/))
    gate.behave(() => undefined)
    await hasty.store.discard(upload)
    await hasty.close()
  })

  test('a blob is there although nobody heard of it', async () => {
    const hasty = openScene(1000)
    for (const whole of [content(), patternBytes(1234)]) {
      gate.spoil(1, isPublish, { kind: 'is-silent' })
      const digest = await push(whole, hasty)
      assert.ok((await read(digest, whole.length)).equals(whole))
    }
    await hasty.close()
  })

  for (const kind of ['cuts-answer', 'stalls-answer'] as const) {
    test(`a read that ${kind} is gone on with where it stood`, async () => {
      const whole = content()
      const digest = await push(whole)
      const hasty = openScene(1000)
      gate.spoil(attemptsMax + 3, isRead, { kind, after: mib })
      assert.ok((await read(digest, whole.length, hasty)).equals(whole))
      gate.behave((call) => (isRead(call) ? { kind, after: 0 } : undefined))
      await assert.rejects(
        read(digest, whole.length, hasty),
        isUnavailable(/cut|no answer|ECONNRESET/),
      )
      await hasty.close()
    })
  }

  test('other bytes are no blob', async () => {
    const whole = content()
    const digest = await push(whole)
    gate.spoil(1, isRead, { kind: 'spoils-answer' })
    const told = scene.mismatches.length
    await assert.rejects(
      read(digest, whole.length),
      (error) => error instanceof StorageError && error.kind === 'corrupt',
    )
    assert.deepEqual(scene.mismatches.slice(told), [digest])
    assert.ok((await read(digest, whole.length)).equals(whole))
  })

  test('small pieces that come back as other bytes are not published', async () => {
    const upload = newUploadId(randomUUID)
    const whole = patternBytes(3000)
    for (let offset = 0; offset < whole.length; offset += 1000) {
      await scene.receive({ upload, offset }, whole.subarray(offset, offset + 1000))
    }
    const digest = digestOfBytes('sha256', whole)
    gate.behave(({ method, target }) =>
      method === 'GET' && target.includes('/_keelson/uploads/') && target.includes('GetObject')
        ? { kind: 'spoils-answer' }
        : undefined,
    )
    await assert.rejects(
      scene.store.publish(upload, digest, whole.length),
      isUnavailable(/not those that were staged/),
    )
    gate.behave(() => undefined)
    assert.equal(await scene.store.size(digest), undefined)
    await scene.store.publish(upload, digest, whole.length)
    assert.ok((await read(digest, whole.length)).equals(whole))
    await scene.store.discard(upload)
  })

  test('an answer of some proxy is no word that a blob is absent', async () => {
    const digest = digestOfBytes('sha256', patternBytes(99))
    assert.equal(await scene.store.size(digest), undefined)
    gate.behave(() => ({ kind: 'speaks-html', status: 404 }))
    await assert.rejects(scene.store.size(digest), isUnavailable(/404/))
    await assert.rejects(scene.store.open(digest), isUnavailable(/404/))
    await assert.rejects(scene.store.readId('_keelson/store-id'), isUnavailable(/404/))
  })

  test('what cannot be removed is not called removed', async () => {
    const digest = await push(content())
    gate.spoil(1, ({ method }) => method === 'DELETE', {
      ...{ kind: 'fails', status: 403, code: 'AccessDenied' },
    })
    await assert.rejects(scene.store.remove(digest), isUnavailable(/AccessDenied/))
    assert.equal(await scene.store.remove(digest), true)
    assert.equal(await scene.store.remove(digest), false)
  })

  test('multipart uploads that a kill has left are aborted after a day', async () => {
    const own = openS3Scene(gate.endpoint, bucket, { prefix: 'own', partBytes: 5 * mib })
    const upload = newUploadId(randomUUID)
    const whole = content()
    await own.stage(upload, whole)
    const isEnd = ({ method, target }: S3Call): boolean =>
      (method === 'POST' || method === 'DELETE') && target.includes('uploadId=')
    gate.behave((call) => (isEnd(call) ? { kind: 'fails', status: 403, code: 'Gone' } : undefined))
    await assert.rejects(
      own.store.publish(upload, digestOfBytes('sha256', whole), whole.length),
      isUnavailable(/Gone/),
    )
    gate.behave(() => undefined)
    await own.store.discard(upload)
    await own.close()
    const ended = (calls: readonly S3Call[]): number =>
      calls.filter(({ method, target }) => method === 'DELETE' && target.includes('uploadId='))
        .length
    for (const [hours, count] of [
      [23, 0],
      [25, 1],
    ] as const) {
      const from = gate.calls.length
      const later = openS3Scene(gate.endpoint, bucket, {
        ...{ prefix: 'own', now: () => Date.now() + hours * 3_600_000 },
      })
      for await (const each of later.store.listStaged()) assert.fail(each)
      assert.equal(ended(gate.calls.slice(from)), count)
      await later.close()
    }
  })
})

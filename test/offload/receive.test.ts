// Goal: whatever way a body arrives in, its bytes are staged in order and its digest is theirs.

import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { type DigestAlgorithm, digestOfBytes } from '../../src/oci/digest.ts'
import { StorageError } from '../../src/storage/error.ts'
import { patternBytes } from '../support/pattern-source.ts'
import { FedBody, patternBody } from './fed-body.ts'
import { type PoolScene, withPool } from './scene.ts'

const sizes = [0, 1, 16_383, 16_384, 65_536, 65_537, 102_400, 1 << 20, (1 << 20) + 1, 5_000_003]
const pieceSizes = [999, 65_536, 524_288]

function isStorageError(kind: StorageError['kind']): (error: unknown) => boolean {
  return (error) => error instanceof StorageError && error.kind === kind
}

async function assertStaged(scene: PoolScene, name: string, length: number): Promise<void> {
  assert.ok(
    (await readFile(scene.path(name))).equals(patternBytes(length)),
    'other bytes are staged',
  )
}

for (const pieceBytes of pieceSizes) {
  test(`bodies of any length in pieces of ${pieceBytes} bytes are staged whole`, async () => {
    await withPool({}, async (scene) => {
      for (const length of sizes) {
        for (const announced of [true, false]) {
          for (const endsEmpty of [true, false]) {
            const options = { endsEmpty, ...(announced ? { length } : {}) }
            const body = patternBody(length, pieceBytes, options)
            const outcome = await scene.pool.receive(scene.plan('body'), body)
            assert.deepEqual(outcome, {
              kind: 'complete',
              offset: length,
              digest: digestOfBytes('sha256', patternBytes(length)),
            })
            await assertStaged(scene, 'body', length)
            assert.deepEqual(body.misuses, [])
          }
        }
      }
    })
  })
}

test('slabs of an odd size serve as well', async () => {
  await withPool({ slabBytes: 100_001, slabsPerUpload: 1 }, async (scene) => {
    const outcome = await scene.pool.receive(scene.plan('body'), patternBody(3_000_000, 70_001))
    assert.equal(outcome.kind, 'complete')
    await assertStaged(scene, 'body', 3_000_000)
  })
})

test('the staged file is private to the user', async () => {
  await withPool({}, async (scene) => {
    await scene.pool.receive(scene.plan('body'), patternBody(10, 10))
    assert.equal((await stat(scene.path('body'))).mode & 0o777, 0o600)
  })
})

test('many bodies at once do not mix', async () => {
  await withPool({ workers: 2 }, async (scene) => {
    const lengths = Array.from({ length: 24 }, (_, i) => (i % 3 === 0 ? 3_000_000 : 50_000) + i)
    const outcomes = await Promise.all(
      lengths.map((length) =>
        scene.pool.receive(scene.plan(`body-${length}`), patternBody(length, 60_000)),
      ),
    )
    for (const [i, length] of lengths.entries()) {
      const outcome = outcomes[i]!
      assert.equal(outcome.kind === 'complete' && outcome.offset, length)
      await assertStaged(scene, `body-${length}`, length)
    }
  })
})

for (const algorithm of ['sha256', 'sha512'] as const satisfies DigestAlgorithm[]) {
  for (const kind of ['stream', 'exportable'] as const) {
    test(`a session of three requests ends with the ${algorithm} of all (${kind})`, async () => {
      await withPool({}, async (scene) => {
        const lengths = [1_300_000, 64, 700_001]
        let offset = 0
        let state: string | undefined
        for (const length of lengths) {
          const hash = kind === 'stream' ? { kind } : { kind, ...(state ? { state } : {}) }
          const plan = scene.plan('body', { offset, algorithm, hash })
          const body = patternBody(length, 300_000, { from: offset })
          const outcome = await scene.pool.receive(plan, body)
          offset += length
          assert.equal(outcome.kind, 'complete')
          if (outcome.kind !== 'complete') return
          assert.equal(outcome.offset, offset)
          assert.equal(outcome.digest, digestOfBytes(algorithm, patternBytes(offset)))
          state = outcome.hashState
        }
        await assertStaged(scene, 'body', offset)
      })
    })
  }
}

test('a hash state that does not fit is only a reread', async () => {
  await withPool({}, async (scene) => {
    // hash-wasm takes over what was read again before, as such a state says.
    const stateAfter = async (length: number): Promise<string> => {
      await writeFile(scene.path('body'), patternBytes(1000))
      const hash = { kind: 'exportable', state: 'nonsense' } as const
      const plan = scene.plan('body', { offset: 1000, hash, keepsHasher: true })
      const body = patternBody(length - 1000, 50_000, { from: 1000 })
      const outcome = await scene.pool.receive(plan, body)
      assert.ok(outcome.kind === 'complete' && outcome.hashState !== undefined)
      return outcome.hashState
    }
    // The first one is true for fewer bytes than are kept.
    const earlier = await stateAfter(60_000)
    const good = await stateAfter(100_000)
    const foreign = [
      '',
      'nonsense',
      earlier,
      `other-build/9:${good}`,
      good.slice(0, -12),
      `${good}AAAA`,
    ]
    // The tag of the build is at the front of what hash-wasm writes.
    foreign.push(good.replace(/:([A-Za-z0-9+/]{8})/, ':AAAAAAAA'))
    foreign.push(good.replace(':100000:', ':99999:'), good.replace(':sha256:', ':sha512:'))
    for (const state of [good, ...foreign]) {
      const { hashedBytes } = scene.pool.gauges.inThreads
      const plan = scene.plan('body', { offset: 100_000, hash: { kind: 'exportable', state } })
      const next = await scene.pool.receive(plan, patternBody(5000, 900, { from: 100_000 }))
      assert.equal(next.kind, 'complete')
      const expected = digestOfBytes('sha256', patternBytes(105_000))
      assert.equal(next.kind === 'complete' && next.digest, expected, `state ${state}`)
      const hashed = scene.pool.gauges.inThreads.hashedBytes - hashedBytes
      if (state === good) assert.equal(hashed, 5000, 'the state was not used')
    }
  })
})

test('what an interrupted request left after the offset is cut off', async () => {
  await withPool({}, async (scene) => {
    for (const hash of [{ kind: 'stream' }, { kind: 'exportable' }] as const) {
      await writeFile(scene.path('body'), [patternBytes(5000), Buffer.alloc(99_999, 0xff)])
      const plan = scene.plan('body', { offset: 5000, hash })
      const outcome = await scene.pool.receive(plan, patternBody(10, 10, { from: 5000 }))
      assert.equal(
        outcome.kind === 'complete' && outcome.digest,
        digestOfBytes('sha256', patternBytes(5010)),
      )
      await assertStaged(scene, 'body', 5010)
    }
  })
})

test('a first request replaces what an earlier one left', async () => {
  await withPool({}, async (scene) => {
    await writeFile(scene.path('body'), Buffer.alloc(99_999, 0xff))
    await scene.pool.receive(scene.plan('body'), patternBody(10, 10))
    await assertStaged(scene, 'body', 10)
  })
})

test('fewer staged bytes than were committed are corrupt, and the body is not read', async () => {
  await withPool({}, async (scene) => {
    await writeFile(scene.path('short'), patternBytes(4999))
    for (const name of ['short', 'absent']) {
      const body = patternBody(10, 10)
      const receiving = scene.pool.receive(scene.plan(name, { offset: 5000 }), body)
      await assert.rejects(receiving, isStorageError('corrupt'))
      assert.equal(body.isConsumed, false)
      const rehash = scene.pool.rehash({ kind: 'fs', path: scene.path(name) }, 5000, 'sha256')
      await assert.rejects(rehash, isStorageError('corrupt'))
    }
  })
})

test('a directory that is absent is unavailable', async () => {
  await withPool({}, async (scene) => {
    const body = patternBody(2_000_000, 400_000)
    const receiving = scene.pool.receive(scene.plan('absent/body'), body)
    await assert.rejects(receiving, isStorageError('unavailable'))
  })
})

test('a rehash reads just the bytes it is asked for', async () => {
  await withPool({}, async (scene) => {
    await writeFile(scene.path('body'), patternBytes(3_500_000))
    const target = { kind: 'fs', path: scene.path('body') } as const
    for (const length of [0, 1, 1 << 20, 3_000_000, 3_500_000]) {
      for (const algorithm of ['sha256', 'sha512'] as const) {
        assert.equal(
          await scene.pool.rehash(target, length, algorithm),
          digestOfBytes(algorithm, patternBytes(length)),
        )
      }
    }
  })
})

test('rereads wait in line for their buffers, and bodies do not wait for them', async () => {
  await withPool({}, async (scene) => {
    await writeFile(scene.path('big'), patternBytes(8 << 20))
    const target = { kind: 'fs', path: scene.path('big') } as const
    const rehashes = Array.from({ length: 8 }, () => scene.pool.rehash(target, 8 << 20, 'sha256'))
    let isBodyDone = false
    const first = Promise.race(rehashes).then(() => isBodyDone)
    await scene.pool.receive(scene.plan('small', { sync: false }), patternBody(100, 100))
    isBodyDone = true
    await first
    const expected = digestOfBytes('sha256', patternBytes(8 << 20))
    assert.deepEqual(new Set(await Promise.all(rehashes)), new Set([expected]))
  })
})

test('a body past the bound is refused: unread by its length, else at the byte that passes', async () => {
  await withPool({}, async (scene) => {
    const plan = scene.plan('body', { bytesMax: 1_000_000 })
    const announced = patternBody(1_000_001, 50_000, { length: 1_000_001 })
    assert.deepEqual(await scene.pool.receive(plan, announced), { kind: 'too-large' })
    assert.equal(announced.isConsumed, false)
    const streamed = patternBody(1_000_001, 50_000)
    assert.deepEqual(await scene.pool.receive(plan, streamed), { kind: 'too-large' })
    assert.equal(streamed.isPaused, true)
    const endless = new FedBody()
    const outcome = scene.pool.receive(plan, endless)
    endless.feed(new Uint8Array(600_000)).feed(new Uint8Array(500_000))
    assert.deepEqual(await outcome, { kind: 'too-large' })
    const fits = await scene.pool.receive(plan, patternBody(1_000_000, 50_000))
    assert.equal(fits.kind, 'complete')
    await writeFile(scene.path('body'), patternBytes(999_999))
    const second = { ...plan, offset: 999_999 }
    const more = await scene.pool.receive(second, patternBody(2, 1))
    assert.deepEqual(more, { kind: 'too-large' })
  })
})

test('a body of another length than was announced by its range is told apart', async () => {
  await withPool({}, async (scene) => {
    const plan = scene.plan('body', { bytesExpected: 100_000 })
    const shorter = await scene.pool.receive(plan, patternBody(99_999, 40_000))
    assert.deepEqual(shorter, { kind: 'length-differs', received: 99_999 })
    const longer = await scene.pool.receive(plan, patternBody(100_001, 100_000))
    assert.deepEqual(longer, { kind: 'length-differs', received: 100_001 })
    const unread = patternBody(5, 5, { length: 5 })
    const announced = await scene.pool.receive(plan, unread)
    assert.deepEqual(announced, { kind: 'length-differs', received: 5 })
    assert.equal(unread.isConsumed, false)
    const exact = await scene.pool.receive(plan, patternBody(100_000, 40_000, { endsEmpty: true }))
    assert.equal(exact.kind, 'complete')
  })
})

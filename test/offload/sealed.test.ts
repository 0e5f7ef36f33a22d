// Goal: what an ingest thread encrypts is what it was given, however the session is cut: no bytes are lost by a body
// that breaks off or dies within a segment, and no nonce is used twice. Method: random pieces against a model.

import assert from 'node:assert/strict'
import { link, open, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { digestOfBytes } from '../../src/oci/digest.ts'
import type { IngestPlan } from '../../src/offload/contract.ts'
import { parseKeys } from '../../src/sealing/keys.ts'
import { fileLength, nonceBytes, segmentBytes, slotPosition } from '../../src/sealing/layout.ts'
import { StorageError } from '../../src/storage/error.ts'
import { Dice, randomFrom } from '../support/dice.ts'
import { patternBytes } from '../support/pattern-source.ts'
import { until } from '../support/until.ts'
import { FedBody, patternBody } from './fed-body.ts'
import { type PoolScene, withPool } from './scene.ts'

const keys = parseKeys(`${'5a'.repeat(31)}5b`)
const seed = Number(process.env['KEELSON_TEST_SEED'] ?? Date.now() % 1_000_000)

function planOf(
  { plan, path }: PoolScene,
  name: string,
  changes: Partial<IngestPlan> = {},
): IngestPlan {
  return plan(name, { target: { kind: 'fs', path: path(name), sealing: { keys } }, ...changes })
}

async function assertHolds(scene: PoolScene, name: string, bytes: Uint8Array): Promise<void> {
  const { target } = planOf(scene, name)
  const digest = await scene.pool.rehash(target, bytes.length, 'sha256')
  assert.equal(digest, digestOfBytes('sha256', bytes), 'other bytes are staged')
}

function isStorageError(kind: StorageError['kind']): (error: unknown) => boolean {
  return (error) => error instanceof StorageError && error.kind === kind
}

test('bodies of any length are encrypted whole', async () => {
  await withPool({}, async (scene) => {
    for (const around of [0, 1, 2, 16, 17, 33]) {
      for (const off of [-1, 0, 1]) {
        const length = Math.max(0, around * segmentBytes + off)
        const outcome = await scene.pool.receive(planOf(scene, 'body'), patternBody(length, 77_777))
        assert.equal(outcome.kind === 'complete' && outcome.offset, length)
        assert.equal((await stat(scene.path('body'))).size, fileLength(length))
        await assertHolds(scene, 'body', patternBytes(length))
      }
    }
  })
})

test(`sessions in random pieces hold what they were given (seed ${seed})`, async () => {
  const dice = new Dice(randomFrom(seed))
  await withPool({ workers: 2, slabBytes: 100_001 }, async (scene) => {
    for (let session = 0; session < 12; session++) {
      const name = `s${session}`
      let bytes = Buffer.alloc(0)
      const nonces = new Set<string>()
      for (let step = 0; step < 8; step++) {
        const length = dice.pick([
          0,
          1,
          1000,
          segmentBytes - 1,
          segmentBytes,
          200_000,
          3 * segmentBytes,
        ])
        const piece = Buffer.alloc(length, `${dice.below(1e9)}.`)
        const plan = planOf(scene, name, { offset: bytes.length, sync: dice.chance(0.2) })
        if (dice.chance(0.3)) {
          const body = new FedBody().feed(piece)
          const receiving = scene.pool.receive(plan, body)
          if (dice.chance(0.7)) await until('it came', () => body.backlog === 0)
          body.abort()
          assert.deepEqual(await receiving, { kind: 'aborted' })
          if (bytes.length === 0) continue
        } else {
          const outcome = await scene.pool.receive(plan, new FedBody().feed(piece, true))
          bytes = Buffer.concat([bytes, piece])
          assert.equal(outcome.kind === 'complete' && outcome.offset, bytes.length)
        }
        // The session goes on with a copy where its bytes are a blob already.
        if (dice.chance(0.2)) await link(scene.path(name), scene.path(`${name}-blob-${step}`))
        await assertHolds(scene, name, bytes)
        assert.equal((await stat(scene.path(name))).size, fileLength(bytes.length))
        await noteNonces(scene.path(name), bytes.length, nonces)
      }
    }
  })
})

/** The same nonce stands only for the same encrypted bytes. */
async function noteNonces(path: string, length: number, seen: Set<string>): Promise<void> {
  const file = await readFile(path)
  const known = new Map([...seen].map((line) => line.split(' ') as [string, string]))
  for (let index = 0; index * segmentBytes < length; index++) {
    const at = slotPosition(index)
    const nonce = file.toString('hex', at, at + nonceBytes)
    const slot = file.subarray(at, slotPosition(index + 1))
    const digest = digestOfBytes('sha256', slot)
    assert.equal(known.get(nonce) ?? digest, digest, 'a nonce was used for other bytes')
    seen.add(`${nonce} ${digest}`)
  }
}

test('a body that was killed after it wrote over a segment leaves the committed bytes', async () => {
  await withPool({}, async (scene) => {
    const kept = patternBytes(segmentBytes + 5000)
    await scene.pool.receive(planOf(scene, 'a'), new FedBody().feed(Buffer.from(kept), true))
    const more = Buffer.alloc(2 * segmentBytes, 'x')
    const whole = Buffer.concat([kept, more])
    // What the disk has after a kill: all of it was written, none of it committed.
    await scene.pool.receive(
      planOf(scene, 'a', { offset: kept.length }),
      new FedBody().feed(more, true),
    )
    await assertHolds(scene, 'a', whole)
    await assertHolds(scene, 'a', Buffer.from(kept))
    const other = Buffer.alloc(70_000, 'y')
    await scene.pool.receive(
      planOf(scene, 'a', { offset: kept.length }),
      new FedBody().feed(other, true),
    )
    await assertHolds(scene, 'a', Buffer.concat([kept, other]))
  })
})

test('a staged file that was damaged is lost, and one of an unknown key is not read', async () => {
  await withPool({}, async (scene) => {
    const bytes = Buffer.from(patternBytes(200_000))
    await scene.pool.receive(planOf(scene, 'a'), new FedBody().feed(bytes, true))
    const file = await open(scene.path('a'), 'r+')
    await file.write(Buffer.from([1, 2, 3]), 0, 3, slotPosition(1) + 500)
    await file.close()
    const { target } = planOf(scene, 'a')
    await assert.rejects(
      scene.pool.rehash(target, bytes.length, 'sha256'),
      isStorageError('corrupt'),
    )
    const strange = { keys: parseKeys(`${'66'.repeat(31)}67`) }
    const there = { ...target, sealing: strange } as const
    await assert.rejects(scene.pool.rehash(there, 10, 'sha256'), isStorageError('unavailable'))
    const goOn = scene.pool.receive(
      { ...planOf(scene, 'a', { offset: 10 }), target: there },
      new FedBody().feed(bytes, true),
    )
    await assert.rejects(goOn, isStorageError('unavailable'))
  })
})

test('a session that lacks committed bytes at the border of two segments is lost, not made whole', async () => {
  await withPool({}, async (scene) => {
    await scene.pool.receive(planOf(scene, 'short'), patternBody(2 * segmentBytes, 50_000))
    await truncate(scene.path('short'), fileLength(2 * segmentBytes) - 1)
    const going = scene.pool.receive(
      planOf(scene, 'short', { offset: 2 * segmentBytes }),
      patternBody(0, 1),
    )
    await assert.rejects(going, isStorageError('corrupt'))
  })
})

test('a session from before encryption goes on as it began', async () => {
  await withPool({}, async (scene) => {
    const first = Buffer.from(patternBytes(100_000))
    await writeFile(scene.path('a'), first, { mode: 0o600 })
    const plan = planOf(scene, 'a', { offset: first.length })
    await scene.pool.receive(plan, new FedBody().feed(Buffer.from('more'), true))
    assert.deepEqual(await readFile(scene.path('a')), Buffer.concat([first, Buffer.from('more')]))
    await assertHolds(scene, 'a', Buffer.concat([first, Buffer.from('more')]))
  })
})

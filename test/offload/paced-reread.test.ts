// Goal: a reread in the background reads no faster than it is let, ends when it is told to, and keeps no
// body waiting. Method: a pace that the test holds, and the order in which things end.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { digestOfBytes } from '../../src/oci/digest.ts'
import { HashMeter } from '../../workers/hash-meter.ts'
import { HashTurns } from '../../workers/hash-turns.ts'
import type { Hasher } from '../../workers/hasher.ts'
import { patternBytes } from '../support/pattern-source.ts'
import { until } from '../support/until.ts'
import { patternBody } from './fed-body.ts'
import { withPool } from './scene.ts'

const mib = 1 << 20

test('a paced reread asks for all bytes once, piece by piece, and has the same digest', async () => {
  await withPool({}, async (scene) => {
    await writeFile(scene.path('body'), patternBytes(9 * mib + 5))
    const target = { kind: 'fs', path: scene.path('body') } as const
    for (const length of [0, 1, 4 * mib, 4 * mib + 1, 9 * mib + 5]) {
      const asked: number[] = []
      const digest = await scene.pool.rehash(target, length, 'sha256', async (bytes) => {
        asked.push(bytes)
      })
      assert.equal(digest, digestOfBytes('sha256', patternBytes(length)))
      assert.equal(
        asked.reduce((sum, bytes) => sum + bytes, 0),
        length,
      )
      assert.ok(asked.every((bytes) => bytes > 0 && bytes <= 4 * mib))
    }
  })
})

test('while a paced reread waits, bodies and other rereads go through', async () => {
  await withPool({}, async (scene) => {
    await writeFile(scene.path('big'), patternBytes(8 * mib))
    const target = { kind: 'fs', path: scene.path('big') } as const
    let goOn = (): void => {}
    let isHeld = true
    let asked = 0
    const paced = scene.pool.rehash(target, 8 * mib, 'sha256', async () => {
      asked += 1
      if (!isHeld) return
      await new Promise<void>((resolve) => {
        goOn = resolve
      })
    })
    await until('it has asked', () => asked === 1)
    const others = Array.from({ length: 4 }, () => scene.pool.rehash(target, 8 * mib, 'sha256'))
    await Promise.all(others)
    await scene.pool.receive(scene.plan('body'), patternBody(3 * mib, 65_536))
    assert.equal(asked, 1)
    isHeld = false
    goOn()
    assert.equal(await paced, digestOfBytes('sha256', patternBytes(8 * mib)))
  })
})

test('a pace that fails ends the reread with its error, and the file is closed', async () => {
  await withPool({}, async (scene) => {
    await writeFile(scene.path('big'), patternBytes(8 * mib))
    const target = { kind: 'fs', path: scene.path('big') } as const
    let asked = 0
    const paced = scene.pool.rehash(target, 8 * mib, 'sha256', async () => {
      asked += 1
      if (asked === 2) throw new Error('stopped by the test')
    })
    await assert.rejects(paced, /stopped by the test/)
    await scene.pool.ping()
  })
})

test('hashing in the background has the turns that nobody else wants, and some of the others', async () => {
  const order: string[] = []
  const hasherOf = (name: string): Hasher => ({
    pieceBytes: mib,
    update: () => order.push(name),
    hex: () => name,
  })
  const turns = new HashTurns(new HashMeter(new Float64Array(2)))
  const bytes = patternBytes(mib)
  const background = Array.from({ length: 3 }, () => turns.add(hasherOf('back'), bytes, true))
  const front = Array.from({ length: 40 }, () => turns.add(hasherOf('front'), bytes))
  await Promise.all(front)
  assert.equal(order.slice(0, 32).includes('back'), false)
  assert.equal(order.filter((name) => name === 'back').length, 1)
  await Promise.all(background)
  assert.equal(order.length, 43)
})

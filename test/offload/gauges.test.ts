// Goal: what threads do is counted, and stays counted when one of them dies. Method: pools of one thread,
// bodies of known length, passwords, and a thread that is ended.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { createCredentialPool } from '../../src/offload/credential-pool.ts'
import { hashPassword } from '../../workers/credentials.ts'
import { patternBytes } from '../support/pattern-source.ts'
import { until } from '../support/until.ts'
import { FedBody, patternBody } from './fed-body.ts'
import { withPool } from './scene.ts'

const mib = 1 << 20

test('bytes that are hashed are counted, of bodies and of rereads, also where the thread dies', async () => {
  await withPool({}, async ({ pool, plan, path }) => {
    const { hashedBytes } = pool.gauges.inThreads
    assert.equal(hashedBytes, 0)
    // Short ones are hashed at once, others in turns; the last by hash-wasm, after what is kept.
    await pool.receive(plan('small'), patternBody(70_000, 70_000))
    await pool.receive(plan('large'), patternBody(5 * mib + 3, 300_000))
    await writeFile(path('chunk'), patternBytes(9))
    const hash = { kind: 'exportable', state: 'of another build' } as const
    const chunk = plan('chunk', { offset: 9, hash, keepsHasher: true })
    const moved = await pool.receive(chunk, patternBody(mib, mib, { from: 9 }))
    assert.match(moved.kind === 'complete' ? (moved.hashState ?? '') : '', /^hash-wasm/)
    let expected = 70_000 + 5 * mib + 3 + 9 + mib
    assert.equal(pool.gauges.inThreads.hashedBytes, expected)
    await pool.rehash({ kind: 'fs', path: path('large') }, 2 * mib, 'sha256')
    expected += 2 * mib
    const before = pool.gauges.inThreads
    assert.equal(before.hashedBytes, expected)
    assert.ok(before.hashMs > 0 && before.activeMs > 0)
    assert.deepEqual([before.threads, before.sessions, before.bytesInThreads], [1, 0, 0])
    await pool.threads[0]?.terminate()
    await until('it is replaced', () => pool.gauges.inThreads.replaced === 1)
    await until('another one runs', () => pool.gauges.inThreads.threads === 1)
    const after = pool.gauges.inThreads
    assert.equal(after.hashedBytes, expected)
    assert.ok(after.hashMs >= before.hashMs && after.activeMs >= before.activeMs)
  })
})

test('passwords are counted by how they ended, and what waits is told', async () => {
  const pool = createCredentialPool({ workers: 1, queueMax: 2 })
  assert.equal(pool.gauges.passwords.threads, 0, 'threads start when they are needed')
  const hash = hashPassword('right')
  const checks = ['right', 'wrong', 'right', 'right', 'right'].map((password) =>
    pool.verifyPassword(hash, password).then(String, () => 'refused'),
  )
  const { waiting, waitingMax } = pool.gauges.passwords
  assert.deepEqual([waiting <= waitingMax, waitingMax], [true, 2])
  const ended = await Promise.all(checks)
  const refused = ended.filter((each) => each === 'refused').length
  assert.ok(refused > 0)
  const { passwords, signatures } = pool.gauges
  assert.deepEqual([passwords.completed, passwords.refused], [ended.length - refused, refused])
  assert.ok(passwords.activeMs > 0)
  assert.deepEqual([passwords.threads, passwords.waiting, signatures.completed], [1, 0, 0])
  await pool.close()
})

test('what bodies have announced and not yet sent is awaited, until they end', async () => {
  await withPool({}, async ({ pool, plan }) => {
    const bodies = [new FedBody({ length: 100_000 }), new FedBody({ length: 500 }), new FedBody()]
    const outcomes = bodies.map((body, i) => pool.receive(plan(`body-${i}`), body))
    assert.deepEqual([pool.taking.received, pool.taking.awaited], [0, 100_500])
    bodies[0]?.feed(new Uint8Array(60_000))
    bodies[2]?.feed(new Uint8Array(7))
    await until('the bytes are here', () => pool.taking.received === 60_007)
    assert.equal(pool.taking.awaited, 40_500)
    bodies[0]?.feed(new Uint8Array(40_000), true)
    bodies[1]?.abort()
    bodies[2]?.feed(new Uint8Array(0), true)
    const kinds = (await Promise.all(outcomes)).map(({ kind }) => kind)
    assert.deepEqual(kinds, ['complete', 'aborted', 'complete'])
    assert.equal(pool.taking.awaited, 0)
  })
})

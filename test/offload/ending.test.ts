// Goal: however a body ends, its file is closed, its slabs are back, and the next one can begin.

import assert from 'node:assert/strict'
import { link, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { digestOfBytes } from '../../src/oci/digest.ts'
import { StorageError } from '../../src/storage/error.ts'
import { patternBytes } from '../support/pattern-source.ts'
import { until } from '../support/until.ts'
import { FedBody, patternBody } from './fed-body.ts'
import { withPool } from './scene.ts'

const mib = 1 << 20

function isUnavailable(error: unknown): boolean {
  return error instanceof StorageError && error.kind === 'unavailable'
}

test('a client that leaves ends its body at any point', async () => {
  await withPool({}, async (scene) => {
    for (const fedBytes of [0, 1, 70_000, 600_000, 3 * mib]) {
      const body = new FedBody()
      const outcome = scene.pool.receive(scene.plan('body'), body)
      const pieces = Math.ceil(fedBytes / 500_000)
      for (let i = 0; i < pieces; i++) body.feed(patternBytes(Math.min(fedBytes, 500_000)))
      await until('it is delivered', () => body.backlog === 0)
      assert.equal(scene.pool.gauges.receiving, 1)
      body.abort()
      assert.deepEqual(await outcome, { kind: 'aborted' })
      assert.deepEqual(body.misuses, [])
    }
    const outcome = await scene.pool.receive(scene.plan('body'), patternBody(10, 10))
    assert.equal(outcome.kind, 'complete')
    assert.ok((await readFile(scene.path('body'))).equals(patternBytes(10)))
  })
})

test('a client that left before its body was looked at is an abort', async () => {
  await withPool({}, async (scene) => {
    const body = new FedBody()
    body.abort()
    assert.deepEqual(await scene.pool.receive(scene.plan('body'), body), { kind: 'aborted' })
    await writeFile(scene.path('body'), patternBytes(100))
    const later = new FedBody()
    later.abort()
    const outcome = await scene.pool.receive(scene.plan('body', { offset: 100 }), later)
    assert.deepEqual(outcome, { kind: 'aborted' })
    assert.equal((await stat(scene.path('body'))).size, 100)
  })
})

test('a second body for the same place ends the first before it writes', async () => {
  await withPool({}, async (scene) => {
    await writeFile(scene.path('body'), patternBytes(1000))
    const plan = scene.plan('body', { offset: 1000 })
    const stalled = new FedBody().feed(new Uint8Array(2 * mib))
    const first = scene.pool.receive(plan, stalled)
    await until('the first is under way', () => stalled.backlog === 0)
    const rivals = Array.from({ length: 3 }, () => patternBody(mib, 300_000, { from: 1000 }))
    const others = rivals.map((body) => scene.pool.receive(plan, body))
    assert.deepEqual(await first, { kind: 'aborted' })
    const kinds = (await Promise.all(others)).map(({ kind }) => kind)
    assert.deepEqual(kinds, ['aborted', 'aborted', 'complete'])
    assert.ok((await readFile(scene.path('body'))).equals(patternBytes(1000 + mib)))
    stalled.feed(new Uint8Array(10))
    await until('the first reads no more', () => stalled.isPaused)
  })
})

test('a thread that dies takes its bodies with it, and nobody else', async () => {
  await withPool({ workers: 2, memoryBudgetBytes: 16 * mib }, async (scene) => {
    const bodies = Array.from({ length: 8 }, () => new FedBody())
    const outcomes = bodies.map((body, i) => {
      body.feed(patternBytes(300_000)).feed(patternBytes(300_000))
      return scene.pool.receive(scene.plan(`body-${i}`), body).then(
        ({ kind }) => kind,
        (error: unknown) => {
          assert.ok(isUnavailable(error), String(error))
          return 'unavailable'
        },
      )
    })
    await until('all have begun', () => bodies.every(({ backlog }) => backlog === 0))
    const victim = scene.pool.threads[0]!
    await victim.terminate()
    for (const body of bodies) body.feed(patternBytes(10), true)
    const kinds = await Promise.all(outcomes)
    assert.equal(kinds.filter((kind) => kind === 'unavailable').length, 4)
    assert.equal(kinds.filter((kind) => kind === 'complete').length, 4)
    for (const [i, body] of bodies.entries()) {
      assert.equal(body.isPaused, kinds[i] === 'unavailable', 'a dead body is not read any more')
    }
    await until('it is replaced', () => scene.pool.threads.length === 2)
    assert.equal(scene.pool.threads.includes(victim), false)
    await until('its slabs are written off', () => scene.pool.gauges.slabBytesInUse === 0)
    const after = Array.from({ length: 8 }, (_, i) =>
      scene.pool.receive(scene.plan(`after-${i}`), patternBody(mib, 300_000)),
    )
    for (const outcome of await Promise.all(after)) assert.equal(outcome.kind, 'complete')
  })
})

test('without any thread a body is refused unread, until there is one again', async () => {
  await withPool({}, async (scene) => {
    await scene.pool.threads[0]!.terminate()
    const lost = scene.pool.receive(scene.plan('body'), patternBody(10, 10))
    await assert.rejects(lost, isUnavailable)
    const body = patternBody(10, 10)
    await assert.rejects(scene.pool.receive(scene.plan('body'), body), isUnavailable)
    assert.equal(body.isConsumed, false)
    const target = { kind: 'fs', path: scene.path('body') } as const
    await assert.rejects(scene.pool.rehash(target, 0, 'sha256'), isUnavailable)
    let outcome: { readonly kind: string } | undefined
    await until('a new thread serves', () => {
      if (scene.pool.gauges.receiving === 0 && !outcome) {
        scene.pool.receive(scene.plan('body'), patternBody(10, 10)).then(
          (done) => {
            outcome = done
          },
          () => undefined,
        )
      }
      return outcome?.kind === 'complete'
    })
  })
})

test('what is written to the staging place later leaves a published blob as it is', async () => {
  await withPool({}, async (scene) => {
    const length = 3 * mib + 5
    const digest = digestOfBytes('sha256', patternBytes(length))
    const again = [
      { offset: 0, hash: { kind: 'stream' } },
      { offset: 2 * mib, hash: { kind: 'stream' } },
      { offset: 2 * mib, hash: { kind: 'exportable' } },
      { offset: length, hash: { kind: 'stream' } },
    ] as const
    for (const [i, { offset, hash }] of again.entries()) {
      await scene.pool.receive(scene.plan('body'), patternBody(length, 500_000))
      await link(scene.path('body'), scene.path(`published-${i}`))
      const plan = scene.plan('body', { offset, hash })
      const rest = patternBody(length - offset, 500_000, { from: offset })
      const outcome = await scene.pool.receive(plan, rest)
      assert.equal(outcome.kind === 'complete' && outcome.digest, digest)
      const cut = await scene.pool.receive(scene.plan('body', { offset: 1 }), patternBody(1, 1))
      assert.equal(cut.kind, 'complete')
      assert.equal((await stat(scene.path('body'))).size, 2)
      const published = await readFile(scene.path(`published-${i}`))
      assert.equal(digestOfBytes('sha256', published), digest)
    }
  })
})

test('a link at the staging place is not followed', async () => {
  await withPool({}, async (scene) => {
    const { symlink } = await import('node:fs/promises')
    await writeFile(scene.path('outside'), patternBytes(100))
    await symlink(scene.path('outside'), scene.path('body'))
    const appending = scene.pool.receive(scene.plan('body', { offset: 100 }), patternBody(5, 5))
    await assert.rejects(appending, isUnavailable)
    assert.equal((await scene.pool.receive(scene.plan('body'), patternBody(5, 5))).kind, 'complete')
    assert.equal((await stat(scene.path('outside'))).size, 100)
    assert.equal((await stat(scene.path('body'))).size, 5)
  })
})

test('close waits for what runs and leaves no file open', async () => {
  const bodies: FedBody[] = []
  let outcome: Promise<{ readonly kind: string }> | undefined
  await withPool({}, async (scene) => {
    const body = new FedBody().feed(patternBytes(2 * mib))
    bodies.push(body)
    outcome = scene.pool.receive(scene.plan('body', { sync: false }), body)
    let isClosed = false
    const closed = scene.pool.close().then(() => {
      isClosed = true
    })
    await until('the body is under way', () => body.backlog === 0)
    assert.equal(isClosed, false)
    body.feed(patternBytes(10), true)
    assert.equal((await outcome).kind, 'complete')
    await closed
    await assert.rejects(scene.pool.receive(scene.plan('late'), patternBody(1, 1)), isUnavailable)
    assert.deepEqual(await readdir(scene.directory), ['body'])
  })
})

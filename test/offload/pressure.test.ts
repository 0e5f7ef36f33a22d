// Goal: memory for bodies stays within the budget whatever clients do, and nobody waits for ever.
// Method: the budget is looked at after every piece that any body delivers.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { digestOfBytes } from '../../src/oci/digest.ts'
import type { IngestOutcome } from '../../src/offload/contract.ts'
import { patternBytes } from '../support/pattern-source.ts'
import { until, within } from '../support/until.ts'
import { FedBody, patternBody } from './fed-body.ts'
import { type PoolScene, withPool } from './scene.ts'

const mib = 1 << 20
const chunkBytesMax = 512 << 10

/** Keeps the most slab bytes that were in use at a delivery. */
class Watch {
  readonly #scene: PoolScene
  peakBytes = 0

  constructor(scene: PoolScene) {
    this.#scene = scene
  }

  readonly look = (): void => {
    this.peakBytes = Math.max(this.peakBytes, this.#scene.pool.gauges.slabBytesInUse)
  }
}

function assertComplete(outcome: IngestOutcome, length: number): void {
  assert.deepEqual(outcome, {
    kind: 'complete',
    offset: length,
    digest: digestOfBytes('sha256', patternBytes(length)),
  })
}

test('256 slow bodies do not keep 4 fast ones from their share of 8 MiB', async () => {
  await withPool({ memoryBudgetBytes: 8 * mib }, async (scene) => {
    const watch = new Watch(scene)
    const onDelivered = watch.look
    const slow = Array.from({ length: 256 }, (_, i) => {
      // Half of them announce much: none may be given a large slab for that.
      const length = i % 2 === 0 ? undefined : 1 << 30
      const body = new FedBody({ onDelivered, ...(length === undefined ? {} : { length }) })
      body.feed(patternBytes(40_000 + i))
      const plan = scene.plan(`slow-${i}`, { sync: false })
      return { body, outcome: scene.pool.receive(plan, body), fed: 40_000 + i }
    })
    await until('every slow body has begun', () => slow.every(({ body }) => body.backlog === 0))

    const length = 24 * mib + 7
    const fast = Array.from({ length: 4 }, (_, i) => {
      const body = patternBody(length, chunkBytesMax, { length, onDelivered })
      return scene.pool.receive(scene.plan(`fast-${i}`, { sync: false }), body)
    })
    for (const outcome of await within('the fast bodies', Promise.all(fast), 60_000)) {
      assertComplete(outcome, length)
    }

    for (const [i, one] of slow.entries()) {
      const more = patternBytes(one.fed + 10_000).subarray(one.fed)
      if (i % 2 === 0) one.body.feed(more, true)
      else one.body.abort()
    }
    const outcomes = await within('the slow', Promise.all(slow.map((one) => one.outcome)), 60_000)
    for (const [i, { body, fed }] of slow.entries()) {
      if (i % 2 === 0) assertComplete(outcomes[i]!, fed + 10_000)
      else assert.deepEqual(outcomes[i], { kind: 'aborted' })
      assert.deepEqual(body.misuses, [])
    }
    assert.ok(watch.peakBytes <= 8 * mib, `${watch.peakBytes} bytes of slabs were in use`)
    assert.ok((await readFile(scene.path('slow-200'))).equals(patternBytes(50_200)))
  })
})

test('slow bodies that go on while fast ones run are served meanwhile', async () => {
  await withPool({ memoryBudgetBytes: 4 * mib }, async (scene) => {
    const watch = new Watch(scene)
    const onDelivered = watch.look
    const slowBytes = 64 * 1000
    let fastLeft = 6
    let slowDoneFirst = 0
    const slow = Array.from({ length: 64 }, async (_, i) => {
      const body = patternBody(slowBytes, 1000, { onDelivered })
      const outcome = await scene.pool.receive(scene.plan(`slow-${i}`, { sync: false }), body)
      assertComplete(outcome, slowBytes)
      if (fastLeft > 0) slowDoneFirst += 1
    })
    const length = 32 * mib
    const fast = Array.from({ length: fastLeft }, async (_, i) => {
      const body = patternBody(length, chunkBytesMax, { onDelivered })
      assertComplete(
        await scene.pool.receive(scene.plan(`fast-${i}`, { sync: false }), body),
        length,
      )
      fastLeft -= 1
    })
    await within('all bodies', Promise.all([...slow, ...fast]), 60_000)
    assert.equal(slowDoneFirst, 64, 'a slow body had to wait for the end of the fast ones')
    assert.ok(watch.peakBytes <= 4 * mib, `${watch.peakBytes} bytes of slabs were in use`)
    assert.ok(scene.pool.gauges.stalls > 0)
  })
})

test('a burst of everybody at the same moment stays within the budget', async () => {
  await withPool({ memoryBudgetBytes: 4 * mib }, async (scene) => {
    const watch = new Watch(scene)
    const bodies = Array.from({ length: 100 }, () => new FedBody({ onDelivered: watch.look }))
    const outcomes = bodies.map((body, i) =>
      scene.pool.receive(scene.plan(`body-${i}`, { sync: false }), body),
    )
    await until('every body is read', () => bodies.every((body) => body.isConsumed))
    const bytes = patternBytes(chunkBytesMax)
    for (const body of bodies) body.feed(bytes).feed(bytes).feed(bytes.subarray(0, 3), true)
    const all = await within('all bodies', Promise.all(outcomes), 60_000)
    assert.ok(all.every((outcome) => outcome.kind === 'complete'))
    assert.ok(watch.peakBytes <= 4 * mib, `${watch.peakBytes} bytes of slabs were in use`)
    for (const body of bodies) assert.deepEqual(body.misuses, [])
  })
})

test('what comes in spite of a pause is taken, and is the only excess', async () => {
  await withPool({ memoryBudgetBytes: 4 * mib }, async (scene) => {
    const watch = new Watch(scene)
    const length = 8 * mib + 11
    const outcomes = Array.from({ length: 4 }, (_, i) => {
      const options = { latePieces: 1, onDelivered: watch.look }
      const body = patternBody(length, chunkBytesMax, options)
      return scene.pool.receive(scene.plan(`body-${i}`, { sync: false }), body)
    })
    for (const outcome of await within('all bodies', Promise.all(outcomes), 60_000)) {
      assertComplete(outcome, length)
    }
    assert.ok(watch.peakBytes <= 4 * mib + 4 * chunkBytesMax, `${watch.peakBytes} bytes in use`)
  })
})

test('one body keeps within its credits, plus what comes in spite of the pause', async () => {
  await withPool({ slabsPerUpload: 2, slabBytes: 256 << 10 }, async (scene) => {
    const watch = new Watch(scene)
    const length = 8 * mib
    const options = { length, latePieces: 1, onDelivered: watch.look }
    const body = patternBody(length, 64 << 10, options)
    assertComplete(await scene.pool.receive(scene.plan('body'), body), length)
    const credits = 2 * (256 << 10)
    // One slab more is being filled when the credits are used up, and the late piece starts another.
    assert.ok(watch.peakBytes <= credits + 2 * (256 << 10), `${watch.peakBytes} bytes in use`)
    assert.ok(body.pauses > 0)
    assert.deepEqual(body.misuses, [])
  })
})

test('a body whose end comes in spite of the pause is not read on after it', async () => {
  await withPool({ slabsPerUpload: 1, slabBytes: 64 << 10 }, async (scene) => {
    const length = mib
    const body = patternBody(length, 64 << 10, { latePieces: 100 })
    assertComplete(await scene.pool.receive(scene.plan('body'), body), length)
    await until('every slab is back', () => scene.pool.gauges.slabBytesInUse === 0)
    assert.equal(body.pauses, 1)
    assert.deepEqual(body.misuses, [])
  })
})

test('a pause that comes while a body hands over what it kept back is kept', async () => {
  await withPool({ slabsPerUpload: 1, slabBytes: 64 << 10 }, async (scene) => {
    const body = new FedBody()
    // As a transport does that ends `consume` by reading on.
    const consume = body.consume.bind(body)
    body.consume = (sink) => {
      consume({
        onChunk: (chunk, last) => sink.onChunk(chunk, last),
        onAbort: () => sink.onAbort(),
      })
      body.resume()
    }
    body.feed(patternBytes(chunkBytesMax))
    const outcome = scene.pool.receive(scene.plan('body'), body)
    assert.equal(body.isConsumed, true)
    assert.equal(body.isPaused, true)
    body.feed(new Uint8Array(0), true)
    assertComplete(await outcome, chunkBytesMax)
  })
})

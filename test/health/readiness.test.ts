// Goal: the server is ready when every part is, and otherwise says which one is not. Method: parts that do as they are told.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLiveness } from '../../src/health/liveness.ts'
import { createReadiness, type ReadinessParts } from '../../src/health/readiness.ts'

const works = (): Promise<void> => Promise.resolve()

function partsWith(changes: Partial<ReadinessParts>): ReadinessParts {
  return {
    blobs: { probe: works },
    metadata: { probe: works },
    ingest: { ping: works },
    credentials: { ping: works },
    disks: { look: async () => 'blobs: 5 GiB free' },
    clock: { look: async () => 'it shows noon' },
    files: { look: async () => '30 of 1000 open' },
    ...changes,
  }
}

test('a server whose parts all work is ready', async () => {
  const readiness = createReadiness(partsWith({}), { timeoutMs: () => 10_000 })
  const { ready, checks } = await readiness.check()
  assert.equal(ready, true)
  assert.deepEqual(
    checks.map(({ name, ok, reason }) => [name, ok, reason]),
    [
      ['blob storage', true, 'written and synced'],
      ['metadata storage', true, 'written and synced'],
      ['disk', true, 'blobs: 5 GiB free'],
      ['ingest threads', true, 'answer'],
      ['credential threads', true, 'answer'],
      ['clock', true, 'it shows noon'],
      ['open files', true, '30 of 1000 open'],
    ],
  )
})

const faults: Readonly<Record<string, Partial<ReadinessParts>>> = {
  'blob storage': { blobs: { probe: () => Promise.reject(new Error('broken')) } },
  'metadata storage': { metadata: { probe: () => Promise.reject(new Error('broken')) } },
  disk: { disks: { look: () => Promise.reject(new Error('broken')) } },
  'ingest threads': { ingest: { ping: () => Promise.reject(new Error('broken')) } },
  'credential threads': {
    credentials: {
      ping: () => {
        throw new Error('broken')
      },
    },
  },
  clock: { clock: { look: () => Promise.reject(new Error('broken')) } },
  'open files': { files: { look: () => Promise.reject(new Error('broken')) } },
}

for (const [name, change] of Object.entries(faults)) {
  test(`a fault of the ${name} makes it unready, and is told as its own`, async () => {
    const readiness = createReadiness(partsWith(change), { timeoutMs: () => 10_000 })
    const { ready, checks } = await readiness.check()
    assert.equal(ready, false)
    const failed = checks.filter(({ ok }) => !ok)
    assert.deepEqual(
      failed.map((check) => [check.name, check.reason]),
      [[name, 'broken']],
    )
  })
}

test('a part that never answers does not keep the others from being told', async () => {
  const blobs = { probe: () => new Promise<void>(() => {}) }
  const readiness = createReadiness(partsWith({ blobs }), { timeoutMs: () => 30 })
  for (let i = 0; i < 3; i++) {
    const { ready, checks } = await readiness.check()
    assert.equal(ready, false)
    const [first, ...others] = checks
    assert.match(first?.reason ?? '', /^no answer within 30 ms/)
    assert.ok(others.every(({ ok }) => ok))
  }
})

test('a loop that goes round says so, and how busy it is', async () => {
  const liveness = createLiveness()
  const { status, loopDelayMs, loopUtilization } = await liveness.check()
  assert.equal(status, 'ok')
  assert.ok(loopDelayMs >= 0)
  assert.ok(loopUtilization >= 0 && loopUtilization <= 1)
})

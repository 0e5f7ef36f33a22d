// Goal: every manifest that is pulled is told to the store once for each interval, however often it is asked
// for, nothing is forgotten while the store fails, and memory is bounded. Method: requests through the whole
// pipeline to a store that keeps count of what it is told.
import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import { type Noted, PullTimes } from '../../src/operation/pull-times.ts'
import { ReplyCache } from '../../src/operation/reply-cache.ts'
import { route } from '../../src/route/route.ts'
import { StorageError } from '../../src/storage/error.ts'
import type { Pull } from '../../src/storage/metadata/tag-times.ts'
import { InProcess } from '../fault/in-process.ts'

const told: Pull[][] = []
const faults: unknown[] = []
let nowMs = 0
let failure: Error | undefined
let hold: Promise<void> = Promise.resolve()

beforeEach(() => {
  told.length = 0
  faults.length = 0
  nowMs = 1000
  failure = undefined
  hold = Promise.resolve()
})

function pullTimes(isOn = true): PullTimes {
  return new PullTimes({
    store: {
      recordPulls: async (pulls) => {
        await hold
        if (failure !== undefined) throw failure
        told.push([...pulls])
      },
    },
    now: () => nowMs,
    isOn,
    onFault: (error) => faults.push(error),
  })
}

function lines(): readonly string[] {
  return told.flat().map(({ repository, reference, atMs }) => `${repository} ${reference} ${atMs}`)
}

function manifestAction(repository: string, tag: string) {
  const action = route({ method: 'GET', path: `/v2/${repository}/manifests/${tag}`, query: '' })
  assert.ok(action.kind === 'get-manifest')
  return action
}

/** As the operation does. */
function pull(pulls: PullTimes, kept: Noted, tag = 'v1'): boolean {
  if (kept.notedIn === pulls.interval) return false
  pulls.note(manifestAction('a/b', tag), kept)
  return true
}

describe('requests', () => {
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [],
  }
  const body = Buffer.from(JSON.stringify(manifest))
  const headers = { 'content-type': manifest.mediaType }

  for (const [name, replyBytes] of [
    ['replies that are kept', 1 << 20],
    ['replies that are not', 0],
  ] as const) {
    test(`GET and HEAD by tag and digest are pulls; lists and what is absent are none, with ${name}`, async () => {
      const pulls = pullTimes()
      const registry = { pulls, replies: new ReplyCache(replyBytes), now: () => nowMs }
      const scene = await InProcess.open({ registry })
      try {
        const pushed = await scene.send('PUT', '/v2/a/b/manifests/v1', { body, headers })
        assert.equal(pushed.status, 201)
        const digest = String(pushed.headers['docker-content-digest'])
        for (let i = 0; i < 5; i += 1) {
          for (const method of ['GET', 'HEAD']) {
            await scene.send(method, '/v2/a/b/manifests/v1')
            await scene.send(method, `/v2/a/b/manifests/${digest}?i=${i}`)
          }
          nowMs += 1
        }
        await scene.send('GET', '/v2/a/b/tags/list')
        await scene.send('GET', `/v2/a/b/referrers/${digest}`)
        await scene.send('HEAD', '/v2/a/b/manifests/absent')
        await pulls.flush()
        const refs = lines().map((line) => line.split(' ')[1])
        assert.deepEqual(refs.toSorted(), [digest, 'v1'].toSorted())
        assert.equal(told.length, 1)
        // Not modified is a pull as well: the client is about to use what it has.
        const etag = { 'if-none-match': `"${digest}"` }
        assert.equal(
          (await scene.send('GET', '/v2/a/b/manifests/v1', { headers: etag })).status,
          304,
        )
        await pulls.flush()
        assert.equal(lines().at(-1), `a/b v1 ${nowMs}`)
      } finally {
        await scene.close()
      }
    })
  }
})

test('a pull is noted once in an interval, and again in the next', async () => {
  const pulls = pullTimes()
  const kept = { notedIn: 0 }
  assert.equal(pull(pulls, kept), true)
  nowMs = 2000
  for (let i = 0; i < 1000; i += 1) assert.equal(pull(pulls, kept), false)
  await pulls.flush()
  nowMs = 3000
  assert.equal(pull(pulls, kept), true)
  await pulls.flush()
  await pulls.flush()
  assert.deepEqual(lines(), ['a/b v1 1000', 'a/b v1 3000'])
})

test('while they are off nothing is noted, and turning them on or off takes effect at once', async () => {
  const pulls = pullTimes(false)
  const kept = { notedIn: 0 }
  assert.equal(pull(pulls, kept), false)
  pulls.turn(true)
  assert.equal(pull(pulls, kept), true)
  pulls.turn(false)
  pull(pulls, kept)
  assert.equal(pull(pulls, kept), false)
  await pulls.flush()
  assert.deepEqual(lines(), ['a/b v1 1000'])
  pulls.turn(true)
  assert.equal(pull(pulls, kept), true)
})

test('what the store could not take is told again, and the later time of two', async () => {
  const pulls = pullTimes()
  failure = new StorageError('unavailable', 'no')
  const first = { notedIn: 0 }
  pull(pulls, first)
  pull(pulls, { notedIn: 0 }, 'v2')
  await assert.rejects(pulls.flush(), failure)
  nowMs = 5000
  pull(pulls, first)
  failure = undefined
  await pulls.flush()
  assert.deepEqual(lines().toSorted(), ['a/b v1 5000', 'a/b v2 1000'])
})

test('a flush that finds another under way waits for it, and tells what came meanwhile', async () => {
  const pulls = pullTimes()
  let release = (): void => undefined
  hold = new Promise((resolve) => {
    release = resolve
  })
  pull(pulls, { notedIn: 0 })
  const first = pulls.flush()
  pull(pulls, { notedIn: 0 }, 'v2')
  const second = pulls.flush()
  release()
  await Promise.all([first, second])
  assert.deepEqual(lines(), ['a/b v1 1000', 'a/b v2 1000'])
})

test('a full memory is told at once; what comes while the store is stuck is counted as lost', async () => {
  const pulls = pullTimes()
  let release = (): void => undefined
  hold = new Promise((resolve) => {
    release = resolve
  })
  const note = (from: number, count: number): void => {
    for (let i = from; i < from + count; i += 1)
      pulls.note(manifestAction('a/b', `t${i}`), { notedIn: 0 })
  }
  note(0, 65_536)
  assert.equal(told.length, 0)
  note(65_536, 1)
  assert.equal(pulls.lost, 0)
  note(65_537, 65_535 + 10)
  assert.equal(pulls.lost, 10)
  release()
  await pulls.flush()
  assert.equal(told.flat().length, 131_072)
  assert.ok(told.every((write) => write.length <= 512))
  assert.deepEqual(faults, [])
})

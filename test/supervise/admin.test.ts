// Goal: the operator hears of all processes, does a thing once, and waits for none that hangs.
// Method: processes that the test plays.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StatusAnswer } from '../../src/server/admin.ts'
import { AdminOfAll } from '../../src/supervise/admin.ts'
import type { Answer, Question } from '../../src/supervise/messages.ts'
import { Slot } from '../../src/supervise/slot.ts'
import { createFakeFork, type FakeChild, FakeClock, found, jsonAnswer } from './fake-children.ts'

const paths = {
  socket: '/run/admin.sock',
  routes: ['/healthz', '/readyz', '/status', '/decisions', '/usage'],
  calls: ['/tokens/revoke'],
}

type Play = (question: Question) => Answer | undefined

interface Played {
  readonly children: FakeChild[]
  readonly asked: string[]
  readonly refreshed: number[]
  get(path: string, query?: string): Promise<StatusAnswer>
  post(path: string, input: unknown): Promise<StatusAnswer>
}

/** One process for each of `plays`; all serve. */
function play(...plays: readonly Play[]): Played {
  const { fork, children } = createFakeFork()
  const asked: string[] = []
  const refreshed: number[] = []
  const slots = plays.map((answer, position) => {
    const index = position + 1
    const slot = new Slot({
      ...{ index, fork, clock: new FakeClock() },
      welcome: () => Promise.reject(new Error('not here')) as never,
      events: {
        onServing: () => {},
        onSilent: () => {},
        onEnd: () => {},
        answer: () => Promise.reject(new Error('nobody asks')),
      },
    })
    slot.start()
    const child = found(children[position])
    child.obey = (order) => {
      if (order.kind === 'refresh') return refreshed.push(index)
      if (order.kind !== 'ask') return undefined
      asked.push(`${index} ${order.question.path}`)
      return answer(order.question)
    }
    child.servedAlready()
    return slot
  })
  const admin = new AdminOfAll({ slots, uptimeMs: () => 61_000 })
  const { routes, calls } = admin.serve(paths)
  return {
    ...{ children, asked, refreshed },
    get: async (path, query = '') => {
      const told = await found(routes[path])(new URLSearchParams(query))
      return (told as StatusAnswer).status === undefined
        ? { status: 200, body: told as object }
        : (told as StatusAnswer)
    },
    post: (path, input) => found(calls[path])(input),
  }
}

function textOf({ body }: StatusAnswer): unknown {
  return JSON.parse((body as Answer).text)
}

test('one process that is not ready makes all not ready, one that has ended does not', async () => {
  const ready = (): Answer => jsonAnswer({ ready: true })
  const full = (): Answer => jsonAnswer({ ready: false, checks: ['disk'] }, 503)
  assert.equal((await play(ready, ready).get('/readyz')).status, 200)
  const { status, body } = await play(ready, full).get('/readyz')
  assert.equal(status, 503)
  assert.deepEqual((body as { processes: unknown[] }).processes, [
    { process: 1, state: 'serving', ready: true },
    { process: 2, state: 'serving', ready: false, checks: ['disk'] },
  ])
  const played = play(ready, ready)
  played.children[1]?.end(null, 'SIGKILL')
  assert.equal((await played.get('/readyz')).status, 200)
  played.children[0]?.end(null, 'SIGKILL')
  assert.equal((await played.get('/readyz')).status, 503)
  assert.equal((await played.get('/healthz')).status, 503)
})

test('the status is that of each, with sums', async () => {
  const of = (count: number) => (): Answer =>
    jsonAnswer({ uploadsOpen: count, requestsInFlight: 1, listening: ['here'] })
  const { body } = await play(of(2), of(3)).get('/status')
  const { processes, ...rest } = body as { processes: { process: number }[] }
  assert.deepEqual(rest, {
    ...{ pid: process.pid, uptimeSeconds: 61, listening: ['here'] },
    ...{ uploadsOpen: 5, requestsInFlight: 2 },
  })
  assert.deepEqual(
    processes.map(({ process }) => process),
    [1, 2],
  )
})

test('what all know alike is asked of one, and of the next where that does not answer', async () => {
  const told = (): Answer => jsonAnswer({ bytes: 1 })
  const played = play(told, told)
  assert.deepEqual(textOf(await played.get('/usage')), { bytes: 1 })
  assert.deepEqual(played.asked, ['1 /usage'])
  const other = play(told, told)
  other.children[0]?.end(1)
  assert.deepEqual(textOf(await other.get('/usage')), { bytes: 1 })
  other.children[1]?.end(1)
  assert.equal((await other.get('/usage')).status, 503)
})

test('a decision is looked for until one process knows it', async () => {
  const unknown = (): Answer => jsonAnswer({ error: 'unknown' }, 404)
  const known = (): Answer => jsonAnswer({ allowed: false })
  const played = play(unknown, known, unknown)
  assert.deepEqual(textOf(await played.get('/decisions', 'id=1')), { allowed: false })
  assert.deepEqual(played.asked, ['1 /decisions', '2 /decisions'])
  const nowhere = await play(unknown, unknown).get('/decisions', 'id=1')
  assert.equal(nowhere.status, 404)
})

test('a call is made once, and the others look what it has changed', async () => {
  const done = (): Answer => jsonAnswer({ revoked: 'token' })
  const played = play(done, done, done)
  const answer = await played.post('/tokens/revoke', { id: 'a' })
  assert.deepEqual(answer, { status: 200, body: { revoked: 'token' } })
  assert.deepEqual(played.asked, ['1 /tokens/revoke'])
  assert.deepEqual(played.refreshed, [2, 3])
})

test('a call whose process ends is not made again', async () => {
  const done = (): Answer => jsonAnswer({})
  const played: Played = play(() => {
    played.children[0]?.end(null, 'SIGKILL')
    return undefined
  }, done)
  const { status, body } = await played.post('/tokens/revoke', { id: 'a' })
  assert.equal(status, 503)
  assert.match(JSON.stringify(body), /look whether it is done/)
  assert.deepEqual(played.asked, ['1 /tokens/revoke'])
})

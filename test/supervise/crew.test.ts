// Goal: processes are replaced when they end, not for ever, and end together.
// Method: processes that the test plays, and a clock in hand.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Crew } from '../../src/supervise/crew.ts'
import { createFakeFork, type FakeChild, FakeClock, found } from './fake-children.ts'

interface Played {
  readonly crew: Crew
  readonly clock: FakeClock
  readonly children: FakeChild[]
  readonly events: string[]
  readonly isLost: () => boolean
}

function play(count = 2): Played {
  const { fork, children } = createFakeFork()
  const clock = new FakeClock()
  const events: string[] = []
  const log = {
    info: (_: unknown, text: string) => events.push(text),
    warn: (_: unknown, text: string) => events.push(text),
    error: (_: unknown, text: string) => events.push(text),
  } as unknown as ConstructorParameters<typeof Crew>[0]['log']
  const crew = new Crew({
    ...{ count, fork, clock, log },
    welcome: (index) => ({
      ...{
        kind: 'welcome',
        index,
        count,
        sources: [],
        first: undefined,
        ports: [8000],
        umask: 0o22,
      },
      ...{ isDebug: false, ticketSeed: undefined },
    }),
    answer: () => Promise.reject(new Error('nobody asks')),
    onComplete: () => events.push('complete'),
    onServing: ({ index }) => events.push(`serving ${index}`),
    onEnd: ({ index }) => events.push(`end ${index}`),
  })
  let isLost = false
  void crew.lost.then(() => {
    isLost = true
  })
  void crew.start()
  return { crew, clock, children, events, isLost: () => isLost }
}

async function serveAll({ children, crew }: Played): Promise<void> {
  found(children[0]).serve()
  for (const child of children.slice(1, crew.slots.length)) child.serve()
}

test('the others start when the first one serves, and each is told its place', async () => {
  const played = play(3)
  assert.equal(played.children.length, 1)
  await serveAll(played)
  assert.deepEqual(
    played.children.map(({ welcome }) => welcome?.index),
    [1, 2, 3],
  )
  assert.deepEqual(played.events, ['serving 1', 'serving 2', 'serving 3', 'complete'])
})

test('one that ends is replaced at once, then later and later', async () => {
  const played = play()
  await serveAll(played)
  const { children, clock, crew } = played
  found(children[1]).end(null, 'SIGKILL')
  await clock.turn(0)
  assert.equal(children.length, 3)
  found(children[2]).end(1)
  await clock.turn(249)
  assert.equal(children.length, 3)
  await clock.turn(1)
  assert.equal(children.length, 4)
  found(children[3]).serve()
  assert.deepEqual(
    crew.slots.map(({ restarts, state }) => [restarts, state]),
    [
      [0, 'serving'],
      [2, 'serving'],
    ],
  )
})

test('where the very first one says that it cannot start, no other is tried', async () => {
  const { children, clock, isLost } = play()
  found(children[0]).fail()
  await clock.turn(60_000)
  assert.equal(children.length, 1)
  assert.equal(isLost(), true)
})

test('where the first one is killed again and again before it serves, that ends, too', async () => {
  const { children, clock, isLost } = play()
  for (let count = 0; count < 5; count += 1) {
    assert.equal(isLost(), false)
    found(children.at(-1)).end(null, 'SIGSEGV')
    await clock.turn(20_000)
  }
  assert.equal(children.length, 5)
  assert.equal(isLost(), true)
})

test('while another one serves, the attempts go on', async () => {
  const played = play()
  await serveAll(played)
  const { children, clock, isLost } = played
  for (let count = 0; count < 20; count += 1) {
    const child = found(children.at(-1))
    if (count === 0) child.end(1)
    else child.fail()
    await clock.turn(20_000)
  }
  assert.equal(children.length, 22)
  assert.equal(isLost(), false)
})

test('where none serves any more and none can start, the server ends', async () => {
  const played = play()
  await serveAll(played)
  const { children, clock, isLost } = played
  for (const child of [...children]) child.end(1)
  for (let count = 0; count < 20 && !isLost(); count += 1) {
    await clock.turn(20_000)
    for (const child of children.slice(-2)) child.fail()
    await clock.turn(0)
  }
  assert.equal(isLost(), true)
})

test('one that does not answer is not asked, and killed in the end', async () => {
  const played = play()
  await serveAll(played)
  const { children, clock, crew, events } = played
  const child = found(children[0])
  child.obey = () => undefined
  await clock.turn(5_000)
  assert.equal(crew.slots[0]?.state, 'silent')
  assert.equal(crew.serving().length, 1)
  const question = { path: '/status', query: '' }
  assert.equal(await crew.slots[0]?.order({ kind: 'ask', question }, 60_000), undefined)
  await clock.turn(24_000)
  assert.equal(child.isKilled, false)
  await clock.turn(1_000)
  assert.equal(child.isKilled, true)
  assert.ok(events.includes('a process is killed: it does not answer'))
  assert.equal(children.length, 3)
})

test('one that answers again is as before', async () => {
  const played = play()
  await serveAll(played)
  const { children, clock, crew } = played
  const child = found(children[0])
  const { obey } = child
  child.obey = () => undefined
  await clock.turn(10_000)
  child.obey = obey
  await clock.turn(1_000)
  assert.equal(crew.slots[0]?.state, 'serving')
  await clock.turn(60_000)
  assert.equal(child.isKilled, false)
})

test('a stop tells all, waits for all, and starts nothing more', async () => {
  const played = play()
  await serveAll(played)
  const { children, clock, crew } = played
  const stopped = crew.stop(30_000)
  for (const child of children) {
    assert.equal(child.count('stop'), 1)
    child.stopping()
  }
  await clock.turn(20_000)
  for (const child of children) child.end(0)
  assert.equal(await stopped, true)
  await clock.turn(60_000)
  assert.equal(children.length, 2)
})

test('one that does not even say that it stops is killed soon, one that goes on later', async () => {
  const played = play()
  await serveAll(played)
  const [hung, slow] = played.children
  const stopped = played.crew.stop(30_000)
  found(slow).stopping()
  await played.clock.turn(10_000)
  assert.deepEqual([hung?.isKilled, slow?.isKilled], [true, false])
  await played.clock.turn(40_000)
  assert.equal(slow?.isKilled, true)
  assert.equal(await stopped, false)
})

test('one that starts while all stop is told to stop, too', async () => {
  const played = play()
  await serveAll(played)
  const { children, clock, crew } = played
  found(children[1]).end(1)
  await clock.turn(0)
  const late = found(children[2])
  const stopped = crew.stop(30_000)
  late.hello()
  assert.ok(late.count('stop') > 0)
  for (const child of [children[0], late]) {
    found(child).stopping()
    found(child).end(0)
  }
  assert.equal(await stopped, true)
})

// Goal: a configuration is in force in all processes, or in none, whatever one of them says.
// Method: processes that the test plays.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Source } from '../../src/config/source.ts'
import { Reloads } from '../../src/supervise/reload.ts'
import { Slot } from '../../src/supervise/slot.ts'
import { createFakeFork, type FakeChild, FakeClock } from './fake-children.ts'

const old: readonly Source[] = [{ file: 'config.toml', text: 'old' }]
const next: readonly Source[] = [{ file: 'config.toml', text: 'next' }]

interface Played {
  readonly reloads: Reloads
  readonly slots: readonly Slot[]
  readonly children: FakeChild[]
  readonly asked: string[]
  readonly complaints: string[]
  readonly clock: FakeClock
}

/** `answers` to a reload, one for each process. */
function play(answers: readonly object[]): Played {
  const { fork, children } = createFakeFork()
  const clock = new FakeClock()
  const asked: string[] = []
  const complaints: string[] = []
  const slots = answers.map((answer, position) => {
    const index = position + 1
    const slot = new Slot({
      ...{ index, fork, clock },
      welcome: () => ({
        ...{ kind: 'welcome', index, count: answers.length, sources: reloads.accepted },
        first: reloads.first,
        ...{ ports: [], umask: 0, isDebug: false, ticketSeed: undefined },
      }),
      events: {
        onServing: (serving) => reloads.catchUp(serving),
        onSilent: () => {},
        onEnd: () => {},
        answer: () => Promise.reject(new Error('nobody asks')),
      },
    })
    slot.start()
    const child = children[position] as FakeChild
    child.obey = (order) => {
      if (order.kind !== 'reload') return undefined
      asked.push(`${index} ${order.sources?.[0]?.text}`)
      return answer
    }
    return slot
  })
  const log = { error: (_: unknown, text: string) => complaints.push(text) } as unknown as never
  const reloads = new Reloads({ slots, first: old, log })
  for (const child of children) child.serve()
  return { reloads, slots, children, asked, complaints, clock }
}

const good = { ok: true, needsRestart: [] }
const bad = { ok: false, problems: ['no'] }

test('what the first one takes is told to all others', async () => {
  const { reloads, asked } = play([good, good, good])
  assert.deepEqual(await reloads.reload(next), good)
  assert.deepEqual(asked, ['1 next', '2 next', '3 next'])
  assert.equal(reloads.accepted, next)
})

test('what the first one refuses is told to nobody', async () => {
  const { reloads, asked } = play([bad, good])
  assert.deepEqual(await reloads.reload(next), bad)
  assert.deepEqual(asked, ['1 next'])
  assert.equal(reloads.accepted, old)
})

test('one that does not take what the first one took is replaced', async () => {
  const { reloads, children, complaints } = play([good, bad, good])
  await reloads.reload(next)
  assert.deepEqual(
    children.map((child) => child.count('stop')),
    [0, 1, 0],
  )
  assert.equal(complaints.length, 1)
})

test('one that began with what was accepted before is told when it serves', async () => {
  const { reloads, children, asked } = play([good, good])
  const late = children[1] as FakeChild
  late.hello()
  await reloads.reload(next)
  assert.deepEqual(asked, ['1 next', '2 next'])
  asked.length = 0
  // It was welcomed with the new one since.
  late.serve()
  await reloads.reload(next)
  // Of what it was not welcomed with: keys that only a restart changes.
  assert.deepEqual(asked, ['2 next', '1 next', '2 next'])
})

test('one that begins later has what only a restart changes as the others have it', async () => {
  const { reloads, slots, children } = play([good, good])
  children[1]?.end(1)
  const second = slots[1]
  assert.ok(second)
  second.start()
  children[2]?.hello()
  assert.deepEqual([second.welcome?.sources, second.welcome?.first], [old, undefined])
  children[2]?.end(1)
  await reloads.reload(next)
  second.start()
  children[3]?.hello()
  assert.deepEqual([second.welcome?.sources, second.welcome?.first], [next, old])
})

test('where none answers, the configuration is refused', async () => {
  const { reloads, slots, children } = play([good])
  children[0]?.end(1)
  assert.equal(slots[0]?.state, 'waiting')
  assert.equal((await reloads.reload(next)).ok, false)
  assert.equal(reloads.accepted, old)
})

test('files that cannot be read are one process’s to refuse', async () => {
  const { reloads, asked } = play([bad, good])
  assert.deepEqual(await reloads.reload(undefined), bad)
  assert.deepEqual(asked, ['1 undefined'])
})

test('one that comes to serve while the first one tries is told too', async () => {
  const { reloads, slots, children, asked } = play([good, good])
  const [first, second] = [children[0], slots[1]]
  assert.ok(first && second)
  children[1]?.end(1)
  second.start()
  const successor = children[2] as FakeChild
  successor.obey = (order) => {
    if (order.kind !== 'reload') return undefined
    asked.push(`its successor ${order.sources?.[0]?.text}`)
    return good
  }
  successor.hello()
  const { obey } = first
  first.obey = (order) => {
    // It was welcomed with the old one, and the new one is not accepted yet.
    if (order.kind === 'reload') successor.servedAlready()
    return obey(order)
  }
  await reloads.reload(next)
  assert.deepEqual(asked, ['1 next', 'its successor next'])
})

test('one that does not answer at the time is replaced, lest it wakes with what was before', async () => {
  const { reloads, slots, children, asked, clock } = play([good, good])
  for (const child of children) {
    const { obey } = child
    child.obey = (order) =>
      order.kind === 'ping' ? child === children[0] || undefined : obey(order)
  }
  await clock.turn(6_000)
  assert.equal(slots[1]?.state, 'silent')
  await reloads.reload(next)
  assert.deepEqual(asked, ['1 next'])
  assert.equal(children[1]?.count('stop'), 1)
})

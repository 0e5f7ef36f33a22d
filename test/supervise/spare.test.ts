// Goal: a process in reserve takes the next place as one that was just started would, and only once.
// Method: processes that the test plays.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChildEvents, Exit } from '../../src/supervise/contract.ts'
import type { FromChild } from '../../src/supervise/messages.ts'
import { Spare } from '../../src/supervise/spare.ts'
import { createFakeFork, found } from './fake-children.ts'

function recorder(): ChildEvents & { readonly heard: FromChild[]; readonly exits: Exit[] } {
  const heard: FromChild[] = []
  const exits: Exit[] = []
  return {
    heard,
    exits,
    onMessage: (message) => heard.push(message),
    onExit: (exit) => exits.push(exit),
  }
}

test('what the one in reserve has said is heard when it has its place', async () => {
  const { fork, children } = createFakeFork()
  const spare = new Spare(fork)
  spare.prepare()
  spare.prepare()
  assert.equal(children.length, 1)
  found(children[0]).hello()
  const events = recorder()
  assert.equal(spare.fork(events).pid, children[0]?.pid)
  assert.deepEqual(events.heard, [])
  await new Promise((resolve) => setImmediate(resolve))
  found(children[0]).stopping()
  assert.deepEqual(
    events.heard.map(({ kind }) => kind),
    ['hello', 'stopping'],
  )
  found(children[0]).end(0)
  assert.equal(events.exits.length, 1)
})

test('without one in reserve a new one is started', () => {
  const { fork, children } = createFakeFork()
  const spare = new Spare(fork)
  spare.fork(recorder())
  spare.prepare()
  assert.equal(spare.fork(recorder()).pid, children[1]?.pid)
  assert.equal(spare.fork(recorder()).pid, children[2]?.pid)
})

test('one that ends in reserve is forgotten', () => {
  const { fork, children } = createFakeFork()
  const spare = new Spare(fork)
  spare.prepare()
  found(children[0]).end(null, 'SIGKILL')
  const events = recorder()
  assert.equal(spare.fork(events).pid, children[1]?.pid)
  assert.deepEqual(events.exits, [])
})

test('the end of the supervisor ends it', () => {
  const { fork, children } = createFakeFork()
  const spare = new Spare(fork)
  spare.prepare()
  spare.close()
  assert.equal(found(children[0]).isKilled, true)
})

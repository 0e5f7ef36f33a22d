// Goal: so many at a time, the others in their order, each no longer than it is willing to wait.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turns } from '../../../src/authenticate/ldap/turns.ts'

const patient = new AbortController().signal

test('turns go to those who came first, and one that ends twice ends once', async () => {
  const turns = new Turns({ turns: 1, waitingMax: 2 })
  const end = await turns.take(patient)
  const order: string[] = []
  const come = async (name: string): Promise<() => void> => {
    const done = await turns.take(patient)
    order.push(name)
    return done
  }
  const first = come('first')
  const second = come('second')
  assert.equal(turns.waiting, 2)
  await assert.rejects(turns.take(patient), /too many/)
  end()
  end()
  const endFirst = await first
  assert.deepEqual(order, ['first'])
  endFirst()
  const endSecond = await second
  endSecond()
  assert.deepEqual([turns.waiting, order], [0, ['first', 'second']])
  const again = await turns.take(patient)
  again()
})

test('who gives up leaves the queue at once, and the turn goes to the next', async () => {
  const turns = new Turns({ turns: 1, waitingMax: 2 })
  const end = await turns.take(patient)
  const hasty = new AbortController()
  const given = turns.take(hasty.signal)
  const next = turns.take(patient)
  hasty.abort(new Error('no time'))
  await assert.rejects(given, /no time/)
  assert.equal(turns.waiting, 1)
  await assert.rejects(turns.take(hasty.signal), /no time/)
  end()
  const endNext = await next
  endNext()
})

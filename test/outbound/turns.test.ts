// Goal: whatever comes and goes, turns are never lost or given twice, and nobody waits behind more than
// one call of each other one. Method: random orders against plain counts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Turns, type Waiter } from '../../src/outbound/turns.ts'

type State = 'waits' | 'runs' | 'gone'

interface Known extends Waiter {
  state: State
}

const step = fc.oneof(
  fc.record({ kind: fc.constant('take' as const), who: fc.constantFrom('a', 'a', 'a', 'b', 'c') }),
  fc.record({ kind: fc.constantFrom('end' as const, 'leave' as const), at: fc.nat(20) }),
)

test('turns are counted right in every order', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const turns = new Turns(2, 5)
      const all: Known[] = []
      const those = (state: State): Known[] => all.filter((each) => each.state === state)
      for (const each of steps) {
        if (each.kind === 'take') {
          const waiter: Known = {
            ...{ who: each.who, state: 'waits' },
            begin() {
              waiter.state = 'runs'
            },
            giveUp() {
              waiter.state = 'gone'
            },
          }
          if (turns.take(waiter)) all.push(waiter)
        } else if (each.kind === 'end') {
          const running = those('runs')[each.at]
          if (running === undefined) continue
          running.state = 'gone'
          turns.end()
        } else {
          const waiting = those('waits')[each.at]
          if (waiting === undefined) continue
          waiting.state = 'gone'
          turns.leave(waiting)
        }
        assert.equal(turns.running, those('runs').length)
        assert.equal(turns.waiting, those('waits').length)
        assert.ok(turns.running <= 2 && turns.waiting <= 5)
        assert.ok(turns.waiting === 0 || turns.running === 2)
      }
    }),
  )
})

test('one that has much waiting is served in turn with one that has little', () => {
  const turns = new Turns(1, 100)
  const served: string[] = []
  const ask = (who: string): boolean =>
    turns.take({ who, begin: () => void served.push(who), giveUp: () => assert.fail('no need') })
  for (const who of 'aaaaabbc') ask(who)
  for (let ended = 0; ended < 8; ended += 1) turns.end()
  assert.equal(served.join(''), 'aabcabaa')
  assert.equal(turns.running, 0)
})

// Goal: ids of requests are UUIDs, and no two are alike. Method: more of them than one block has.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { createRequestIds } from '../../src/telemetry/request-ids.ts'

const count = 3 * 65_536
const form = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/

test('no two ids are alike, and each is a UUID', () => {
  let drawn = 0
  const next = createRequestIds(() => {
    drawn += 1
    return randomUUID()
  })
  const ids = new Set<string>()
  for (let made = 0; made < count; made++) {
    const id = next()
    assert.match(id, form)
    ids.add(id)
  }
  assert.equal(ids.size, count)
  assert.equal(drawn, 3)
})

test('two makers share nothing', () => {
  const [one, other] = [createRequestIds(randomUUID), createRequestIds(randomUUID)]
  assert.notEqual(one().slice(0, 32), other().slice(0, 32))
})

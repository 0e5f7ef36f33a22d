// Goal: revocations read back, and whatever else comes from Redis is none. Method: cases by hand, and
// bytes and values that fast-check makes.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  fieldOf,
  messageOf,
  perMessageMax,
  readField,
  readMessage,
  timesOf,
} from '../../src/redis/message.ts'
import type { Revocation } from '../../src/storage/metadata/token-store.ts'

const token = '0f8fad5b-d9cb-469f-a165-70867728950e'
const times = fc.record({
  atMs: fc.integer({ min: 1, max: 8.64e15 }),
  forgetAtMs: fc.integer({ min: 1, max: 8.64e15 }),
})
const subjects = fc.oneof(
  fc.record({ of: fc.constant('token' as const), subject: fc.uuid() }),
  fc.record({
    of: fc.constant('api-key' as const),
    subject: fc.stringMatching(/^[0-9a-f]{16}$/),
  }),
  fc.record({
    of: fc.constant('user' as const),
    subject: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }),
  }),
)
const revocations: fc.Arbitrary<Revocation> = fc
  .tuple(subjects, times)
  .map(([subject, when]) => ({ ...subject, ...when }))

test('a revocation reads back, as a field and in a message', () => {
  fc.assert(
    fc.property(fc.array(revocations, { maxLength: perMessageMax }), (all) => {
      for (const each of all) assert.deepEqual(readField(fieldOf(each), timesOf(each)), each)
      assert.deepEqual(readMessage(messageOf(all)), { revocations: all, refused: 0 })
    }),
  )
})

test('garbage is refused, and never throws', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), fc.string(), (text, field) => {
      assert.deepEqual(readMessage(text).revocations, [])
      assert.equal(readField(field, text), undefined)
      assert.equal(readField(`user:${field}`, text), undefined)
    }),
  )
})

describe('an entry is refused', () => {
  const good = { of: 'token', subject: token, at: 1, until: 2 }
  const cases: ReadonlyArray<readonly [string, unknown]> = [
    ['that is no object', [good]],
    ['of another kind', { ...good, of: 'group' }],
    ['of a kind that objects have', { ...good, of: 'constructor' }],
    ['without a subject', { ...good, subject: undefined }],
    ['whose id is none', { ...good, subject: `${token}0` }],
    ['whose id has capitals', { ...good, subject: token.toUpperCase() }],
    ['of an API key that is none', { ...good, of: 'api-key', subject: 'abc' }],
    ['of nobody', { ...good, of: 'user', subject: '' }],
    ['of a name that is too long', { ...good, of: 'user', subject: 'a'.repeat(513) }],
    ['of half a character', { ...good, of: 'user', subject: '\ud800' }],
    ['without a time', { ...good, at: undefined }],
    ['at a time that is a text', { ...good, at: '1' }],
    ['at a broken time', { ...good, at: 1.5 }],
    ['before all time', { ...good, at: 0 }],
    ['after all time', { ...good, until: 8.65e15 }],
  ]
  for (const [title, entry] of cases) {
    test(title, () => {
      const text = JSON.stringify({ revocations: [entry, good] })
      const { revocations: read, refused } = readMessage(text)
      assert.deepEqual([read.length, refused], [1, 1])
    })
  }
})

test('fields that are not known are passed over, and a message without a list is none', () => {
  const entry = { of: 'user', subject: 'ci', at: 1, until: 2, why: 'leaver' }
  const text = JSON.stringify({ from: 'a', revocations: [entry], version: 9 })
  const { revocations: read, refused } = readMessage(text)
  assert.deepEqual([read, refused], [[{ of: 'user', subject: 'ci', atMs: 1, forgetAtMs: 2 }], 0])
  const tooMany = { revocations: new Array(perMessageMax + 1).fill(entry) }
  for (const other of [{}, { revocations: {} }, tooMany, { revocations: [], x: 'y'.repeat(6e5) }]) {
    assert.deepEqual(readMessage(JSON.stringify(other)), { revocations: [], refused: 1 })
  }
  const twice = '{"revocations":[],"revocations":[{"of":"user","subject":"a","at":1,"until":2}]}'
  assert.equal(readMessage(twice).refused, 1)
})

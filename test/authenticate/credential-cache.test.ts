// Keys of credentials: the same for the same one, in one turn of the event loop and in another, and never
// for two; and entries that end.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { CredentialCache } from '../../src/authenticate/credential-cache.ts'

function cache(entriesMax = 3): { of: CredentialCache<string>; advance(ms: number): void } {
  let nowMs = 0
  return {
    of: new CredentialCache({ entriesMax, now: () => nowMs }),
    advance: (ms) => {
      nowMs += ms
    },
  }
}

describe('the key of a credential', () => {
  test('is the same whenever it is asked for, also between others', async () => {
    const { of } = cache()
    const credentials = ['Basic YTpi', 'Basic YTpj', 'Bearer a.b.c', '', 'Bearer é']
    const keys = credentials.map((credential) => of.keyOf(credential))
    assert.equal(new Set(keys).size, credentials.length)
    for (let turn = 0; turn < 3; turn += 1) {
      for (const [index, credential] of credentials.entries()) {
        // Another text of the same characters, as each request brings its own.
        const copy = Buffer.from(credential).toString()
        assert.equal(of.keyOf(copy), keys[index])
        assert.equal(of.keyOf(copy), keys[index])
      }
      await nextTurn()
    }
  })

  test('differs for credentials that differ anywhere, of the same length or not', () => {
    const { of } = cache()
    const base = `Bearer ${'a'.repeat(600)}`
    const others = [0, 7, 300, 606].map((at) => `${base.slice(0, at)}b${base.slice(at + 1)}`)
    const all = [base, `${base}a`, base.slice(0, -1), ...others]
    const keys = all.flatMap((credential) => [of.keyOf(base), of.keyOf(credential)])
    assert.equal(new Set(keys).size, all.length)
  })

  test('tells nothing to another cache', () => {
    assert.notEqual(cache().of.keyOf('Basic YTpi'), cache().of.keyOf('Basic YTpi'))
  })
})

describe('an entry', () => {
  test('ends in its time', () => {
    const { of, advance } = cache()
    of.set('key', 'value', 1000)
    advance(999)
    assert.equal(of.get('key'), 'value')
    advance(1)
    assert.equal(of.get('key'), undefined)
    assert.equal(of.size, 0)
  })

  test('makes room for newer ones', () => {
    const { of } = cache(3)
    for (const key of ['a', 'b', 'c', 'd']) of.set(key, key, 1000)
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((key) => of.get(key)),
      [undefined, 'b', 'c', 'd'],
    )
  })
})

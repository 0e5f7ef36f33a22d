// Goal: a thread keeps few hashers, not for long, and gives one out for just the bytes that it has taken.
// Method: a clock that the test moves.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestHex, digestOfBytes } from '../../src/oci/digest.ts'
import { createExportableHasher, createStreamHasher, type Hasher } from '../../workers/hasher.ts'
import { type HashedBytes, KeptHashers } from '../../workers/kept-hashers.ts'

const bytes = Buffer.from('the bytes so far')

function hashed(path: string): HashedBytes {
  const hex = digestHex(digestOfBytes('sha256', bytes))
  return { path, algorithm: 'sha256', length: bytes.length, hex }
}

function hasherOfBytes(): Hasher {
  const hasher = createStreamHasher('sha256')
  hasher.update(bytes)
  return hasher
}

function hexWith(hasher: Hasher | undefined, more: string): string | undefined {
  hasher?.update(Buffer.from(more))
  return hasher?.hex()
}

test('each copy goes on from what was kept, whatever became of the others', () => {
  const kept = new KeptHashers(2)
  kept.keep(hashed('a'), hasherOfBytes())
  for (const more of ['', ' and more', ' and others', '']) {
    const expected = digestHex(digestOfBytes('sha256', Buffer.concat([bytes, Buffer.from(more)])))
    assert.equal(hexWith(kept.copyFor(hashed('a')), more), expected)
  }
})

const others: readonly Partial<HashedBytes>[] = [
  { path: 'b' },
  { algorithm: 'sha512' },
  { length: bytes.length - 1 },
  { length: bytes.length + 1 },
  { hex: digestHex(digestOfBytes('sha256', Buffer.from('as many others'))) },
]

for (const other of others) {
  test(`a hasher does not serve for another ${Object.keys(other).join()}`, () => {
    const kept = new KeptHashers(2)
    kept.keep(hashed('a'), hasherOfBytes())
    assert.equal(kept.copyFor({ ...hashed('a'), ...other }), undefined)
    // Who asks by the path for something else has gone on elsewhere.
    assert.equal(kept.size, other.path === undefined ? 0 : 1)
  })
}

test('the newest take the place of those that were used least lately', () => {
  const kept = new KeptHashers(2)
  for (const path of ['a', 'b', 'a', 'c']) kept.keep(hashed(path), hasherOfBytes())
  assert.equal(kept.size, 2)
  assert.equal(kept.copyFor(hashed('b')), undefined)
  assert.ok(kept.copyFor(hashed('a')))
  assert.ok(kept.copyFor(hashed('c')))
})

test('one that nobody asks for is let go after ten minutes', () => {
  let nowMs = 0
  const kept = new KeptHashers(9, () => nowMs)
  kept.keep(hashed('a'), hasherOfBytes())
  nowMs = 5 * 60 * 1000
  kept.keep(hashed('b'), hasherOfBytes())
  nowMs = 10 * 60 * 1000
  assert.ok(kept.copyFor(hashed('a')))
  nowMs += 1
  assert.equal(kept.copyFor(hashed('a')), undefined)
  assert.ok(kept.copyFor(hashed('b')))
  nowMs = 60 * 60 * 1000
  kept.keep(hashed('c'), hasherOfBytes())
  assert.equal(kept.size, 1)
})

test('what is dropped is gone', () => {
  const kept = new KeptHashers(2)
  kept.keep(hashed('a'), hasherOfBytes())
  kept.drop('a')
  assert.equal(kept.copyFor(hashed('a')), undefined)
})

test('only node:crypto is copied: hash-wasm has a state', async () => {
  const moved = await createExportableHasher('sha256')
  assert.deepEqual([moved.copy, typeof moved.state], [undefined, 'function'])
  const own = createStreamHasher('sha256')
  assert.deepEqual([typeof own.copy, own.state], ['function', undefined])
})

// Goal: the text of a secret is recognised, told from a mistyped one, and never stored. Method: fixed
// bytes, and every character changed once.
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import {
  looksLikeSecret,
  makeSecret,
  readSecret,
  secretId,
} from '../../../src/authenticate/token/secret-text.ts'

const bytes = Uint8Array.from({ length: 32 }, (_, i) => i * 7)

test('both kinds read back, by what a scanner can search for', () => {
  const key = makeSecret('api-key', bytes)
  assert.match(key, /^keelson_[0-9A-Za-z]{49}$/)
  assert.deepEqual(readSecret(key), { kind: 'api-key', sha256: hash('sha256', key) })
  const refresh = makeSecret('refresh-token', bytes)
  assert.match(refresh, /^keelson_refresh_[0-9A-Za-z]{49}$/)
  assert.deepEqual(readSecret(refresh), { kind: 'refresh-token', sha256: hash('sha256', refresh) })
  for (const text of [key, refresh]) assert.ok(looksLikeSecret(text))
  assert.match(secretId(hash('sha256', key)), /^[0-9a-f]{16}$/)
})

test('the smallest and the largest secret are as long as any other', () => {
  for (const value of [0, 0xff]) {
    const text = makeSecret('api-key', new Uint8Array(32).fill(value))
    assert.equal(text.length, 57)
    assert.ok(readSecret(text))
  }
  assert.throws(() => makeSecret('api-key', new Uint8Array(31)), RangeError)
})

test('a single wrong character is told by the checksum', () => {
  const text = makeSecret('api-key', bytes)
  for (let at = 'keelson_'.length; at < text.length; at += 1) {
    const other = text[at] === 'a' ? 'b' : 'a'
    assert.equal(readSecret(text.slice(0, at) + other + text.slice(at + 1)), undefined, String(at))
  }
})

test('what is longer, shorter or of other letters is none', () => {
  const text = makeSecret('api-key', bytes)
  for (const wrong of [
    ...['', 'keelson_', `${text}a`, text.slice(0, -1), ` ${text}`, `${text}\n`],
    ...[text.replace('keelson_', 'keelson_refresh_'), text.toUpperCase(), text.replace('_', '-')],
  ]) {
    assert.equal(readSecret(wrong), undefined, wrong)
  }
})

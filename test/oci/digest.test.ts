// Goal: only the exact spelling of a supported digest is a Digest. Method: tables of good and bad texts.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import {
  digestAlgorithm,
  digestFromHex,
  digestHex,
  digestOfBytes,
  parseDigest,
} from '../../src/oci/digest.ts'

const hex64 = '0123456789abcdef'.repeat(4)
const hex128 = hex64.repeat(2)

test('a digest of each algorithm parses to itself and tells its parts', () => {
  for (const [algorithm, hex] of [
    ['sha256', hex64],
    ['sha512', hex128],
  ] as const) {
    const digest = parseDigest(`${algorithm}:${hex}`)
    assert.ok(digest !== undefined)
    assert.equal(digest, `${algorithm}:${hex}`)
    assert.equal(digestAlgorithm(digest), algorithm)
    assert.equal(digestHex(digest), hex)
    assert.equal(digestFromHex(algorithm, hex), digest)
  }
})

test('anything but the exact form is no digest', () => {
  for (const text of [
    '',
    'sha256',
    'sha256:',
    'sha256:baddigeststring',
    `sha256:${hex64.slice(1)}`,
    `sha256:${hex64}0`,
    `sha256:${hex128}`,
    `sha512:${hex64}`,
    `sha512:${hex128.slice(1)}g`,
    `sha256:${hex64.toUpperCase()}`,
    `SHA256:${hex64}`,
    `sha384:${hex64}${'0'.repeat(32)}`,
    `md5:${'0'.repeat(32)}`,
    `sha256-${hex64}`,
    `sha256:${hex64}\n`,
    ` sha256:${hex64}`,
    `sha256:${hex64.slice(1)}/`,
    `sha256:../${hex64.slice(3)}`,
    `sha256:\u0660${hex64.slice(1)}`,
    hex64,
  ]) {
    assert.equal(parseDigest(text), undefined, JSON.stringify(text))
  }
})

test('bytes hash to the digest that a hash stream gives', () => {
  const bytes = Buffer.from('keelson')
  for (const algorithm of ['sha256', 'sha512'] as const) {
    const hex = createHash(algorithm).update(bytes).digest('hex')
    assert.equal(digestOfBytes(algorithm, bytes), `${algorithm}:${hex}`)
  }
  assert.equal(
    digestOfBytes('sha256', new Uint8Array()),
    'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  )
})

test('hex of the wrong length or alphabet is a programmer error', () => {
  assert.throws(() => digestFromHex('sha256', hex128), assert.AssertionError)
  assert.throws(() => digestFromHex('sha512', 'zz'), assert.AssertionError)
})

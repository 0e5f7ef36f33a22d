// Goal: a reference is a tag or a digest, and what is neither is refused as the right one of them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { looksLikeDigest, parseReference } from '../../src/oci/reference.ts'

const digest = `sha256:${'a'.repeat(64)}`

test('a reference without a colon is a tag, one with a colon a digest', () => {
  assert.deepEqual(parseReference('latest'), { kind: 'tag', tag: 'latest' })
  assert.deepEqual(parseReference(digest), { kind: 'digest', digest })
  // A digest's hex alone is a fine tag.
  assert.deepEqual(parseReference('a'.repeat(64)), { kind: 'tag', tag: 'a'.repeat(64) })
})

test('a malformed reference is neither, and looks like one of them', () => {
  for (const [text, isDigest] of [
    ['', false],
    ['.x', false],
    ['sha256:baddigeststring', true],
    [`${digest}0`, true],
    ['a:b', true],
  ] as const) {
    assert.equal(parseReference(text), undefined, text)
    assert.equal(looksLikeDigest(text), isDigest, text)
  }
})

// Goal: tags follow the spec's grammar and nothing else gets through.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTag } from '../../src/oci/tag.ts'

test('tags of the grammar parse to themselves', () => {
  for (const text of ['latest', 'v1.2.3', '_', '0', 'A-b_c.D', 'a..b', 'x'.repeat(128)]) {
    assert.equal(parseTag(text), text)
  }
})

test('anything else is no tag', () => {
  for (const text of [
    '',
    '.',
    '..',
    '.hidden',
    '-dash',
    'a/b',
    'a:b',
    'a b',
    'a\n',
    'a\u0000',
    'a%2f',
    'é',
    'a+b',
    'x'.repeat(129),
  ]) {
    assert.equal(parseTag(text), undefined, JSON.stringify(text))
  }
})

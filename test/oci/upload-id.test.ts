// Goal: an upload id has one spelling, a lower-case UUID of version 4.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { newUploadId, parseUploadId } from '../../src/oci/upload-id.ts'

const id = '3f2504e0-4f89-41d3-9a0c-0305e82c3301'

test('a lower-case UUID of version 4 parses to itself', () => {
  assert.equal(parseUploadId(id), id)
  assert.equal(
    parseUploadId(id),
    newUploadId(() => id),
  )
  assert.notEqual(parseUploadId(newUploadId(randomUUID)), undefined)
})

test('other versions, variants, cases and lengths are no upload ids', () => {
  for (const text of [
    '',
    id.toUpperCase(),
    id.replaceAll('-', ''),
    `{${id}}`,
    `${id}0`,
    `${id}\n`,
    id.replace('-41d3', '-11d3'),
    id.replace('-9a0c', '-ca0c'),
    id.replace('3', 'g'),
    `../../../${id.slice(9)}`,
  ]) {
    assert.equal(parseUploadId(text), undefined, JSON.stringify(text))
  }
})

test('a source that answers no UUID of version 4 is a programmer error', () => {
  assert.throws(() => newUploadId(() => 'upload-1'), assert.AssertionError)
})

// Goal: a Content-Type yields its bare media type or nothing, and each known type is of one kind.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  isForeignLayerMediaType,
  isImageLayerMediaType,
  isImageMediaType,
  isIndexMediaType,
  isManifestMediaType,
  isSchema1MediaType,
  mediaTypes,
  parseMediaType,
} from '../../src/oci/media-type.ts'

test('parameters and outer blanks go, case stays', () => {
  for (const [contentType, mediaType] of [
    [mediaTypes.ociImage, mediaTypes.ociImage],
    [`${mediaTypes.ociIndex}; charset=utf-8`, mediaTypes.ociIndex],
    [' text/Plain ;x', 'text/Plain'],
    ['a/b;', 'a/b'],
    ['a!#$&-^_.+/0!#$&-^_.+', 'a!#$&-^_.+/0!#$&-^_.+'],
    [`${'a'.repeat(127)}/${'b'.repeat(127)}`, `${'a'.repeat(127)}/${'b'.repeat(127)}`],
  ] as const) {
    assert.equal(parseMediaType(contentType), mediaType)
  }
})

test('what breaks the grammar is no media type', () => {
  for (const contentType of [
    '',
    ';',
    '/',
    'a',
    'a/',
    '/b',
    'a/b/c',
    'a b/c',
    'a/b, c/d',
    '.a/b',
    'a/+b',
    'a/b\u0000',
    'a/é',
    '*/*',
    `${'a'.repeat(128)}/b`,
    `a/${'b'.repeat(128)}`,
    `a/b;${'x'.repeat(2000)}`,
  ]) {
    assert.equal(parseMediaType(contentType), undefined, JSON.stringify(contentType))
  }
})

test('every known media type follows the grammar and is of one kind', () => {
  for (const [name, mediaType] of Object.entries(mediaTypes)) {
    assert.equal(parseMediaType(mediaType), mediaType)
    assert.equal(isImageMediaType(mediaType), /Image$/.test(name), name)
    assert.equal(isIndexMediaType(mediaType), /Index$/.test(name), name)
    assert.equal(isSchema1MediaType(mediaType), /Schema1/.test(name), name)
    assert.equal(isManifestMediaType(mediaType), /Image$|Index$|Schema1|Artifact/.test(name), name)
    assert.equal(isForeignLayerMediaType(mediaType), /ForeignLayer/.test(name), name)
    assert.equal(isImageLayerMediaType(mediaType), /(oci|docker)Layer/.test(name), name)
  }
})

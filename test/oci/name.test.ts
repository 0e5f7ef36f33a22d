// Goal: repository names follow the spec's grammar and nothing else gets through, path tricks above all.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRepositoryName, repositoryNameLengthMax } from '../../src/oci/name.ts'

test('names of the grammar parse to themselves', () => {
  for (const text of [
    'a',
    '0',
    'library/alpine',
    'a/b/c/d/e/f',
    'a.b',
    'a_b',
    'a__b',
    'a-b',
    'a--b',
    `a${'-'.repeat(50)}b`,
    'my.org/some_image__name/x-1',
    'blobs/uploads',
    'tags/list',
    'a'.repeat(repositoryNameLengthMax),
  ]) {
    assert.equal(parseRepositoryName(text), text)
  }
})

test('anything else is no name', () => {
  for (const text of [
    '',
    '/',
    '/a',
    'a/',
    'a//b',
    '.',
    '..',
    '../a',
    'a/../b',
    'a/./b',
    'a..b',
    '.a',
    'a.',
    '_a',
    'a_',
    'a___b',
    'a_.b',
    'a._b',
    'a-.b',
    '-a',
    'a-',
    'a-/b',
    'a/-b',
    'A',
    'library/Alpine',
    'a b',
    'a\u0000',
    'a\n',
    'a%2fb',
    'a\\b',
    'a:b',
    'a@b',
    'ä',
    '\u0430', // Cyrillic a
    'a'.repeat(repositoryNameLengthMax + 1),
  ]) {
    assert.equal(parseRepositoryName(text), undefined, JSON.stringify(text))
  }
})

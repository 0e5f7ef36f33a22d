// Goal: patterns of operators are RE2, match the whole text where they should, stay linear whatever they
// and the text are, and say what is wrong with them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compilePattern } from '../../src/pattern/compile.ts'

test('a pattern matches from the first to the last character', () => {
  const cases: readonly (readonly [pattern: string, text: string, matches: boolean])[] = [
    ['latest', 'latest', true],
    ['latest', 'latest-1', false],
    ['latest', 'a-latest', false],
    ['a|ab', 'ab', true],
    ['a|ab', 'abc', false],
    ['^v[0-9]+$', 'v10', true],
    ['v[0-9]+', 'v10\n', false],
    ['(?m)^v1$', 'v1\nv1', false],
    ['(?i)RC', 'rc', true],
    ['.*', '', true],
    ['', 'a', false],
  ]
  for (const [pattern, text, matches] of cases) {
    assert.equal(compilePattern(pattern).matches(text), matches, `${pattern} on ${text}`)
  }
  assert.equal(compilePattern('latest').isIn('a-latest-1'), true)
})

test('a pattern that is none says why', () => {
  const wrong = ['(', 'a{1001}', '(?=a)', '(?<!a)b', '\\1', '[z-a]', '*', '((a{99}){99}){99}']
  for (const text of wrong) {
    assert.throws(() => compilePattern(text), /error parsing regexp: .+: `/, text)
  }
  assert.throws(() => compilePattern('(a{40}){25}'), /instructions, more than 1000/)
  assert.throws(() => compilePattern('a{20}', 10), /instructions, more than 10:/)
})

test('no pattern needs more than linear time', () => {
  const patterns = ['(a+)+b', '(a|aa)*b', '(a*)*b', '(.*.*.*.*)x', '(a?){100}a{100}']
  const text = 'a'.repeat(128)
  for (const pattern of patterns) {
    const compiled = compilePattern(pattern)
    const startedAt = performance.now()
    for (let i = 0; i < 10; i++) compiled.matches(text)
    const tookMs = performance.now() - startedAt
    assert.ok(tookMs < 500, `${pattern}: ${tookMs} ms`)
  }
})

// Goal: a licence that is not allowed stops the build. Method: a table of expressions.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isAllowed } from '../../scripts/licences.ts'

test('an expression is allowed by one side of OR and by both sides of AND', () => {
  const cases: readonly (readonly [expression: string, expected: boolean])[] = [
    ['MIT', true],
    ['(MIT AND Zlib)', true],
    ['GPL-3.0-only OR MIT', true],
    ['MIT AND GPL-3.0-only', false],
    ['AGPL-3.0-only', false],
    ['UNLICENSED', false],
    ['none stated', false],
    ['', false],
  ]
  for (const [expression, expected] of cases)
    assert.equal(isAllowed(expression), expected, expression)
})

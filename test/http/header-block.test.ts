// Goal: headers that every reply carries are joined once and rightly for each listener.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HeaderBlock, type HeaderPair } from '../../src/http/header-block.ts'

const block = new HeaderBlock([
  ['Content-Type', 'text/plain'],
  ['X-Second', 'two'],
])
const secure: readonly HeaderPair[] = [['Strict-Transport-Security', 'max-age=1']]

const text = (written: string | ArrayBuffer): string =>
  typeof written === 'string' ? written : new TextDecoder().decode(written)

test('the lines of a block carry the listener’s own behind them, as text and as bytes', () => {
  const lines = block.linesWith(secure)
  assert.equal(text(lines.name), 'Content-Type')
  for (let round = 0; round < 3; round++) {
    const expected = 'text/plain\r\nX-Second: two\r\nStrict-Transport-Security: max-age=1'
    assert.equal(text(lines.rest), expected)
  }
})

test('listeners with different headers share a block and get their own lines, once made', () => {
  const others = Array.from({ length: 8 }, (_none, at): readonly HeaderPair[] => [
    ['X-At', `${at}`],
  ])
  const first = block.linesWith(secure)
  for (let round = 0; round < 3; round++) {
    for (const [at, more] of others.entries()) {
      assert.ok(text(block.linesWith(more).rest).endsWith(`X-At: ${at}`))
    }
    assert.equal(block.linesWith(secure), first)
  }
})

test('a block without headers has those of the listener, or none', () => {
  const empty = new HeaderBlock([])
  assert.equal(empty.linesWith([]).isEmpty, true)
  const lines = empty.linesWith(secure)
  assert.equal(lines.isEmpty, false)
  assert.equal(`${text(lines.name)}: ${text(lines.rest)}`, 'Strict-Transport-Security: max-age=1')
})

test('a length is one more line, remembered for one length at a time', () => {
  const lines = block.linesWith([])
  for (const length of [5, 5, 5, 0, 0, 7, 5]) {
    assert.ok(text(lines.restWithLength(length)).endsWith(`two\r\nContent-Length: ${length}`))
  }
})

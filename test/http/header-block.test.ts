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
  const expected =
    '200 OK\r\nContent-Type: text/plain\r\nX-Second: two\r\nStrict-Transport-Security: max-age=1'
  for (let round = 0; round < 3; round++) assert.equal(text(lines.head('200 OK')), expected)
})

test('listeners with different headers share a block and get their own lines, once made', () => {
  const others = Array.from({ length: 8 }, (_none, at): readonly HeaderPair[] => [
    ['X-At', `${at}`],
  ])
  const first = block.linesWith(secure)
  for (let round = 0; round < 3; round++) {
    for (const [at, more] of others.entries()) {
      assert.ok(text(block.linesWith(more).head('200 OK')).endsWith(`X-At: ${at}`))
    }
    assert.equal(block.linesWith(secure), first)
  }
})

test('a block without headers has those of the listener, or none', () => {
  const empty = new HeaderBlock([])
  assert.equal(text(empty.linesWith([]).head('204 No Content')), '204 No Content')
  const secured = text(empty.linesWith(secure).head('200 OK'))
  assert.equal(secured, '200 OK\r\nStrict-Transport-Security: max-age=1')
})

test('a status and a length are remembered one at a time', () => {
  const lines = block.linesWith([])
  for (const [status, length] of [
    ...[['200 OK', 5] as const, ['200 OK', 5] as const, ['200 OK', 5] as const],
    ...[['200 OK', 0] as const, ['404 Not Found', 0] as const, ['200 OK', undefined] as const],
    ...[['200 OK', 7] as const, ['200 OK', 5] as const],
  ]) {
    const ending = length === undefined ? '' : `\r\nContent-Length: ${length}`
    const expected = `${status}\r\nContent-Type: text/plain\r\nX-Second: two${ending}`
    assert.equal(text(lines.head(status, length)), expected)
  }
})

// Goal: errors name the right line. Method: hand-written traps, then texts made from random trees.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parse, stringify } from 'smol-toml'
import { findLines, pathKey } from '../../src/config/toml-lines.ts'

function lineOf(text: string, ...path: readonly string[]): number | undefined {
  parse(text)
  return findLines(text).get(pathKey(path))
}

test('headers, dotted keys and quoted keys are found', () => {
  const text =
    '\ufeffa = 1\r\n\r\n[ b . "c.d" ] # x\r\n  \'e\' . f = 2\r\n"\\u0067" = 3\n[[h]]\ni=1\n'
  assert.equal(lineOf(text, 'a'), 1)
  assert.equal(lineOf(text, 'b', 'c.d'), 3)
  assert.equal(lineOf(text, 'b', 'c.d', 'e'), 4)
  assert.equal(lineOf(text, 'b', 'c.d', 'e', 'f'), 4)
  assert.equal(lineOf(text, 'b', 'c.d', 'g'), 5)
  assert.equal(lineOf(text, 'h', '0', 'i'), 7)
})

test('nothing inside a value looks like a key', () => {
  const text = [
    'a = [ # ]',
    '  "[x]", \'"\', # "',
    "  '''",
    'y = 1',
    "  ''''', ",
    ']',
    'b = "\\"\\\\" # [z]',
    'c = """',
    '[d]',
    'e = 1 \\""" \\',
    '""""',
    'f = { g = "}", h = [1, 2] }',
    'last = true',
  ].join('\n')
  assert.deepEqual(
    [...findLines(text)].map(([key, line]) => `${key}${line}`),
    [
      '["a"]1',
      '["a","0"]2',
      '["a","1"]2',
      '["a","2"]3',
      '["b"]7',
      '["c"]8',
      '["f"]12',
      '["last"]13',
    ],
  )
  assert.equal(lineOf(text, 'last'), 13)
})

test('every item of an array is found, whatever stands between them', () => {
  const text = [
    'a = [1, [2, 3], { b = [4] }, # 5,',
    '  # "6",',
    '  "7,",',
    '',
    "  '''",
    "8,''',",
    '  9,',
    '] # ,',
    'c = []',
    'd = { e = [1, 2] }',
  ].join('\n')
  const items = [...Array(7).keys()].map((index) => lineOf(text, 'a', String(index)))
  assert.deepEqual(items, [1, 1, 1, 3, 5, 7, undefined])
  assert.equal(lineOf(text, 'c', '0'), undefined)
  assert.equal(lineOf(text, 'd', '0'), undefined)
})

test('each table of an array of tables has its own lines, and so have the tables below it', () => {
  const text =
    '[a]\n[[a.b]]\nc = 1\n[a.b.d]\ne = 2\n[[a.b.f]]\n[[a.b.f]]\n[[a.b]]\nc = 3\n[[a.b.f]]\ng = 4'
  assert.equal(lineOf(text, 'a', 'b'), 2)
  assert.equal(lineOf(text, 'a', 'b', '0'), 2)
  assert.equal(lineOf(text, 'a', 'b', '0', 'c'), 3)
  assert.equal(lineOf(text, 'a', 'b', '0', 'd', 'e'), 5)
  assert.equal(lineOf(text, 'a', 'b', '0', 'f', '1'), 7)
  assert.equal(lineOf(text, 'a', 'b', '1'), 8)
  assert.equal(lineOf(text, 'a', 'b', '1', 'c'), 9)
  assert.equal(lineOf(text, 'a', 'b', '1', 'f', '0', 'g'), 11)
})

test('a table has the line of its own header even when a table below it came first', () => {
  assert.equal(lineOf('[a.b]\nc = 1\n[a]\nd = 1', 'a'), 3)
})

test('every key of a random document is found on a line that has it', () => {
  const value = fc.oneof(fc.string({ unit: 'grapheme' }), fc.integer(), fc.boolean())
  const { tree } = fc.letrec((tie) => ({
    tree: fc.dictionary(
      fc.string({ maxLength: 6 }),
      fc.oneof({ depthSize: 'small' }, value, fc.array(value), tie('tree'), fc.array(tie('tree'))),
      { maxKeys: 5 },
    ),
  }))
  fc.assert(
    fc.property(tree as fc.Arbitrary<Record<string, unknown>>, (document) => {
      const text = stringify(document)
      const lines = findLines(text)
      const written = text.split('\n')
      for (const [key, line] of lines) {
        const last = lastName(document, JSON.parse(key) as string[])
        const bare = stringify({ [last]: 0 }).replace(/ = 0\n$/, '')
        assert.ok(written[line - 1]?.includes(bare), `${key} is not on line ${line} of\n${text}`)
      }
      for (const [key, item] of Object.entries(document)) {
        const empty = typeof item === 'object' && Object.keys(item as object).length === 0
        if (!empty) assert.ok(lines.has(pathKey([key])), `${JSON.stringify(key)} of\n${text}`)
      }
    }),
  )
})

// The last part of a path that is a key and not the index of an item.
function lastName(document: unknown, path: readonly string[]): string {
  let name = ''
  let at = document
  for (const part of path) {
    if (!Array.isArray(at)) name = part
    at = (at as Record<string, unknown>)[part]
  }
  return name
}

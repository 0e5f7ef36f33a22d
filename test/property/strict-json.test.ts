// Goal: strict JSON accepts all that JSON.parse does but for what it is there to refuse, with the same value.
// Method: random documents, printed with random escapes, and an independent count of their keys and depth.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseStrictJson } from '../../src/oci/strict-json.ts'

/** A document as nested pairs, so that one object can hold a key twice. */
type Node =
  | string
  | number
  | boolean
  | null
  | { readonly items: readonly Node[] }
  | { readonly members: readonly (readonly [key: string, value: Node])[] }

const word = fc.oneof(
  fc.constantFrom(
    'a',
    'b',
    '',
    '"',
    '\\',
    '\\"',
    '/',
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '\n',
    '\u0000',
  ),
  fc.constantFrom('__proto__', '__proto_', 'constructor', 'é', '😀', '\ud800', '€'),
  fc.string(),
)

const { node } = fc.letrec<{ node: Node; members: Node; items: Node }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small' },
    fc.oneof(word, fc.integer(), fc.boolean(), fc.constant(null)),
    tie('members'),
    tie('items'),
  ),
  members: fc.record({ members: fc.array(fc.tuple(word, tie('node')), { maxLength: 12 }) }),
  items: fc.record({ items: fc.array(tie('node'), { maxLength: 4 }) }),
}))

const escapeStyle = fc.infiniteStream(fc.nat(3))

/** Print with some characters of each string escaped though they need not be. */
function print(value: Node, style: Iterator<number>): string {
  if (typeof value === 'string') {
    return `"${[...value].map((c) => printCharacter(c, style.next().value)).join('')}"`
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if ('items' in value) return `[${value.items.map((item) => print(item, style)).join(' , ')}]`
  const members = value.members.map(([key, of]) => `${print(key, style)}:${print(of, style)}`)
  return `{${members.join(',')}}`
}

function printCharacter(c: string, style: number): string {
  if (style > 0) return JSON.stringify(c).slice(1, -1)
  const units = Array.from({ length: c.length }, (_, i) => c.charCodeAt(i))
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
}

function depth(value: Node): number {
  if (typeof value !== 'object' || value === null) return 0
  const inner = 'items' in value ? value.items : value.members.map(([, member]) => member)
  return 1 + Math.max(0, ...inner.map(depth))
}

/** Keys of each object, outermost first. */
function objects(value: Node): string[][] {
  if (typeof value !== 'object' || value === null) return []
  if ('items' in value) return value.items.flatMap(objects)
  return [value.members.map(([key]) => key), ...value.members.flatMap(([, of]) => objects(of))]
}

test('a document is refused for its keys and its depth alone', () => {
  const depthMax = 4
  fc.assert(
    fc.property(node, escapeStyle, (value, style) => {
      const text = print(value, style[Symbol.iterator]())
      const parsed: unknown = JSON.parse(text)
      const bytes = Buffer.from(text)
      const keys = objects(value)
      const isRepeated = keys.some((of) => new Set(of).size < of.length)
      const isProto = keys.some((of) => of.includes('__proto__'))
      const isDeep = depth(value) > depthMax
      const json = parseStrictJson(bytes, { depthMax })
      assert.equal(json.ok, !(isRepeated || isProto || isDeep), text)
      if (json.ok) assert.deepEqual(json.value, parsed)
    }),
    { numRuns: 3000 },
  )
})

test('text that JSON.parse refuses is refused', () => {
  const near = fc.string({ unit: fc.constantFrom(...'{}[]",:\\u0a1 -e.tn'), maxLength: 20 })
  fc.assert(
    fc.property(near, (text) => {
      const json = parseStrictJson(Buffer.from(text), { depthMax: 32 })
      let value: unknown
      try {
        value = JSON.parse(text)
      } catch {
        assert.ok(!json.ok, text)
        return
      }
      if (json.ok) assert.deepEqual(json.value, value)
      else assert.equal(json.reason, 'has a duplicate key')
    }),
    { numRuns: 5000 },
  )
})

test('any bytes are answered and never thrown at the caller', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const json = parseStrictJson(bytes, { depthMax: 8, keysMax: 4, valuesMax: 16 })
      if (!json.ok) assert.ok(json.reason.length > 0)
    }),
    { numRuns: 5000 },
  )
})

// Goal: the schema keeps its own rules. Method: walk every row.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Entry, Section } from '../../src/config/entry.ts'
import { unsupportedNames } from '../../src/config/hint.ts'
import { schema } from '../../src/config/schema.ts'
import { parseValue } from '../../src/config/value.ts'

const sections: readonly (readonly [string, Section])[] = Object.entries(schema)
const rows: readonly (readonly [string, Entry])[] = sections.flatMap(([table, section]) =>
  Object.entries(section.keys).map(([key, entry]) => [`${table}.${key}`, entry] as const),
)

test('every default and every example is a value that its row allows', () => {
  for (const [name, entry] of rows) {
    const written = 'default' in entry ? entry.default : entry.example
    assert.notEqual(parseValue(entry, written, '/etc/keelson/config.toml'), undefined, name)
  }
})

test('both bounds of a row are values that the row allows, and those beyond are not', () => {
  for (const [name, entry] of rows) {
    if (!('min' in entry)) continue
    assert.notEqual(parseValue(entry, entry.min, ''), undefined, name)
    assert.notEqual(parseValue(entry, entry.max, ''), undefined, name)
    if (typeof entry.min !== 'number' || typeof entry.max !== 'number') continue
    assert.equal(parseValue(entry, entry.min - 1, ''), undefined, name)
    assert.equal(parseValue(entry, entry.max + 1, ''), undefined, name)
  }
})

test('the field of a duration ends in Ms and that of a size in Bytes, and no other does', () => {
  for (const [name, { kind, field }] of rows) {
    const suffix = /(Ms|Bytes)$/.exec(field)?.[1]
    const expected = kind === 'duration' ? 'Ms' : kind === 'size' ? 'Bytes' : undefined
    assert.equal(suffix, expected, name)
  }
})

test('every row and table says in one sentence what it is for', () => {
  for (const [name, { doc }] of rows) assert.match(doc, /^[A-Z`].*\.$/, name)
  for (const [name, { doc }] of sections) assert.match(doc, /^[A-Z`].*\.$/, name)
})

test('a name that is not supported yet is not in the schema', () => {
  const names = [...sections.map(([table]) => table), ...rows.map(([name]) => name)]
  for (const name of unsupportedNames) assert.ok(!names.includes(name), name)
})

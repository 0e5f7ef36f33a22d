// What counts as a user name and a password, and what as no credential at all.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseAuthorization } from '../../src/authenticate/authorization.ts'

function basic(text: string | Uint8Array): string {
  return `Basic ${Buffer.from(text).toString('base64')}`
}

describe('an Authorization header', () => {
  test('Basic holds a user name and a password, which may hold colons', () => {
    const parsed = parseAuthorization(basic('ci:a:b'))
    assert.deepEqual(parsed, { scheme: 'basic', username: 'ci', password: 'a:b' })
  })

  test('Basic is UTF-8', () => {
    const parsed = parseAuthorization(basic('jürgen:pässwort'))
    assert.deepEqual(parsed, { scheme: 'basic', username: 'jürgen', password: 'pässwort' })
  })

  test('a mark of the byte order is a part of the name', () => {
    const parsed = parseAuthorization(basic('\ufeffci:x'))
    assert.deepEqual(parsed, { scheme: 'basic', username: '\ufeffci', password: 'x' })
  })

  test('the scheme may be written in any case and followed by more spaces', () => {
    const parsed = parseAuthorization(basic('ci:x').replace('Basic ', 'bAsIc   '))
    assert.deepEqual(parsed, { scheme: 'basic', username: 'ci', password: 'x' })
  })

  test('an empty password is a password', () => {
    const parsed = parseAuthorization(basic('ci:'))
    assert.deepEqual(parsed, { scheme: 'basic', username: 'ci', password: '' })
  })

  test('Bearer holds a token', () => {
    const parsed = parseAuthorization('Bearer eyJ.a-b_c.~x==')
    assert.deepEqual(parsed, { scheme: 'bearer', token: 'eyJ.a-b_c.~x==' })
  })

  for (const [what, header] of [
    ['no user name', basic(':secret')],
    ['no colon', basic('ci')],
    ['control characters', basic('ci:a\nb')],
    ['bytes that are no UTF-8', basic(Uint8Array.of(0x63, 0x3a, 0xff, 0xfe))],
    ['characters outside base64', 'Basic Y2k6eA%%'],
    ['nothing after the scheme', 'Basic '],
    ['two values', 'Basic Y2k6eA== Y2k6eA=='],
    ['another scheme', 'Digest Y2k6eA=='],
  ] as const) {
    test(`${what}: no credential`, () => {
      assert.deepEqual(parseAuthorization(header), { scheme: 'unknown' })
    })
  }
})

// Which passwords `keelson argon` takes.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { weakness } from '../../src/cli/password-strength.ts'

describe('a password', () => {
  const refused: ReadonlyArray<readonly [password: string, because: RegExp]> = [
    ['', /0 characters/],
    ['elevenchars', /at least 12/],
    ['aaaaaaaaaaaaaa', /repeats/],
    ['abababababab', /repeats/],
    ['abcdefghijklmno', /sequence/],
    ['password1234', /common/],
    ['1234Password!', /common/],
    ['P@ssw0rd2026!', /common/],
    ['!!!changeme!!!', /common/],
    ['secretsecretsecret', /common/],
    ['qwertyuiop12', /common/],
    ['x'.repeat(300), /at most 256/],
    ['correct\u0000horse battery', /control/],
  ]
  for (const [password, because] of refused) {
    test(`${JSON.stringify(password.slice(0, 30))} is refused`, () => {
      assert.match(weakness(password) ?? 'taken', because)
    })
  }

  for (const password of [
    'correct horse battery',
    'tuesday-fjord-lemon',
    'jX3$kq9!vbT2',
    'pässwörter-und-mehr',
    'a very long phrase that nobody says',
  ]) {
    test(`${JSON.stringify(password)} is taken`, () => assert.equal(weakness(password), undefined))
  }
})

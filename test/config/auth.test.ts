// Users in the configuration: what is taken, what is refused, and what is never shown.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import { ConfigError } from '../../src/config/problem.ts'
import type { Config } from '../../src/config/schema.ts'
import { formatConfig } from '../../src/config/summary.ts'

const store = '[blob_store.memory]\n[metadata_store.memory]\n'
const hash = '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNo'

function parse(text: string): Config {
  return parseConfig([{ file: '/etc/keelson/config.toml', text: `${store}${text}` }])
}

function problemsOf(text: string): readonly string[] {
  try {
    parse(text)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.problems.map(({ line, key, message }) => `${line}: ${key}: ${message}`)
  }
  return []
}

describe('users', () => {
  test('each has the id of its table', () => {
    const { auth } = parse(`
[auth]
htpasswd = "users"
[auth.identity.build]
username = "ci"
password = "${hash}"
groups = ["builders"]
password_expires = 2030-01-31T12:00:00Z
[auth.identity."on call"]
username = "ops"
password = { env = "PATH" }
`)
    assert.equal(auth.htpasswd, '/etc/keelson/users')
    assert.deepEqual(
      auth.identities.map(({ id, username, groups, passwordExpires, place }) => [
        ...[id, username, groups, passwordExpires, place.line],
      ]),
      [
        ['build', 'ci', ['builders'], Date.UTC(2030, 0, 31, 12), 8],
        ['on call', 'ops', [], undefined, 13],
      ],
    )
    assert.equal(auth.identities[0]?.password.reveal(), hash)
  })

  test('the password is never printed', () => {
    const config = parse(`[auth.identity.a]\nusername = "a"\npassword = "${hash}"\n`)
    const text = formatConfig(config) + JSON.stringify(config)
    assert.match(text, /\[auth\.identity\.a\]\nusername = "a"\npassword = "\*\*\*"/)
    assert.doesNotMatch(text, /argon2id/)
  })

  test('a moment is printed as it can be read again', () => {
    const text = `[auth.identity.a]
username = "a"
password = { env = "PATH" }
password_expires = "2030-01-31T12:00:00+02:00"
`
    const printed = formatConfig(parse(text))
    assert.match(printed, /password_expires = "2030-01-31T10:00:00\.000Z"/)
    assert.equal(
      parseConfig([{ file: '/etc/keelson/config.toml', text: printed }]).auth.identities[0]
        ?.passwordExpires,
      Date.UTC(2030, 0, 31, 10),
    )
  })

  const refusals: ReadonlyArray<readonly [what: string, text: string, problem: string]> = [
    [
      'a name that two users have',
      `[auth.identity.a]\nusername = "x"\npassword = "${hash}"\n[auth.identity.b]\nusername = "x"\npassword = "${hash}"`,
      '7: auth.identity.b.username: expected another name than that of auth.identity.a; found "x"',
    ],
    [
      'a name with a colon',
      `[auth.identity.a]\nusername = "x:y"\npassword = "${hash}"`,
      '4: auth.identity.a.username: expected a name without a colon',
    ],
    [
      'a user without a password',
      '[auth.identity.a]\nusername = "x"',
      '3: auth.identity.a.password: is missing: expected a string, or one of { env = "NAME" }, { file = "PATH" }, { credential = "NAME" }',
    ],
    [
      'a misspelt key',
      `[auth.identity.a]\nusername = "x"\npassword = "${hash}"\ngroup = []`,
      '6: auth.identity.a.group: is not a known key: did you mean auth.identity.a.groups?',
    ],
    [
      'a moment without an offset, which each host would take for another',
      `[auth.identity.a]\nusername = "x"\npassword = "${hash}"\npassword_expires = "2030-01-31T12:00:00"`,
      '6: auth.identity.a.password_expires: expected a date and time with an offset, such as 2030-01-31T12:00:00Z; found "2030-01-31T12:00:00"',
    ],
    [
      'a value where the users are',
      '[auth]\nidentity = "x"',
      '4: auth.identity: expected tables, [auth.identity.<id>]; found "x"',
    ],
    [
      'a value in place of a user',
      '[auth.identity]\na = "x"',
      '4: auth.identity.a: expected a table; found "x"',
    ],
  ]
  for (const [what, text, problem] of refusals) {
    test(`${what} is refused`, () => assert.deepEqual(problemsOf(text), [problem]))
  }
})

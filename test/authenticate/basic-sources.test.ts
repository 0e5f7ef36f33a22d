// Goal: whoever else knows users is asked about names that the configuration does not have, and can
// never become one of its users or another's. Method: sources that answer as each test says.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type BasicUser,
  BasicUsers,
  foldedUsername,
  type LoginOutcome,
  type LoginUser,
  type PasswordSource,
} from '../../src/authenticate/basic.ts'
import { OciError } from '../../src/oci/error.ts'

const ci: BasicUser = {
  id: 'build',
  username: 'ci',
  passwordHash: 'hash of secret',
  groups: [],
  expiresAtMs: undefined,
}

const alice: LoginUser = {
  id: 'ldap:corp',
  username: 'alice',
  groups: ['builders'],
  expiresAtMs: undefined,
  authMethod: 'ldap',
}

interface Source extends PasswordSource {
  readonly asked: string[]
}

function source(answer: (username: string) => LoginOutcome | Error): Source {
  const asked: string[] = []
  return {
    asked,
    check: async (username) => {
      asked.push(username)
      const outcome = answer(username)
      if (outcome instanceof Error) throw outcome
      return outcome
    },
  }
}

function basic(sources: readonly PasswordSource[], users: readonly BasicUser[] = [ci]) {
  const hashed: string[] = []
  const verify = async (hash: string, password: string): Promise<boolean> => {
    hashed.push(password)
    return hash === `hash of ${password}`
  }
  return { users: new BasicUsers({ users, verify, now: () => 0, sources }), hashed }
}

const success = (user: LoginUser): LoginOutcome => ({ result: 'success', user })

test('a user of the configuration is never asked for elsewhere, right or wrong', async () => {
  const other = source(() => success({ ...alice, username: 'ci' }))
  const { users } = basic([other])
  assert.equal((await users.check('ci', 'secret')).result, 'success')
  assert.equal((await users.check('ci', 'wrong')).result, 'wrong-password')
  assert.deepEqual(other.asked, [])
})

test('another name is the one that the source gives it', async () => {
  const { users } = basic([source(() => success(alice))])
  assert.deepEqual(await users.check('ALICE', 'x'), success(alice))
})

test('no source has a user with a name of the configuration', async () => {
  const { users } = basic([source(() => success({ ...alice, username: 'ci' }))])
  assert.deepEqual(await users.check('CI', 'x'), { result: 'unfit-user' })
  const written = basic([source(() => success({ ...alice, username: 'Ci' }))])
  assert.deepEqual(await written.users.check('CI', 'x'), { result: 'unfit-user' })
})

test('the first source that knows a name decides', async () => {
  const first = source((name) =>
    name === 'alice' ? { result: 'wrong-password' } : { result: 'unknown-user' },
  )
  const second = source((name) => success({ ...alice, username: name }))
  const { users } = basic([first, second])
  assert.deepEqual(await users.check('alice', 'x'), { result: 'wrong-password' })
  assert.deepEqual(second.asked, [])
  assert.equal((await users.check('bob', 'x')).result, 'success')
})

test('a source that cannot say hands the name on to nobody', async () => {
  const away = source(() => new OciError('UNAVAILABLE'))
  const second = source(() => success(alice))
  await assert.rejects(basic([away, second]).users.check('alice', 'x'), { code: 'UNAVAILABLE' })
  assert.deepEqual(second.asked, [])
})

test('a later source gives no name but the one that was typed', async () => {
  const first = source(() => ({ result: 'unknown-user' }))
  const { users } = basic([first, source(() => success(alice))])
  assert.equal((await users.check('Alice', 'x')).result, 'success')
  // By mail, say; the first source may know another alice.
  assert.deepEqual(await users.check('alice@example.org', 'x'), { result: 'unfit-user' })
})

test('beside users of the configuration each other name takes a hash, without them none does', async () => {
  const beside = basic([source(() => success(alice))])
  await beside.users.check('alice', 'x')
  assert.deepEqual(beside.hashed, ['x'])
  const alone = basic([source(() => success(alice))], [])
  await alone.users.check('alice', 'x')
  assert.deepEqual(alone.hashed, [])
  const nobody = basic([], [])
  await nobody.users.check('alice', 'x')
  assert.deepEqual(nobody.hashed, ['x'])
})

test('a source counts as somebody who could log in', () => {
  assert.equal(basic([], []).users.size, 0)
  assert.equal(basic([source(() => success(alice))], []).users.size, 1)
})

test('guesses are counted by one name for all its ways, but for users of the configuration', () => {
  const { users } = basic([], [ci, { ...ci, username: 'CI' }])
  assert.deepEqual(
    ['ci', 'CI', 'Ci', 'Alice'].map((name) => users.countedName(name)),
    [...['ci', 'CI', 'ci', 'alice']],
  )
})

test('ways to write a name that a directory takes for one count as one', () => {
  const ways = ['alice', 'ALICE', ' alice ', 'ａｌｉｃｅ', 'Alice']
  assert.deepEqual([...new Set(ways.map(foldedUsername))], ['alice'])
  assert.equal(foldedUsername('a  b'), 'a b')
})

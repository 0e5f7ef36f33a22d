// Which lines of an htpasswd file make a user, and what is said of the others.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { hashProblem, parseHtpasswd } from '../../src/authenticate/htpasswd.ts'

const bcrypt = `$2y$05$${'a'.repeat(53)}`
const argon = '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNo'

describe('an htpasswd file', () => {
  test('gives a user for each line, whatever the line ends', () => {
    const { users, problems } = parseHtpasswd(`# team\n\nci:${bcrypt}\r\ndev:${argon}\n`)
    assert.deepEqual(problems, [])
    assert.deepEqual(
      users.map(({ id, username, passwordHash }) => [id, username, passwordHash]),
      [
        ['ci', 'ci', bcrypt],
        ['dev', 'dev', argon],
      ],
    )
  })

  test('each bad line is named, and none of its hash is shown', () => {
    const lines = [
      'ci:$apr1$salt$SECRETSECRET',
      'dev:{SHA}SECRETSECRETSECRET=',
      'ops:SECRET',
      ':SECRET',
      'nothing',
      `twice:${bcrypt}`,
      `twice:${argon}`,
      `slow:$2y$20$${'a'.repeat(53)}`,
    ]
    const { users, problems } = parseHtpasswd(lines.join('\n'))
    assert.deepEqual(
      users.map(({ username }) => username),
      ['twice'],
    )
    assert.deepEqual(
      problems.map(({ line }) => line),
      [1, 2, 3, 4, 5, 7, 8],
    )
    assert.doesNotMatch(JSON.stringify(problems), /SECRET/)
  })

  test('hashes with hostile parameters are not taken', () => {
    assert.equal(hashProblem(argon), undefined)
    for (const hash of [argon.replace('19456', '9999999'), argon.replace('argon2id', 'argon2i')]) {
      assert.match(hashProblem(hash) ?? '', /argon2id/)
    }
  })
})

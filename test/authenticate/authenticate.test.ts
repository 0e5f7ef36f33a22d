// Who a request is taken for: certificates, passwords, both, wrong ones, and guessers.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Authenticator, Credentials } from '../../src/authenticate/authenticate.ts'
import type { BasicUser, VerifyPassword } from '../../src/authenticate/basic.ts'
import { createAuthenticator } from '../../src/authenticate/create.ts'
import { anonymous, type Identity } from '../../src/authenticate/identity.ts'
import type { LoginEvent } from '../../src/authenticate/login-event.ts'
import type { ClientCertificate } from '../../src/http/client-certificate.ts'
import { OciError } from '../../src/oci/error.ts'
import { AuthCounts } from '../../src/telemetry/auth-counts.ts'

const user: BasicUser = {
  id: 'build',
  username: 'ci',
  passwordHash: 'hash of secret',
  groups: ['builders'],
  expiresAtMs: undefined,
}

const certificate: ClientCertificate = {
  commonNames: ['agent-1'],
  organizations: ['Infrastructure'],
  sans: { dns: [], uri: [], email: [] },
  serial: '01',
  fingerprintSha256: 'ab'.repeat(32),
  notAfterMs: 9e12,
}

interface Scene {
  readonly authenticator: Authenticator
  readonly counts: AuthCounts
  readonly events: LoginEvent[]
  /** Passwords that were hashed. */
  readonly hashed: string[]
  advance(ms: number): void
  ask(options?: Ask): Promise<Identity>
}

interface Ask {
  readonly login?: string
  readonly certificate?: ClientCertificate
  readonly isLogin?: boolean
  readonly address?: string
}

function scene(users: readonly BasicUser[] = [user], verify?: VerifyPassword): Scene {
  let nowMs = 1_000_000
  const hashed: string[] = []
  const events: LoginEvent[] = []
  const counts = new AuthCounts()
  const authenticator = createAuthenticator({
    users,
    verifyPassword: (hash, password) => {
      hashed.push(password)
      return verify?.(hash, password) ?? Promise.resolve(hash === `hash of ${password}`)
    },
    oidc: undefined,
    counts,
    onLogin: (event) => events.push(event),
    now: () => nowMs,
    elapsed: () => nowMs,
  })
  return {
    authenticator,
    counts,
    events,
    hashed,
    advance: (ms) => {
      nowMs += ms
    },
    // As the pipeline calls it, a throw becomes a rejection.
    ask: async (options = {}) => {
      const { login, isLogin = false, address = '192.0.2.1' } = options
      const header = login === undefined ? '' : `Basic ${Buffer.from(login).toString('base64')}`
      const request: Credentials = {
        certificate: options.certificate,
        remoteAddress: address,
        header: (name) => (name === 'authorization' ? header : ''),
        headerLines: () => [],
      }
      return authenticator.authenticate(request, isLogin, () => address)
    },
  }
}

function refusal(status: number): (error: unknown) => boolean {
  return (error) => error instanceof OciError && error.status === status
}

describe('who a request comes from', () => {
  test('without a credential: nobody', async () => {
    assert.equal(await scene().ask(), anonymous)
  })

  test('with the right password: the user, with groups', async () => {
    const identity = await scene().ask({ login: 'ci:secret' })
    const { id, username, groups, authMethod, certificate: shown } = identity
    assert.deepEqual(
      { id, username, groups, authMethod, shown },
      { id: 'build', username: 'ci', groups: ['builders'], authMethod: 'basic', shown: null },
    )
  })

  test('with the wrong password or an unknown name: nobody, and one hash each', async () => {
    const { ask, hashed } = scene()
    assert.equal(await ask({ login: 'ci:wrong' }), anonymous)
    assert.equal(await ask({ login: 'who:secret' }), anonymous)
    assert.deepEqual(hashed, ['wrong', 'secret'])
  })

  test('an unknown name is checked against the hash of some user, always the same, and never let in', async () => {
    const slow = { ...user, id: 'slow', username: 'slow', passwordHash: '$2y$12$slow' }
    const seen: string[] = []
    const { ask } = scene([user, slow], (hash) => {
      seen.push(hash)
      return Promise.resolve(true)
    })
    const names = Array.from({ length: 40 }, (_, i) => `nobody-${i}`)
    for (const [i, name] of [...names, ...names].entries()) {
      // Another password and address each time, or it would be remembered or taken for a guess.
      const identity = await ask({ login: `${name}:${i}`, address: `192.0.2.${i}` })
      assert.equal(identity, anonymous)
    }
    assert.deepEqual(seen.slice(0, 40), seen.slice(40))
    assert.equal(new Set(seen).size, 2)
  })

  test('with an empty name and password, as podman sends: nobody, and no failure', async () => {
    const { ask, counts, hashed } = scene()
    assert.equal(await ask({ login: ':' }), anonymous)
    await assert.rejects(ask({ login: ':', isLogin: true }), refusal(401))
    assert.deepEqual([...counts.entries()], [])
    assert.deepEqual(hashed, [])
  })

  test('with a certificate: its bearer, the same object for each request', async () => {
    const { ask } = scene()
    const identity = await ask({ certificate })
    assert.equal(identity.certificate, certificate)
    assert.equal(identity.authMethod, 'mtls')
    assert.equal(identity.username, null)
    assert.equal(await ask({ certificate }), identity)
  })

  test('with both: one identity with both parts', async () => {
    const { ask } = scene()
    const identity = await ask({ certificate, login: 'ci:secret' })
    assert.equal(identity.username, 'ci')
    assert.equal(identity.certificate, certificate)
    assert.equal(identity.authMethod, 'basic')
    assert.equal(await ask({ certificate, login: 'ci:secret' }), identity)
  })

  test('a wrong password takes nothing from a certificate', async () => {
    const identity = await scene().ask({ certificate, login: 'ci:wrong' })
    assert.equal(identity.certificate, certificate)
    assert.equal(identity.username, null)
  })

  test('where nobody has a password, credentials identify nobody and nothing is hashed', async () => {
    const { ask, hashed } = scene([])
    assert.equal(await ask({ login: 'ci:secret', isLogin: true }), anonymous)
    assert.deepEqual(hashed, [])
  })

  test('a password that has expired is refused, also while it is remembered', async () => {
    const { ask, advance } = scene([{ ...user, expiresAtMs: 1_060_000 }])
    assert.equal((await ask({ login: 'ci:secret' })).username, 'ci')
    advance(60_000)
    assert.equal(await ask({ login: 'ci:secret' }), anonymous)
  })
})

describe('the login itself', () => {
  test('a wrong password is refused', async () => {
    await assert.rejects(scene().ask({ login: 'ci:wrong', isLogin: true }), refusal(401))
  })

  test('it is refused again when it is remembered', async () => {
    const { ask, hashed } = scene()
    for (let i = 0; i < 3; i += 1) {
      await assert.rejects(ask({ login: 'ci:wrong', isLogin: true }), refusal(401))
    }
    assert.equal(hashed.length, 1)
  })

  test('no credential is refused with a challenge, so that clients log in', async () => {
    const asked = scene().ask({ isLogin: true })
    await assert.rejects(asked, (error) => {
      assert.ok(error instanceof OciError)
      assert.deepEqual(error.headers, [['WWW-Authenticate', 'Basic realm="keelson"']])
      return error.status === 401
    })
  })

  test('a certificate alone will do', async () => {
    const identity = await scene().ask({ certificate, isLogin: true })
    assert.equal(identity.certificate, certificate)
  })

  test('a malformed credential is refused', async () => {
    await assert.rejects(scene().ask({ login: 'no colon', isLogin: true }), refusal(401))
  })
})

describe('what is remembered', () => {
  test('a credential is hashed once, for many requests at a time and after', async () => {
    const { ask, hashed } = scene()
    const asked = Array.from({ length: 20 }, () => ask({ login: 'ci:secret' }))
    const identities = new Set(await Promise.all(asked))
    identities.add(await ask({ login: 'ci:secret' }))
    assert.equal(identities.size, 1)
    assert.deepEqual(hashed, ['secret'])
  })

  test('a remembered credential is answered without a promise', async () => {
    const { ask, authenticator } = scene()
    await ask({ login: 'ci:secret' })
    const header = `Basic ${Buffer.from('ci:secret').toString('base64')}`
    const request: Credentials = {
      certificate: undefined,
      remoteAddress: '',
      header: () => header,
      headerLines: () => [],
    }
    const identity = authenticator.authenticate(request, false, () => '')
    assert.ok(!(identity instanceof Promise))
    assert.equal(identity.username, 'ci')
  })

  test('it is checked again after five minutes', async () => {
    const { ask, advance, hashed } = scene()
    await ask({ login: 'ci:secret' })
    advance(5 * 60_000)
    await ask({ login: 'ci:secret' })
    assert.equal(hashed.length, 2)
  })

  test('another credential of the same user is not the same', async () => {
    const { ask } = scene()
    await ask({ login: 'ci:secret' })
    assert.equal(await ask({ login: 'ci:secret ' }), anonymous)
  })

  test('a fault is not remembered, and does not count as a guess', async () => {
    let isDown = true
    const { ask } = scene([user], () =>
      isDown ? Promise.reject(new OciError('UNAVAILABLE')) : Promise.resolve(true),
    )
    for (let i = 0; i < 10; i += 1) {
      await assert.rejects(ask({ login: 'ci:secret' }), refusal(503))
    }
    isDown = false
    assert.equal((await ask({ login: 'ci:secret' })).username, 'ci')
  })
})

describe('guessing', () => {
  test('is slowed down after five wrong guesses, more with each', async () => {
    const { ask, advance, hashed } = scene()
    for (let i = 0; i < 5; i += 1) await ask({ login: `ci:guess ${i}` })
    await assert.rejects(ask({ login: 'ci:guess 5' }), refusal(429))
    advance(1000)
    await ask({ login: 'ci:guess 5' })
    advance(1000)
    await assert.rejects(ask({ login: 'ci:guess 6' }), refusal(429))
    advance(1000)
    await ask({ login: 'ci:guess 6' })
    assert.equal(hashed.length, 7)
  })

  test('many guesses at once do not all go through', async () => {
    const { ask, hashed } = scene()
    const guesses = Array.from({ length: 50 }, (_, i) => ask({ login: `ci:guess ${i}` }))
    await Promise.allSettled(guesses)
    assert.equal(hashed.length, 5)
  })

  test('one address that guesses many names is slowed down too', async () => {
    const { ask } = scene()
    for (let i = 0; i < 5; i += 1) await ask({ login: `user-${i}:guess` })
    await assert.rejects(ask({ login: 'user-5:guess' }), refusal(429))
    assert.equal(await ask({ login: 'user-6:guess', address: '192.0.2.2' }), anonymous)
  })

  test('does not lock out a client that is logged in', async () => {
    const { ask } = scene()
    await ask({ login: 'ci:secret' })
    for (let i = 0; i < 9; i += 1) {
      await ask({ login: `ci:guess ${i}`, address: `192.0.2.${i}` }).catch(() => undefined)
    }
    assert.equal((await ask({ login: 'ci:secret' })).username, 'ci')
  })

  test('does not lock out a client at work whose password has to be hashed again', async () => {
    const { ask, advance, hashed } = scene()
    await ask({ login: 'ci:secret' })
    for (let i = 0; i < 60; i += 1) {
      await ask({ login: `ci:guess ${i}` }).catch(() => undefined)
      await ask({ login: `ci:guess ${i}`, address: `192.0.2.${i}` }).catch(() => undefined)
      advance(15_000)
    }
    await ask({ login: 'ci:guess 60', address: '192.0.2.60' })
    await assert.rejects(ask({ login: 'ci:guess 61', address: '192.0.2.61' }), refusal(429))
    assert.equal((await ask({ login: 'ci:secret' })).username, 'ci')
    assert.equal(hashed.filter((password) => password === 'secret').length, 2)
  })

  test('with a password that was right before, and is no more, counts as any guess', async () => {
    let right = 'secret'
    const { ask, advance } = scene([user], (_hash, password) => Promise.resolve(password === right))
    await ask({ login: 'ci:secret' })
    right = 'another secret'
    advance(6 * 60_000)
    assert.equal(await ask({ login: 'ci:secret' }), anonymous)
    // So long is a wrong password remembered.
    advance(11_000)
    for (let i = 0; i < 5; i += 1) await ask({ login: `ci:guess ${i}` })
    await assert.rejects(ask({ login: 'ci:secret' }), refusal(429))
  })

  test('a client that repeats one wrong password is not taken for a guesser', async () => {
    const { ask } = scene()
    for (let i = 0; i < 50; i += 1) await ask({ login: 'ci:old password' })
    assert.equal((await ask({ login: 'ci:secret' })).username, 'ci')
  })

  test('the pause for a name has a bound, so that strangers cannot lock it out for long', async () => {
    const { ask, advance } = scene()
    for (let i = 0; i < 40; i += 1) {
      await ask({ login: `ci:guess ${i}`, address: `192.0.2.${i}` }).catch(() => undefined)
      advance(15_000)
    }
    assert.equal((await ask({ login: 'ci:secret', address: '192.0.2.200' })).username, 'ci')
  })
})

describe('what is told', () => {
  test('each attempt counts, remembered ones too', async () => {
    const { ask, counts } = scene()
    for (const login of ['ci:secret', 'ci:secret', 'ci:wrong', 'ci:wrong']) await ask({ login })
    assert.deepEqual(
      [...counts.entries()],
      [
        ['basic', 'success', 2],
        ['basic', 'failure', 2],
      ],
    )
  })

  test('each check leaves a record that says why, without the password', async () => {
    const { ask, events } = scene()
    for (const login of ['ci:secret', 'ci:wrong word', 'who:else']) await ask({ login })
    assert.deepEqual(
      events.map(({ result, reason, username, id, address }) => [
        ...[result, reason, username, id, address],
      ]),
      [
        ['success', 'success', 'ci', 'build', '192.0.2.1'],
        ['failure', 'wrong-password', 'ci', null, '192.0.2.1'],
        ['failure', 'unknown-user', 'who', null, '192.0.2.1'],
      ],
    )
    assert.doesNotMatch(JSON.stringify(events), /wrong word|secret|else/)
  })

  test('a key or a token in the place of the user name is not shown', async () => {
    const { ask, events } = scene()
    const token = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjaSJ9.c2lnbmVk'
    for (const login of [`${token}:`, 'keelson_0123:x', 'keelson_refresh_0123:x', 'eyJi.of:x']) {
      await ask({ login })
    }
    const names = events.map(({ username }) => username)
    assert.deepEqual(names, ['eyJ…', 'keelson_…', 'keelson_…', 'eyJi.of'])
  })
})

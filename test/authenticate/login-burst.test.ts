// Goal: right logins that come at once all get in, and guesses that come at once get no further than
// guesses one after another. Method: a scene whose hashes end when the test says so, and a turned clock.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { BasicUser } from '../../src/authenticate/basic.ts'
import { createAuthenticator } from '../../src/authenticate/create.ts'
import type { LoginEvent } from '../../src/authenticate/login-event.ts'
import { OciError } from '../../src/oci/error.ts'
import { AuthCounts } from '../../src/telemetry/auth-counts.ts'

interface Ask {
  /** `name:password`. */
  readonly login: string
  readonly address?: string
  /** Default `Basic`. */
  readonly scheme?: string
}

interface Hash {
  readonly password: string
  end(): void
  fail(): void
}

interface Scene {
  readonly hashes: Hash[]
  readonly events: LoginEvent[]
  advance(ms: number): void
  /** 200 where it is somebody, 401 where it is nobody, or the status of the refusal. */
  ask(ask: Ask): Promise<number>
  /** Ends hashes until none begins any more; the most that were under way at a time. */
  settle(): Promise<number>
}

function userOf(index: number): BasicUser {
  const id = `user-${index}`
  return { id, username: id, passwordHash: 'secret', groups: [], expiresAtMs: undefined }
}

const users = Array.from({ length: 300 }, (_, i) => userOf(i))
const guess = (i: number): Ask => ({ login: `user-${i % 300}:guess ${i}` })

function scene(): Scene {
  let nowMs = 1_000_000
  const hashes: Hash[] = []
  const events: LoginEvent[] = []
  const authenticator = createAuthenticator({
    users,
    verifyPassword: (hash, password) =>
      new Promise((resolve, reject) => {
        const end = (): void => resolve(hash === password)
        hashes.push({ password, end, fail: () => reject(unavailable()) })
      }),
    oidc: undefined,
    counts: new AuthCounts(),
    onLogin: (event) => events.push(event),
    now: () => nowMs,
    elapsed: () => nowMs,
  })
  let ended = 0
  return {
    ...{ hashes, events },
    advance: (ms) => {
      nowMs += ms
    },
    ask: async ({ login, address = '192.0.2.1', scheme = 'Basic' }) => {
      const header = `${scheme} ${Buffer.from(login).toString('base64')}`
      const request = {
        certificate: undefined,
        remoteAddress: address,
        header: (name: string) => (name === 'authorization' ? header : ''),
        headerLines: () => [],
      }
      try {
        const { username } = await authenticator.authenticate(request, false, () => address)
        return username === null ? 401 : 200
      } catch (error) {
        assert.ok(error instanceof OciError)
        const told = new Map(error.headers).get('Retry-After')
        assert.ok(Number(told) >= 1, `${error.status} does not say when to come again`)
        return error.status
      }
    },
    settle: async () => {
      let most = 0
      for (await turn(); ended < hashes.length; await turn()) {
        most = Math.max(most, hashes.length - ended)
        hashes[ended]?.end()
        ended += 1
      }
      return most
    },
  }
}

function unavailable(): OciError {
  return new OciError('UNAVAILABLE', { headers: [['Retry-After', '2']] })
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function tally(statuses: readonly number[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const status of statuses) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

async function all({ ask, settle }: Scene, asked: readonly Ask[]): Promise<Record<number, number>> {
  const answers = asked.map((each) => ask(each))
  await settle()
  return tally(await Promise.all(answers))
}

describe('right logins that come at once', () => {
  test('of different users of one address all get in, a few at a time', async () => {
    const { ask, settle, hashes } = scene()
    const answers = Array.from({ length: 200 }, (_, i) => ask({ login: `user-${i}:secret` }))
    assert.equal(await settle(), 5)
    assert.deepEqual(tally(await Promise.all(answers)), { 200: 200 })
    assert.equal(hashes.length, 200)
  })

  test('of one user all get in, from one address and from many, by one credential and by several', async () => {
    const stage = scene()
    const schemes = Array.from({ length: 32 }, (_, i) =>
      [...'basic'].map((c, bit) => (i & (1 << bit) ? c.toUpperCase() : c)).join(''),
    )
    const asked = schemes.flatMap((scheme, i) => [
      { login: 'user-0:secret', scheme, address: `192.0.2.${i}` },
      { login: 'user-1:secret', scheme },
      { login: 'user-2:secret' },
    ])
    assert.deepEqual(await all(stage, asked), { 200: 96 })
    assert.equal(stage.hashes.length, 65)
  })

  test('get in where the address has some failures, and after its pause, one at a time', async () => {
    const stage = scene()
    for (const failures of [4, 1]) {
      const guesses = Array.from({ length: failures }, (_, i) => guess(failures * 10 + i))
      assert.deepEqual(await all(stage, guesses), { 401: failures })
      stage.advance(failures === 1 ? 1000 : 0)
      const from = failures * 50
      const logins = Array.from({ length: 64 }, (_, i) => ({ login: `user-${from + i}:secret` }))
      const answers = logins.map((each) => stage.ask(each))
      assert.equal(await stage.settle(), 1)
      assert.deepEqual(tally(await Promise.all(answers)), { 200: 64 })
    }
  })

  test('get in beside some wrong ones, and beside checks that fail', async () => {
    const stage = scene()
    const asked = Array.from({ length: 64 }, (_, i) =>
      i % 20 === 3 ? guess(i) : { login: `user-${i}:secret` },
    )
    const answers = asked.map((each) => stage.ask(each))
    for (let i = 0; i < 3; i += 1) {
      await turn()
      stage.hashes[i]?.fail()
    }
    await stage.settle()
    assert.deepEqual(tally(await Promise.all(answers)), { 200: 57, 401: 4, 503: 3 })
  })

  test('wait in a queue with a bound, of their address alone', async () => {
    const stage = scene()
    const answers = Array.from({ length: 270 }, (_, i) => stage.ask({ login: `user-${i}:secret` }))
    await turn()
    const isElsewhere = stage.ask({ login: 'user-299:secret', address: '192.0.2.2' })
    assert.equal(stage.events.length, 9)
    const [event] = stage.events
    assert.deepEqual([event?.result, event?.reason], ['refused', 'too-many-waiting'])
    await stage.settle()
    assert.deepEqual(tally(await Promise.all(answers)), { 200: 261, 503: 9 })
    assert.equal(await isElsewhere, 200)
  })

  test('do not wait for ever, and those who gave up take no place', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const stage = scene()
    const answers = Array.from({ length: 8 }, (_, i) => stage.ask({ login: `user-${i}:secret` }))
    await turn()
    t.mock.timers.tick(30_000)
    assert.deepEqual(tally(await Promise.all(answers.slice(5))), { 503: 3 })
    const late = stage.ask({ login: 'user-9:secret' })
    assert.equal(await stage.settle(), 5)
    assert.deepEqual(tally(await Promise.all([...answers.slice(0, 5), late])), { 200: 6 })
    assert.equal(stage.hashes.length, 6)
  })
})

describe('guesses that come at once', () => {
  const places: Record<string, (i: number) => Ask> = {
    'from one address at many names': guess,
    'at one name from many addresses': (i) => ({
      login: `user-0:guess ${i}`,
      address: `198.51.${i >> 8}.${i & 255}`,
    }),
    'at one name from one address': (i) => ({ login: `user-0:guess ${i}` }),
    'at a name that nobody has': (i) => ({ login: `nobody:guess ${i}` }),
    'from one IPv6 network': (i) => ({ ...guess(i), address: `2001:db8::${(i + 1).toString(16)}` }),
  }

  for (const [place, ask] of Object.entries(places)) {
    test(`${place} are hashed no more often than one after another`, async () => {
      const tries = { serial: 0, parallel: 0 }
      for (const kind of ['serial', 'parallel'] as const) {
        const stage = scene()
        let next = 0
        for (let second = 0; second < 120; second += 1) {
          const asked = Array.from({ length: second === 0 ? 1000 : 20 }, () => {
            next += 1
            return ask(next)
          })
          if (kind === 'parallel') await all(stage, asked)
          else for (const each of asked) await all(stage, [each])
          if (second === 0) assert.equal(stage.hashes.length, 5)
          stage.advance(1000)
        }
        tries[kind] = stage.hashes.length
      }
      assert.equal(tries.parallel, tries.serial)
      assert.ok(tries.serial < 20)
    })
  }

  test('of two addresses at one name count for all three', async () => {
    const stage = scene()
    const asked = Array.from({ length: 400 }, (_, i) => ({
      login: `user-0:guess ${i}`,
      address: `192.0.2.${i % 2}`,
    }))
    await all(stage, asked)
    assert.equal(stage.hashes.length, 5)
  })

  test('get no further by right logins of the guesser in between', async () => {
    const stage = scene()
    const asked = Array.from({ length: 250 }, (_, i) =>
      i % 2 === 0 ? { login: `user-${i}:secret` } : guess(i),
    )
    await all(stage, asked)
    const wrong = stage.hashes.filter(({ password }) => password !== 'secret')
    assert.equal(wrong.length, 5)
    stage.advance(1000)
    await all(
      stage,
      Array.from({ length: 100 }, (_, i) => guess(1000 + i)),
    )
    assert.equal(stage.hashes.filter(({ password }) => password !== 'secret').length, 6)
  })

  test('get no further where checks fail in between', async () => {
    const stage = scene()
    const answers = Array.from({ length: 100 }, (_, i) => stage.ask(guess(i)))
    for (let i = 0; i < 10; i += 1) {
      await turn()
      stage.hashes[i]?.fail()
    }
    await stage.settle()
    assert.deepEqual(tally(await Promise.all(answers)), { 401: 5, 429: 85, 503: 10 })
  })

  test('that wait at a busy address hold no place of the name that they are for', async () => {
    const stage = scene()
    const other = Array.from({ length: 5 }, (_, i) => stage.ask(guess(i + 1)))
    const waiting = Array.from({ length: 200 }, (_, i) => stage.ask({ login: `user-0:guess ${i}` }))
    await turn()
    assert.equal(stage.hashes.length, 5)
    const right = stage.ask({ login: 'user-0:secret', address: '192.0.2.2' })
    await turn()
    stage.hashes[5]?.end()
    assert.equal(await right, 200)
    await stage.settle()
    assert.deepEqual(tally(await Promise.all(other)), { 401: 5 })
    assert.deepEqual(tally(await Promise.all(waiting)), { 429: 200 })
  })
})

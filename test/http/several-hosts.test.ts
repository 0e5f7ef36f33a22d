// Goal: what one host revokes, the others refuse within a second, and after an outage of Redis or of a
// host within the period of the comparison. Method: two servers with stores of their own and one signing
// key, and a redis-server that is killed, emptied and paused.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { freshKeyPair } from '../support/fresh-key.ts'
import { needsRedis, RedisServer } from '../support/redis.ts'
import { type Server, startServer } from '../support/server.ts'
import { adminCall, poll, temporaryFolder } from './product.ts'

const service = 'registry.example.com'
const password = 'tuesday-fjord-lemon'
const hash = hashPassword(password)
// Of the comparison, with room for a busy machine.
const periodMs = 15_000

/** One host: a server, its store and its operator. */
class Host {
  readonly #folder: string
  readonly #redisUrl: () => string
  readonly #keyFile: string
  #server: Server | undefined

  constructor(folder: string, keyFile: string, redisUrl: () => string) {
    this.#folder = folder
    this.#keyFile = keyFile
    this.#redisUrl = redisUrl
  }

  async start(): Promise<void> {
    this.#server = await startServer({
      base: `
[server]
port = 0
[admin]
socket = ${JSON.stringify(this.#socket)}
[blob_store.fs]
root_dir = ${JSON.stringify(join(this.#folder, 'data'))}
[auth.identity.build]
username = "ci"
password = ${JSON.stringify(hash)}
[auth.identity.other]
username = "other"
password = ${JSON.stringify(hash)}
[auth.token_service]
service = "${service}"
key_files = [${JSON.stringify(this.#keyFile)}]
[global.access_policy]
default = "deny"
rules = ["identity.username != null"]
[redis]
url = "${this.#redisUrl()}"
timeout = "1s"
`,
    })
  }

  get #socket(): string {
    return join(this.#folder, 'admin.sock')
  }

  get server(): Server {
    assert.ok(this.#server)
    return this.#server
  }

  async stop(): Promise<void> {
    assert.equal((await this.server.stop()).code, 0, this.server.log.slice(-5).join('\n'))
  }

  async token(username = 'ci'): Promise<string> {
    const credentials = Buffer.from(`${username}:${password}`).toString('base64')
    const url = `${this.server.url}/token?service=${service}&scope=repository:a:pull`
    const response = await fetch(url, { headers: { authorization: `Basic ${credentials}` } })
    assert.equal(response.status, 200)
    return ((await response.json()) as { token: string }).token
  }

  /** 404: it was let in, and there is nothing. */
  async status(credential: string): Promise<number> {
    const headers = { authorization: `Bearer ${credential}` }
    const response = await fetch(`${this.server.url}/v2/a/manifests/latest`, { headers })
    await response.arrayBuffer()
    return response.status
  }

  async revoke(input: object): Promise<void> {
    const sent = JSON.stringify(input)
    const { status, body } = await adminCall(this.#socket, '/tokens/revoke', 'POST', sent)
    assert.equal(status, 200, body)
  }

  async createKey(name: string): Promise<{ readonly id: string; readonly key: string }> {
    const input = { name, scopes: ['repository:*:pull'], ttlMs: 3_600_000 }
    const { status, body } = await adminCall(
      ...([this.#socket, '/tokens/create', 'POST', JSON.stringify(input)] as const),
    )
    assert.equal(status, 200, body)
    return JSON.parse(body) as { id: string; key: string }
  }

  async redis(): Promise<Readonly<Record<string, unknown>>> {
    const { body } = await adminCall(this.#socket, '/status')
    return (JSON.parse(body) as { redis: Record<string, unknown> }).redis
  }

  async metric(name: string): Promise<number> {
    const { body } = await adminCall(this.#socket, '/metrics')
    const value = new RegExp(`^${name} (.*)$`, 'm').exec(body)?.[1]
    return Number(value ?? Number.NaN)
  }

  async untilConnected(isConnected: boolean): Promise<void> {
    await poll(`connected is ${isConnected}`, async () =>
      (await this.redis())['connected'] === isConnected ? true : undefined,
    )
  }

  /** How long it took, in ms. */
  async untilRefused(credential: string, deadlineMs: number): Promise<number> {
    const began = performance.now()
    const refused = async () => ((await this.status(credential)) === 401 ? true : undefined)
    await poll('the credential is refused', refused, deadlineMs)
    return performance.now() - began
  }
}

function idOf(token: string): string {
  const claims = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()
  return (JSON.parse(claims) as { jti: string }).jti
}

describe('two hosts and a Redis', needsRedis, () => {
  const { path } = temporaryFolder()
  let redis: RedisServer
  let a: Host
  let b: Host
  before(async () => {
    for (const name of ['redis', 'a', 'b']) await mkdir(join(path, name))
    redis = await RedisServer.start({ dir: join(path, 'redis') })
    const keyFile = join(path, 'key.pem')
    await writeFile(keyFile, freshKeyPair('P-256').pem, { mode: 0o600 })
    a = new Host(join(path, 'a'), keyFile, () => redis.url)
    b = new Host(join(path, 'b'), keyFile, () => redis.url)
    await Promise.all([a.start(), b.start()])
  })
  after(async () => {
    await Promise.all([a.stop(), b.stop()])
    await redis.stop()
  })

  test('a token revoked on one is refused on the other within a second', async () => {
    const token = await a.token()
    const other = await a.token()
    assert.deepEqual([await a.status(token), await b.status(token)], [404, 404])
    await a.revoke({ id: idOf(token) })
    assert.equal(await a.status(token), 401)
    const tookMs = await b.untilRefused(token, 1_000)
    assert.equal(await b.status(other), 404)
    assert.ok(tookMs < 1_000)
  })

  test('a user revoked on one is refused on the other, and can log in again on both', async () => {
    // The revisions of the two stores are apart by now, in either direction.
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const [here, there, other] = [await from.token(), await to.token(), await to.token('other')]
      await from.revoke({ username: 'ci' })
      await to.untilRefused(here, 1_000)
      await to.untilRefused(there, 1_000)
      assert.equal(await from.status(here), 401)
      assert.equal(await from.status(there), 401)
      for (const host of [from, to]) assert.equal(await host.status(other), 404)
      for (const issuer of [from, to]) {
        // What another host issues so shortly after the revocation is refused for some seconds.
        await poll('a new token is good on both', async () => {
          const token = await issuer.token()
          const both = [await from.status(token), await to.status(token)]
          return both.every((status) => status === 404) ? true : undefined
        })
      }
    }
  })

  test('an API key revoked on one host is remembered by the other', async () => {
    const { id, key } = await a.createKey('deploy')
    assert.deepEqual([await a.status(key), await b.status(key)], [404, 401])
    const known = (await b.redis())['taken'] as number
    await a.revoke({ id })
    await poll('the other host takes it', async () =>
      ((await b.redis())['taken'] as number) > known ? true : undefined,
    )
  })

  test('nothing is told again and again', async () => {
    const told = async () =>
      (await Promise.all([a.redis(), b.redis()])).map(({ sent, received }) => [sent, received])
    const token = await a.token()
    await a.revoke({ id: idOf(token) })
    await b.untilRefused(token, 1_000)
    const before_ = await told()
    const exchanged = Date.now()
    await poll(
      'both have compared again',
      async () => {
        const ages = (await Promise.all([a.redis(), b.redis()])).map(
          ({ exchangeAgeMs }) => exchangeAgeMs as number,
        )
        return Date.now() - exchanged > Math.max(...ages) + 100 ? true : undefined
      },
      2 * periodMs,
    )
    assert.deepEqual(await told(), before_)
  })

  test('while Redis is away all goes on, and its return brings the rest', async () => {
    const token = await a.token()
    const [first, later] = [await a.token(), await b.token()]
    assert.equal(await b.status(token), 404)
    await a.revoke({ id: idOf(first) })
    await b.untilRefused(first, 1_000)
    await redis.kill()
    await a.untilConnected(false)
    await b.untilConnected(false)
    await a.revoke({ id: idOf(token) })
    await b.revoke({ id: idOf(later) })
    assert.deepEqual([await a.status(token), await b.status(token)], [401, 404])
    // The last known list stays in force.
    assert.equal(await b.status(first), 401)
    assert.equal(await a.metric('keelson_redis_connected'), 0)
    assert.ok((await a.metric('keelson_redis_failures_total')) > 0)
    await b.stop()
    await b.start()
    assert.deepEqual([await b.status(first), await b.status(token)], [401, 404])
    assert.equal((await b.redis())['connected'], false)
    await redis.start()
    await b.untilRefused(token, periodMs)
    await a.untilRefused(later, periodMs)
    await a.untilConnected(true)
    await poll('the age is that of the last comparison', async () =>
      (await a.metric('keelson_redis_exchange_age_seconds')) < 10 ? true : undefined,
    )
    const said = a.server.log.filter((line) => line.includes('Redis can'))
    assert.deepEqual(
      said.map((line) => (JSON.parse(line) as { msg: string }).msg),
      ['Redis cannot be used: revocations do not reach other hosts', 'Redis can be used again'],
    )
  })

  test('a host that was away catches up before it serves', async () => {
    const token = await a.token()
    await b.stop()
    await a.revoke({ id: idOf(token) })
    await poll('Redis has it', async () =>
      (await redis.cli('HEXISTS', 'keelson:revocations', `token:${idOf(token)}`)) === '1'
        ? true
        : undefined,
    )
    await b.start()
    assert.equal(await b.status(token), 401)
  })

  test('an emptied Redis is filled again, and un-revokes nothing', async () => {
    const token = await a.token()
    await a.revoke({ id: idOf(token) })
    await b.untilRefused(token, 1_000)
    const entries = () => redis.cli('HLEN', 'keelson:revocations')
    const before_ = Number(await entries())
    await redis.cli('FLUSHALL')
    assert.equal(await entries(), '0')
    await poll(
      'it is filled again',
      async () => (Number(await entries()) >= before_ ? true : undefined),
      periodMs,
    )
    assert.deepEqual([await a.status(token), await b.status(token)], [401, 401])
    assert.ok(Number(await redis.cli('PTTL', 'keelson:revocations')) > 0)
  })

  test('whatever is written to Redis, nothing that is revoked comes back', async () => {
    const token = await a.token()
    await a.revoke({ id: idOf(token) })
    await b.untilRefused(token, 1_000)
    const field = `token:${idOf(token)}`
    const refused = (await b.redis())['refused'] as number
    const one = (times: object) => JSON.stringify({ revocations: [{ of: 'token', ...times }] })
    for (const message of [
      '{',
      '[]',
      'x'.repeat(600_000),
      one({ subject: idOf(token), at: 1, until: 1 }),
      one({ subject: '../..', at: Date.now(), until: Date.now() }),
      one({ subject: idOf(token), at: -1, until: 1e300 }),
    ]) {
      await redis.cliWith(message, 'PUBLISH', 'keelson:revocations')
    }
    await redis.cli('HSET', 'keelson:revocations', field, '{"at":1,"until":1}')
    await redis.cli('HSET', 'keelson:revocations', 'token:x', 'x', 'mark', 'another')
    await poll(
      'the entry is put right',
      async () =>
        (await redis.cli('HGET', 'keelson:revocations', field)) === '{"at":1,"until":1}'
          ? undefined
          : true,
      periodMs,
    )
    assert.deepEqual([await a.status(token), await b.status(token)], [401, 401])
    // Of the messages; whether it also read the entry depends on which host put it right.
    await poll(
      'the messages are refused',
      async () => (((await b.redis())['refused'] as number) >= refused + 5 ? true : undefined),
      periodMs,
    )
  })

  test('a Redis that answers nothing holds no request up', async () => {
    const token = await a.token()
    redis.pause()
    try {
      const began = performance.now()
      await a.revoke({ id: idOf(token) })
      assert.equal(await a.status(token), 401)
      assert.ok(performance.now() - began < 900, 'it took as long as a timeout')
      await a.untilConnected(false)
      await b.stop()
      await b.start()
      assert.equal(await b.status(token), 404)
    } finally {
      redis.resume()
    }
    await b.untilRefused(token, periodMs)
  })
})

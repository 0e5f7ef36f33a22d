// Goal: hosts come to hold the same revocations whatever Redis does in between, tell each once, and stop
// telling. Method: two spreads and a Redis in memory that forgets, fails and says nonsense on demand.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { HashPage, LinkEvents, RedisLink } from '../../src/redis/contract.ts'
import { KnownRevocations } from '../../src/redis/known.ts'
import { fieldOf } from '../../src/redis/message.ts'
import { exchangeEveryMs, RevocationSpread } from '../../src/redis/spread.ts'
import type { Revocation } from '../../src/storage/metadata/token-store.ts'

const nowMs = 1_700_000_000_000
const day = 24 * 60 * 60_000

class FakeRedis {
  hash = new Map<string, string>()
  readonly published: string[] = []
  readonly links = new Set<FakeLink>()
  calls = 0
  fault: string | undefined
}

class FakeLink implements RedisLink {
  isReady = false
  resets = 0
  confirms = 0
  readonly #redis: FakeRedis
  readonly #events: LinkEvents
  #isSubscribed = false

  constructor(redis: FakeRedis, events: LinkEvents) {
    this.#redis = redis
    this.#events = events
    redis.links.add(this)
  }

  connect(): void {
    this.isReady = true
    this.#events.onReady()
  }

  disconnect(): void {
    this.isReady = false
    this.#isSubscribed = false
    this.#events.onFault('gone')
  }

  hear(message: string): void {
    if (this.isReady && this.#isSubscribed) this.#events.onMessage(message)
  }

  async readField(_key: string, field: string): Promise<string | undefined> {
    this.#call()
    return this.#redis.hash.get(field)
  }

  async readPage(_key: string, cursor: string): Promise<HashPage> {
    this.#call()
    const all = [...this.#redis.hash]
    const from = Number(cursor)
    const next = from + 2
    return { cursor: next < all.length ? String(next) : '0', pairs: all.slice(from, next) }
  }

  async write(_key: string, fields: Readonly<Record<string, string>>): Promise<void> {
    this.#call()
    for (const [field, value] of Object.entries(fields)) this.#redis.hash.set(field, value)
  }

  async remove(_key: string, fields: readonly string[]): Promise<void> {
    this.#call()
    for (const field of fields) this.#redis.hash.delete(field)
  }

  async expire(): Promise<void> {
    this.#call()
  }

  async publish(_channel: string, message: string): Promise<void> {
    this.#call()
    this.#redis.published.push(message)
    for (const link of this.#redis.links) link.hear(message)
  }

  async subscribe(): Promise<void> {
    this.#call()
    this.#isSubscribed = true
  }

  reset(): void {
    this.resets += 1
  }

  confirm(): void {
    this.confirms += 1
  }

  close(): void {
    this.isReady = false
  }

  #call(): void {
    this.#redis.calls += 1
    if (!this.isReady) throw new Error('not connected')
    if (this.#redis.fault !== undefined) throw new Error(this.#redis.fault)
  }
}

class Host {
  readonly store = new Map<string, Revocation>()
  readonly said: string[] = []
  readonly link: FakeLink
  readonly spread: RevocationSpread
  applies = 0
  fault: string | undefined
  now: number = nowMs
  elapsed = 0
  #listener: () => void = () => {}
  #timer: (() => void) | undefined
  #uuids = 0

  constructor(name: string, redis: FakeRedis) {
    this.spread = new RevocationSpread({
      list: {
        onChange: (listener) => {
          this.#listener = listener
        },
        live: () => [...this.store.values()],
        apply: async (heard) => {
          this.applies += 1
          if (this.fault !== undefined) throw new Error(this.fault)
          let applied = 0
          for (const each of heard) applied += this.#merge(each) ? 1 : 0
          if (applied > 0) this.#listener()
          return { applied, dropped: 0 }
        },
      },
      key: 'keelson:revocations',
      now: () => this.now,
      elapsed: () => this.elapsed,
      random: () => 0.5,
      randomUuid: () => {
        this.#uuids += 1
        return `${name} ${this.#uuids}`
      },
      after: (ms, action) => {
        assert.ok(ms <= exchangeEveryMs && ms > exchangeEveryMs / 2)
        this.#timer = action
        return () => {
          this.#timer = undefined
        }
      },
      onOutage: (reason) => this.said.push(reason),
      onRecovery: () => this.said.push('recovered'),
    })
    this.link = new FakeLink(redis, this.spread.events)
    void this.spread.start(this.link)
  }

  #merge(each: Revocation): boolean {
    const known = this.store.get(fieldOf(each))
    if (known && known.atMs >= each.atMs && known.forgetAtMs >= each.forgetAtMs) return false
    this.store.set(fieldOf(each), each)
    return true
  }

  /** As the operator does it. */
  revoke(revocation: Revocation): void {
    this.#merge(revocation)
    this.#listener()
  }

  /** The period passes. */
  async tick(): Promise<void> {
    this.elapsed += exchangeEveryMs
    this.#timer?.()
    await settled()
  }
}

/** All that can happen without time has happened. */
async function settled(): Promise<void> {
  for (let i = 0; i < 200; i++) await Promise.resolve()
  await new Promise((resolve) => setImmediate(resolve))
}

function user(subject: string, atMs: number = nowMs): Revocation {
  return { of: 'user', subject, atMs, forgetAtMs: atMs + day }
}

async function pair(): Promise<{ redis: FakeRedis; a: Host; b: Host }> {
  const redis = new FakeRedis()
  const [a, b] = [new Host('a', redis), new Host('b', redis)]
  a.link.connect()
  b.link.connect()
  await settled()
  return { redis, a, b }
}

test('a revocation is told once, taken once, and never told back', async () => {
  const { redis, a, b } = await pair()
  a.revoke(user('alice'))
  await settled()
  assert.deepEqual(b.store, a.store)
  assert.equal(b.store.size, 1)
  for (let i = 0; i < 5; i++) for (const host of [a, b]) await host.tick()
  assert.equal(redis.published.length, 1)
  assert.deepEqual([a.applies, b.applies], [0, 1])
  assert.deepEqual([a.spread.status.sent, b.spread.status.sent], [1, 0])
  assert.deepEqual([a.spread.status.taken, b.spread.status.taken], [0, 1])
})

test('an unchanged Redis is not read again, but from time to time', async () => {
  const { redis, a, b } = await pair()
  a.revoke(user('alice'))
  await settled()
  for (const host of [a, b, a, b]) await host.tick()
  const before = redis.calls
  await a.tick()
  // The subscription and the mark.
  assert.equal(redis.calls - before, 2)
  a.elapsed += 60 * 60_000
  await a.tick()
  assert.ok(redis.calls - before > 4)
})

test('a host that was away catches up, and what it revoked reaches the others', async () => {
  const { a, b } = await pair()
  b.link.disconnect()
  a.revoke(user('alice'))
  b.revoke(user('bob'))
  await settled()
  assert.deepEqual([a.store.size, b.store.size], [1, 1])
  assert.equal(b.spread.status.connected, false)
  b.link.connect()
  await settled()
  assert.deepEqual([a.store.size, b.store.size], [2, 2])
  assert.equal(b.spread.status.connected, true)
  assert.deepEqual(b.said, ['gone', 'recovered'])
})

test('a message that is lost is made up for by the next comparison', async () => {
  const { a, b } = await pair()
  b.link.hear = () => {}
  a.revoke(user('alice'))
  await settled()
  assert.equal(b.store.size, 0)
  await b.tick()
  assert.equal(b.store.size, 1)
})

test('a Redis that forgot everything is filled again, by whoever looks first', async () => {
  const { redis, a, b } = await pair()
  a.revoke(user('alice'))
  b.revoke(user('bob'))
  await settled()
  const fields = redis.hash.size
  redis.hash.clear()
  await b.tick()
  assert.equal(redis.hash.size, fields)
  const told = redis.published.length
  await a.tick()
  await b.tick()
  await a.tick()
  assert.equal(redis.published.length, told)
  assert.deepEqual([a.applies, b.applies], [1, 1])
})

test('a weaker entry is put right and takes nothing back, a stricter one is taken', async () => {
  const { redis, a, b } = await pair()
  a.revoke(user('alice'))
  await settled()
  redis.hash.set('user:alice', '{"at":5,"until":6}')
  redis.hash.set('mark', 'other')
  await b.tick()
  assert.deepEqual(b.store.get('user:alice'), user('alice'))
  redis.hash.set('user:alice', `{"at":${nowMs - 5},"until":${nowMs + 9}}`)
  redis.hash.set('mark', 'another')
  await a.tick()
  assert.equal(redis.hash.get('user:alice'), `{"at":${nowMs},"until":${nowMs + day}}`)
  a.revoke(user('alice', nowMs + 7))
  await settled()
  await b.tick()
  assert.equal(b.store.get('user:alice')?.atMs, nowMs + 7)
  await a.tick()
  assert.equal(a.store.get('user:alice')?.atMs, nowMs + 7)
})

test('a store that fails takes it later, and the outage is told once', async () => {
  const { a, b } = await pair()
  b.fault = 'disk full'
  a.revoke(user('alice'))
  a.revoke(user('carol'))
  await settled()
  for (let i = 0; i < 3; i++) {
    await b.tick()
    b.link.connect()
    await settled()
  }
  assert.deepEqual([b.store.size, b.said], [0, ['disk full']])
  assert.equal(b.spread.status.connected, false)
  b.fault = undefined
  await b.tick()
  b.link.connect()
  await settled()
  assert.deepEqual([b.store.size, b.said], [2, ['disk full', 'recovered']])
})

test('a Redis that fails is left alone until the next period, then connected with anew', async () => {
  const { redis, a } = await pair()
  const confirms = a.link.confirms
  redis.fault = 'READONLY'
  const before = redis.calls
  a.revoke(user('alice'))
  await settled()
  assert.ok(redis.calls - before <= 2)
  assert.equal(a.link.resets, 0)
  await a.tick()
  assert.deepEqual([a.link.resets, a.link.confirms], [1, confirms])
  redis.fault = undefined
  a.link.connect()
  await settled()
  assert.ok(redis.hash.has('user:alice'))
  assert.equal(a.link.confirms, confirms + 1)
})

test('the age is that of the last comparison, and grows while there is none', async () => {
  const { a } = await pair()
  await a.tick()
  assert.equal(a.spread.status.exchangeAgeMs, 0)
  a.link.disconnect()
  await a.tick()
  await a.tick()
  assert.equal(a.spread.status.exchangeAgeMs, 2 * exchangeEveryMs)
})

test('many at once are told by the comparison alone, and none is lost', async () => {
  const { redis, a, b } = await pair()
  b.link.disconnect()
  for (let i = 0; i < 1_001; i++) a.store.set(`user:${i}`, user(`${i}`))
  a.revoke(user('last'))
  await settled()
  assert.equal(redis.published.length, 0)
  b.link.connect()
  for (let i = 0; i < 20; i++) await settled()
  assert.equal(b.store.size, 1_002)
})

test('what has ended is removed, an hour late for clocks that differ', async () => {
  const { redis, a } = await pair()
  redis.hash.set('user:old', '{"at":1,"until":2}')
  redis.hash.set('user:ended', `{"at":1,"until":${nowMs - 1}}`)
  redis.hash.set('mark', 'x')
  await a.tick()
  assert.deepEqual([...redis.hash.keys()], ['user:ended', 'mark'])
})

test('closing tells what was revoked just before, and then nothing more', async () => {
  const { redis, a, b } = await pair()
  a.revoke(user('alice'))
  await a.spread.close()
  assert.equal(b.store.size, 1)
  const before = redis.calls
  a.revoke(user('bob'))
  await a.tick()
  assert.equal(redis.calls, before)
})

describe('the first comparison', () => {
  for (const [title, begin] of [
    ['is waited for', (host: Host) => host.link.connect()],
    ['is not waited for where Redis is away', (host: Host) => host.link.disconnect()],
  ] as const) {
    test(title, async () => {
      const host = new Host('a', new FakeRedis())
      const first = host.spread.start(host.link)
      begin(host)
      await first
    })
  }
})

test('two that differ are merged into what refuses all that both do', () => {
  const known = new KnownRevocations()
  const [early, late] = [
    { ...user('alice'), atMs: 5, forgetAtMs: 90 },
    { ...user('alice'), atMs: 9, forgetAtMs: 50 },
  ]
  known.addAll([early])
  assert.equal(known.covers(late), false)
  assert.deepEqual(known.merged(late), { ...early, atMs: 9 })
  known.addAll([late])
  assert.ok(known.covers(early) && known.covers(late))
  assert.equal(known.latestEndMs, 90)
})

// Goal: a request that a shared limit cannot decide yet waits for the other hosts, before its login where
// its address is limited, and never for long. Method: buckets that say when they are settled, by hand.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anonymous, type Identity } from '../../src/authenticate/identity.ts'
import type { RateLimitConfig } from '../../src/config/schema.ts'
import type { Buckets } from '../../src/limit/contract.ts'
import { RateLimits } from '../../src/limit/rate-limits.ts'
import { OciError } from '../../src/oci/error.ts'
import { route } from '../../src/route/route.ts'
import { LimitCounts } from '../../src/telemetry/limit-counts.ts'

const pull = route({ method: 'GET', path: '/v2/a/manifests/v1', query: '' })
const alice: Identity = { ...anonymous, username: 'alice', authMethod: 'basic' }

/** Buckets of which nobody knows anything before `settle`. */
class SlowBuckets implements Buckets {
  readonly size = 0
  readonly taken: string[] = []
  isFull = false
  #ended: { readonly promise: Promise<void>; readonly end: () => void } | undefined
  waiting = 0

  take(key: string): number {
    if (this.isFull) return 1_000
    this.taken.push(key)
    return 0
  }

  waitMs(): number {
    return this.isFull ? 1_000 : 0
  }

  spend(): number {
    return 0
  }

  hold(): void {
    let end = (): void => {}
    const promise = new Promise<void>((resolve) => {
      end = resolve
    })
    this.#ended = { promise, end }
  }

  settle(): void {
    const ended = this.#ended
    this.#ended = undefined
    ended?.end()
  }

  settling(): Promise<void> | undefined {
    if (this.#ended !== undefined) this.waiting += 1
    return this.#ended?.promise
  }
}

function scene(per: RateLimitConfig['per'], shared = true) {
  const clock = { ms: 0 }
  const buckets = new SlowBuckets()
  const asked: unknown[] = []
  const config: RateLimitConfig = {
    ...{ name: 'pulls', per, actions: [], requests: 2, periodMs: 60_000 },
    ...{ burst: undefined, shared },
  }
  const limits = new RateLimits([config], {
    open: (rate, limit) => {
      asked.push(rate, limit)
      return buckets
    },
    ...{ now: () => clock.ms, counts: new LimitCounts() },
  })
  let logins = 0
  const admit = (login: () => Identity | Promise<Identity>, address = '192.0.2.1') => {
    let known = address
    const admitted = limits.admit(
      pull,
      () => known,
      () => {
        logins += 1
        return login()
      },
    )
    // A transport does not know it any more.
    known = ''
    return admitted
  }
  return { admit, buckets, clock, asked, logins: () => logins }
}

test('who is told of the limit opens its buckets', () => {
  const { asked } = scene('identity')
  assert.deepEqual(asked, [
    { capacity: 2, tokensPerMs: 2 / 60_000 },
    { name: 'pulls', shared: true },
  ])
})

test('where all is known nobody waits', () => {
  const { admit, buckets } = scene('identity')
  assert.equal(
    admit(() => alice),
    alice,
  )
  assert.deepEqual(buckets.taken, ['user alice'])
})

test('a limit that is not shared is never waited for', () => {
  const { admit, buckets } = scene('identity', false)
  buckets.hold()
  assert.equal(
    admit(() => alice),
    alice,
  )
  assert.equal(buckets.waiting, 0)
})

test('an address waits before its login is looked at, and is remembered meanwhile', async () => {
  for (const isFull of [false, true]) {
    const { admit, buckets, logins } = scene('address')
    buckets.hold()
    const admitted = admit(() => alice)
    assert.ok(admitted instanceof Promise)
    assert.deepEqual([logins(), buckets.taken], [0, []])
    buckets.isFull = isFull
    buckets.settle()
    if (isFull) await assert.rejects(admitted, { code: 'TOOMANYREQUESTS' })
    else assert.equal(await admitted, alice)
    assert.equal(logins(), isFull ? 0 : 1)
    assert.deepEqual(buckets.taken, isFull ? [] : ['192.0.2.1'])
  }
})

test('an identity waits after its login, whether that took its time or not', async () => {
  for (const login of [() => alice, async () => alice]) {
    for (const isFull of [false, true]) {
      const { admit, buckets } = scene('identity')
      buckets.hold()
      const admitted = admit(login)
      assert.ok(admitted instanceof Promise)
      await new Promise((resolve) => setImmediate(resolve))
      assert.deepEqual(buckets.taken, [])
      buckets.isFull = isFull
      buckets.settle()
      if (isFull) await assert.rejects(admitted, { code: 'TOOMANYREQUESTS' })
      else assert.equal(await admitted, alice)
      assert.deepEqual(buckets.taken, isFull ? [] : ['user alice'])
    }
  }
})

test('a login that is refused waits as its address, and stays refused', async () => {
  const wrong = (): never => {
    throw new OciError('UNAUTHORIZED')
  }
  for (const login of [wrong, async () => wrong()]) {
    for (const isFull of [false, true]) {
      const { admit, buckets } = scene('identity')
      buckets.hold()
      const admitted = Promise.resolve(admit(login))
      const refused = assert.rejects(admitted, {
        code: isFull ? 'TOOMANYREQUESTS' : 'UNAUTHORIZED',
      })
      await new Promise((resolve) => setImmediate(resolve))
      buckets.isFull = isFull
      buckets.settle()
      await refused
      assert.deepEqual(buckets.taken, isFull ? [] : ['192.0.2.1'])
    }
  }
})

test('one who is not settled after that waits again, but for a tenth of a second in all', async () => {
  const { admit, buckets, clock } = scene('identity')
  buckets.hold()
  const admitted = admit(() => alice)
  for (let round = 1; round <= 5; round += 1) {
    clock.ms += 24
    const { settle } = buckets
    settle.call(buckets)
    buckets.hold()
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(buckets.waiting, Math.min(5, round + 1), `round ${round}`)
    assert.equal(buckets.taken.length, round < 5 ? 0 : 1)
  }
  assert.equal(await admitted, alice)
})

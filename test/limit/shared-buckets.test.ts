// Goal: hosts count together, and let through no more than a slack each beyond it, whatever the order of
// events; alone they count as ever, and come together again. Method: hosts in one process with a clock of
// the test's own, a store in memory with slow ways, and callers that push as hard as they can.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BucketTable } from '../../src/limit/bucket-table.ts'
import type { BucketRate } from '../../src/limit/contract.ts'
import { patienceMs, perRoundMax, Settler, settleEveryMs } from '../../src/limit/settler.ts'
import { lackingMaxOf, SharedBuckets, slackOf } from '../../src/limit/shared-buckets.ts'
import { Dice, randomFrom } from '../support/dice.ts'
import { FakeCounts, FakeStore } from './fake-counts.ts'
import { FakeTime } from './fake-time.ts'

interface Host {
  readonly buckets: SharedBuckets
  readonly settler: Settler
  readonly counts: FakeCounts
  readonly said: string[]
}

interface WorldOptions {
  readonly rate: BucketRate
  readonly hosts: number
  readonly delayMs?: () => number
  readonly keysMax?: number
}

class World {
  readonly time = new FakeTime()
  readonly store = new FakeStore(this.time)
  readonly hosts: readonly Host[]
  readonly #rate: BucketRate

  constructor({ rate, hosts, delayMs = () => 1, keysMax = 1_000 }: WorldOptions) {
    this.#rate = rate
    this.hosts = Array.from({ length: hosts }, () => {
      const said: string[] = []
      const settler = new Settler({
        ...{ now: this.time.now, after: this.time.after, random: () => 0 },
        soon: (action) => void this.time.after(0, action),
        onOutage: (reason) => said.push(reason),
        onRecovery: () => said.push('recovered'),
      })
      const counts = new FakeCounts(this.store, this.time, delayMs)
      settler.start(counts)
      const own = new BucketTable(rate, keysMax)
      const around = { limit: 'pulls', rate, own, settler, counts, keysMax }
      return { buckets: new SharedBuckets(around), settler, counts, said }
    })
  }

  /** One millisecond after the other, so that what is promised happens in between. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 1) {
      await settled()
      this.time.advance(1)
    }
    await settled()
  }

  /** Whether it was let through: who would have to wait is not, now. */
  ask({ buckets }: Host, key = 'me'): boolean {
    const now = this.time.now()
    return buckets.settling(key, now) === undefined && buckets.take(key, now) === 0
  }

  /** As many as one host lets through now. */
  askAll(host: Host, key = 'me'): number {
    let count = 0
    while (this.ask(host, key)) count += 1
    return count
  }

  lacking(key = 'me'): number {
    return this.store.missing(`pulls ${key}`, this.#rate.tokensPerMs)
  }
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

const minute: BucketRate = { capacity: 60, tokensPerMs: 1 / 1_000 }

describe('shared buckets', () => {
  test('what one host let through another one refuses', async () => {
    const world = new World({ rate: minute, hosts: 2 })
    const [a, b] = world.hosts as [Host, Host]
    await world.pass(10)
    let count = 0
    for (let round = 0; round < 40; round += 1) {
      count += world.askAll(a)
      await world.pass(5)
    }
    assert.equal(count, 60)
    // A slack of three, and not one more once it has heard.
    assert.equal(world.askAll(b), slackOf(minute))
    await world.pass(10)
    assert.equal(world.ask(b), false)
    const wait = b.buckets.waitMs('me', world.time.now())
    assert.ok(wait > 3_000 && wait < 4_100, String(wait))
    assert.equal(world.ask(b, 'another'), true)
  })

  test('a request that waits is answered when the others are heard', async () => {
    const world = new World({ rate: minute, hosts: 1 })
    const [a] = world.hosts as [Host]
    await world.pass(10)
    assert.equal(world.askAll(a), 3)
    let isHeard = false
    const waiting = a.buckets.settling('me', world.time.now())
    assert.ok(waiting)
    void waiting.then(() => {
      isHeard = true
    })
    await settled()
    assert.equal(isHeard, false)
    await world.pass(5)
    assert.equal(isHeard, true)
    assert.equal(world.askAll(a), 3)
  })

  test('a little use is told within its time, and much of it at once', async () => {
    const world = new World({ rate: { capacity: 1_000, tokensPerMs: 1 / 60_000 }, hosts: 1 })
    const [a] = world.hosts as [Host]
    await world.pass(10)
    const { rounds } = a.counts
    world.ask(a)
    await world.pass(settleEveryMs - 5)
    assert.equal(a.counts.rounds, rounds)
    await world.pass(10)
    assert.equal(a.counts.rounds, rounds + 1)
    for (let count = 0; count < 25; count += 1) world.ask(a)
    await world.pass(4)
    assert.equal(a.counts.rounds, rounds + 2)
    assert.ok(Math.abs(world.lacking() - 26) < 0.1)
  })

  for (const [capacity, hosts] of [
    [1, 2],
    [3, 5],
    [20, 3],
    [100, 4],
    [400, 8],
    [40, 12],
  ] as const) {
    test(`a bucket of ${capacity} and ${hosts} hosts: no more than a slack too much for each but one`, async () => {
      for (let seed = 1; seed <= 12; seed += 1) {
        const dice = new Dice(randomFrom(seed * 1_000 + capacity))
        const rate = { capacity, tokensPerMs: capacity / (dice.chance(0.5) ? 300 : 3_000) }
        const world = new World({ rate, hosts, delayMs: () => dice.below(40) })
        await world.pass(100)
        // What a single host would say.
        let [missing, worst, admitted] = [0, 0, 0]
        for (let step = 0; step < 700; step += 1) {
          missing = Math.max(0, missing - rate.tokensPerMs)
          const asking = dice.chance(0.3) ? world.hosts : [dice.pick(world.hosts)]
          for (const host of asking) {
            const got = dice.chance(0.5) ? world.askAll(host) : Number(world.ask(host))
            missing += got
            admitted += got
          }
          worst = Math.max(worst, missing)
          await world.pass(1)
        }
        const allowed = capacity + (hosts - 1) * slackOf(rate)
        assert.ok(worst <= allowed + 1e-3, `seed ${seed}: ${worst} of ${allowed}`)
        // Nobody is starved by it either.
        const fair = 700 * rate.tokensPerMs
        assert.ok(admitted >= 0.5 * Math.max(fair, capacity), `seed ${seed}: ${admitted}`)
        for (const { settler } of world.hosts) assert.equal(settler.figures.alone, 0)
      }
    })
  }

  test('while the store is away, fails or lies each host counts alone, and says so once', async () => {
    for (const away of ['failing', 'low', 'high', 'nonsense'] as const) {
      const world = new World({ rate: minute, hosts: 2 })
      const [a, b] = world.hosts as [Host, Host]
      await world.pass(10)
      if (away === 'failing') world.store.fault = 'refused'
      else {
        const said = { low: 0, high: lackingMaxOf(minute) + 1, nonsense: Number.NaN }[away]
        world.store.lie = (missing) => missing.map(() => said)
      }
      // What cannot be true is refused by the one who reads it, as here.
      const { settle } = a.counts
      for (const { counts } of world.hosts) {
        const own: typeof settle = counts.settle.bind(counts)
        counts.settle = async (spendings) => {
          const missing = await own(spendings)
          if (world.store.lie !== undefined) throw new Error('a count cannot be true')
          return missing
        }
      }
      for (const host of [a, b]) {
        let count = 0
        for (let round = 0; round < 30; round += 1) {
          count += world.askAll(host)
          await world.pass(2)
        }
        assert.equal(count, 60, away)
        assert.equal(host.settler.isUp, false)
        assert.equal(host.said.length, 1)
        assert.equal(host.said.includes('recovered'), false)
        assert.equal(host.settler.figures.connected, false)
        assert.ok(host.settler.figures.alone > 50)
      }
      world.store.fault = undefined
      world.store.lie = undefined
      await world.pass(1_500)
      for (const host of [a, b]) assert.equal(host.said[1], 'recovered')
      // What each let through alone counts, and not twice.
      assert.ok(Math.abs(world.lacking() - 58) < 2, String(world.lacking()))
    }
  })

  test('a store that says too little gives nobody more than one host alone', async () => {
    const world = new World({ rate: minute, hosts: 1 })
    const [a] = world.hosts as [Host]
    await world.pass(10)
    // Not to be told from the truth: just what was spent.
    world.store.lie = (missing) => missing.map(() => 3)
    let count = 0
    for (let round = 0; round < 40; round += 1) {
      count += world.askAll(a)
      await world.pass(5)
    }
    assert.equal(count, 60)
    assert.equal(a.settler.isUp, true)
  })

  test('a store that hangs holds each request up once and briefly, then none', async () => {
    const world = new World({ rate: minute, hosts: 1 })
    const [a] = world.hosts as [Host]
    await world.pass(10)
    world.store.hangs = true
    assert.equal(world.askAll(a), 3)
    const began = world.time.now()
    let wokenMs = 0
    void a.buckets.settling('me', began)?.then(() => {
      wokenMs = world.time.now() - began
    })
    await world.pass(patienceMs + 2)
    assert.ok(wokenMs >= patienceMs && wokenMs <= patienceMs + 2, String(wokenMs))
    assert.equal(a.buckets.settling('me', world.time.now()), undefined)
    assert.equal(world.askAll(a), 57)
    a.settler.lost('no answer')
    assert.deepEqual(a.said, ['no answer'])
  })

  test('a store that forgot everything is told again', async () => {
    const world = new World({ rate: minute, hosts: 2 })
    const [a, b] = world.hosts as [Host, Host]
    await world.pass(10)
    for (let round = 0; round < 19; round += 1) {
      world.askAll(a)
      await world.pass(5)
    }
    assert.ok(world.lacking() > 55)
    world.store.buckets.clear()
    assert.equal(world.askAll(a), 3)
    await world.pass(20)
    assert.ok(world.lacking() > 58, String(world.lacking()))
    assert.equal(world.askAll(b), 3)
    await world.pass(20)
    assert.equal(world.ask(b), false)
  })

  test('a store that forgot is told by whoever was alone meanwhile', async () => {
    const world = new World({ rate: minute, hosts: 2 })
    const [a, b] = world.hosts as [Host, Host]
    await world.pass(10)
    for (const { settler } of world.hosts) settler.lost('closed')
    assert.equal(world.askAll(a), 60)
    assert.equal(world.askAll(b), 60)
    for (const { settler } of world.hosts) settler.connected()
    await world.pass(20)
    // A minute's worth, not two: who was served by both is not locked out for it.
    assert.ok(world.lacking() > 59 && world.lacking() <= 60)
    assert.deepEqual(a.said, ['closed', 'recovered'])
    assert.equal(world.ask(a) || world.ask(b), false)
  })

  test('a connection that does not work is given up after two failures', async () => {
    const world = new World({ rate: minute, hosts: 1 })
    const [a] = world.hosts as [Host]
    world.store.fault = 'READONLY'
    await world.pass(10)
    assert.equal(a.counts.resets, 0)
    await world.pass(2_500)
    assert.ok(a.counts.resets >= 1)
    world.store.fault = undefined
    await world.pass(1_000)
    assert.equal(a.settler.isUp, true)
    assert.deepEqual(a.said, ['READONLY', 'recovered'])
  })

  test('a crowd takes bounded memory and bounded rounds, and its callers stay counted', async () => {
    const keysMax = 2_000
    const world = new World({ rate: minute, hosts: 1, keysMax })
    const [a] = world.hosts as [Host]
    await world.pass(10)
    for (let count = 0; count < 3 * keysMax; count += 1) {
      world.ask(a, `caller ${count}`)
      if (count % 500 === 0) await world.pass(2)
    }
    assert.ok(a.buckets.size <= keysMax)
    await world.pass(settleEveryMs * 3)
    assert.ok(a.counts.largest <= perRoundMax)
    // Those beyond what is remembered were counted here alone, which is told.
    const { alone } = a.settler.figures
    assert.ok(alone > 0)
    assert.ok(world.store.buckets.delete('probe'))
    assert.equal(world.store.buckets.size + alone, 3 * keysMax)
  })

  test('what was under way when it failed is told later, and once', async () => {
    for (const isCounted of [false, true]) {
      const world = new World({ rate: minute, hosts: 1 })
      const [a] = world.hosts as [Host]
      await world.pass(10)
      assert.ok(world.ask(a) && world.ask(a))
      // The answer is lost, or what was asked as well.
      if (isCounted) {
        world.store.lie = () => {
          throw new Error('lost')
        }
      } else world.store.fault = 'lost'
      await world.pass(20)
      assert.equal(a.settler.isUp, false)
      world.store.fault = undefined
      world.store.lie = undefined
      await world.pass(1_000)
      assert.equal(a.settler.isUp, true)
      const lacking = world.lacking()
      assert.ok(lacking > 0.8 && lacking <= 2, String(lacking))
    }
  })

  test('what is left to tell is told at the end', async () => {
    const world = new World({ rate: minute, hosts: 1 })
    const [a] = world.hosts as [Host]
    await world.pass(10)
    world.ask(a)
    const closed = a.settler.close()
    await world.pass(5)
    await closed
    assert.ok(world.lacking() > 0.9)
    assert.equal(a.counts.isReady, false)
  })
})

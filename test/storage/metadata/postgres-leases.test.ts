// Goal: nobody takes over from a server whose lease has not ended, and nothing is written, nor a job gone on
// with, under a name that somebody else may have taken over. Method: three servers that believe to be on
// hosts of their own over one real PostgreSQL, whose leases are made older than they are instead of waited
// for; random steps, after each of which the table itself is asked. KEELSON_TEST_SEED repeats a run.

import assert from 'node:assert/strict'
import { randomInt, randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { openLiveness } from '../../../src/runtime/liveness.ts'
import { oneHost } from '../../../src/storage/liveness.ts'
import { MemoryMetadataStore } from '../../../src/storage/metadata/memory/store.ts'
import { createPool } from '../../../src/storage/metadata/postgres/connect.ts'
import { leaseMs, Nodes } from '../../../src/storage/metadata/postgres/nodes.ts'
import { openPostgresMetadataStore } from '../../../src/storage/metadata/postgres/open.ts'
import type { PostgresMetadataStore } from '../../../src/storage/metadata/postgres/store.ts'
import { processIdentity } from '../../../src/storage/process-identity.ts'
import { isKind, now, upload } from '../../contract/metadata/scene.ts'
import { Dice, randomFrom } from '../../support/dice.ts'
import { type Database, needsPostgres, PostgresServer } from '../../support/postgres.ts'
import { until } from '../../support/until.ts'

const seed = Number(process.env['KEELSON_TEST_SEED'] ?? randomInt(2 ** 31))
// Of so many each outcome is among them in nearly every run; where one is missing it goes on until it is seen.
const stepsMin = 80
const stepsMax = 600
const outcomes = ['claimed', 'kept out', 'took over', 'saved', 'refused']
const bounds = { connectionsMax: 4, connectTimeoutMs: 60_000, statementTimeoutMs: 60_000 }

interface Held {
  readonly owner: string
  readonly fence: number
}

interface Planted {
  /** Takes over from everybody. */
  readonly steals?: boolean
  /** Its own clock stands. */
  readonly standsStill?: boolean
}

class Scene {
  readonly database: Database
  readonly notices: string[] = []
  readonly #planted: Planted
  #passedMs = 0
  readonly nodes: Nodes[] = []

  constructor(database: Database, planted: Planted = {}) {
    this.database = database
    this.#planted = planted
  }

  async join(index: number, database = this.database): Promise<Nodes> {
    const nodes = new Nodes({
      pool: createPool({ ...database, ...bounds, connectionsMax: 1 }, () => {}),
      ...{ id: randomUUID(), host: `host-${index}`, random: () => 0.5, after: () => () => {} },
      now: () => (this.#planted.standsStill ? 0 : performance.now() + this.#passedMs),
      onNotice: (notice) => this.notices.push(notice),
      // No pid of it says anything here.
      identity: () => `${process.pid}/1/boot ${index}/pid:[1]`,
    })
    await nodes.join()
    this.nodes.push(nodes)
    return nodes
  }

  isAlive(by: Nodes, owner: string): boolean {
    return this.#planted.steals !== true && by.isAlive(owner)
  }

  /** For everybody: the leases are older, and the clocks further. */
  async pass(server: PostgresServer, ms: number): Promise<void> {
    this.#passedMs += ms
    const text = `UPDATE keelson_nodes SET lease_ends = lease_ends - ${ms} * interval '1 millisecond'`
    await server.query(this.database.database, text)
  }

  /** What the table says of the lease that `owner` names. */
  async lease(server: PostgresServer, owner: string): Promise<'held' | 'over' | 'ended'> {
    const [id, epoch] = (owner.split('/')[4] ?? '').split(':')
    const text = `SELECT CASE WHEN ended OR epoch > ${epoch} THEN 'ended'
      WHEN lease_ends < clock_timestamp() THEN 'over' ELSE 'held' END
      FROM keelson_nodes WHERE id = '${id}'`
    const answer = (await server.query(this.database.database, text)).trim()
    return answer === '' ? 'ended' : (answer as 'held')
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((each) => each.close()))
  }
}

describe('leases in a PostgreSQL', needsPostgres, () => {
  let server: PostgresServer
  before(async () => {
    server = await PostgresServer.start()
  })
  after(() => server?.stop())

  async function withScene(
    planted: Planted,
    body: (scene: Scene, store: PostgresMetadataStore) => Promise<void>,
  ): Promise<void> {
    const scene = new Scene(await server.database(), planted)
    const store = await openPostgresMetadataStore({ ...scene.database, ...bounds })
    try {
      await body(scene, store)
    } finally {
      await scene.close()
      await store.close()
    }
  }

  /** Until `isEnough`. Errors: AssertionError where a promise is broken. */
  async function play(
    scene: Scene,
    store: PostgresMetadataStore,
    isEnough: (seen: ReadonlySet<string>, steps: number) => boolean,
  ): Promise<void> {
    const dice = new Dice(randomFrom(seed))
    for (let index = 0; index < 3; index++) await scene.join(index)
    const record = upload()
    await store.createUpload(record)
    const held: (Held | undefined)[] = [undefined, undefined, undefined]
    let last: number | undefined
    const seen = new Set<string>()
    for (let step = 0; step < stepsMax && !isEnough(seen, step); step++) {
      const context = `seed ${seed}, step ${step}`
      const index = dice.below(3)
      const node = scene.nodes[index]!
      const action = dice.below(8)
      if (action < 2) await node.renew()
      else if (action < 4) await scene.pass(server, dice.below(leaseMs))
      else if (action < 6) {
        const owner = node.owner()
        let before: string | undefined
        const claimed = await store
          .claimUpload(record.id, owner, now, (other) => {
            before = other.owner
            return other.owner === undefined || !scene.isAlive(node, other.owner)
          })
          .catch((error: unknown) => {
            if (!isKind('conflict')(error)) throw error
            return undefined
          })
        seen.add(claimed === undefined ? 'kept out' : 'claimed')
        if (claimed !== undefined) {
          if (before !== undefined && before !== owner) {
            assert.equal(await scene.lease(server, before), 'ended', context)
            seen.add('took over')
          }
          held[index] = { owner, fence: claimed.fence }
          last = index
        }
      } else {
        const holds = held[index]
        if (holds === undefined) continue
        const progress = { offset: 0, synced: false, bootId: 'boot', nowMs: now, release: false }
        const isSaved = await store.saveUpload(record.id, holds.owner, holds.fence, progress).then(
          () => true,
          (error: unknown) => {
            if (!isKind('conflict')(error)) throw error
            return false
          },
        )
        assert.equal(isSaved, last === index, context)
        seen.add(isSaved ? 'saved' : 'refused')
      }
      for (const each of scene.nodes) {
        // Asked before the server itself, so that time that passes between does no harm.
        const found = await scene.lease(server, each.owner())
        if (each.problem(each.owner()) !== undefined) continue
        assert.equal(found, 'held', `${context}: goes on`)
      }
    }
    assert.ok(isEnough(seen, stepsMax), `seed ${seed}: only ${[...seen].join()}`)
  }

  test(`nobody takes over from who holds a lease (seed ${seed})`, async () => {
    await withScene({}, async (scene, store) => {
      await play(scene, store, (seen, steps) => {
        return steps >= stepsMin && outcomes.every((each) => seen.has(each))
      })
    })
  })

  for (const planted of [{ steals: true }, { standsStill: true }] as const) {
    test(`a fault is found: ${Object.keys(planted)} (seed ${seed})`, async () => {
      await withScene(planted, async (scene, store) => {
        const isEnough = (_: unknown, steps: number): boolean => steps === stepsMax
        await assert.rejects(play(scene, store, isEnough), { name: 'AssertionError' })
      })
    })
  }

  test('a server that comes back after others gave it up has another name', async () => {
    await withScene({}, async (scene) => {
      const paused = await scene.join(0)
      const other = await scene.join(1)
      const name = paused.owner()
      assert.equal(paused.problem(name), undefined)
      assert.equal(other.isAlive(name), true)
      await scene.pass(server, leaseMs)
      assert.match(paused.problem(name) ?? '', /lease of this server has ended/)
      assert.equal(other.isAlive(name), true, 'nobody has looked')
      await other.renew()
      assert.equal(other.isAlive(name), false)
      await paused.renew()
      await other.renew()
      assert.notEqual(paused.owner(), name)
      assert.equal(paused.isAlive(name), false)
      assert.match(paused.problem(name) ?? '', /lease/)
      assert.equal(paused.problem(paused.owner()), undefined)
      assert.equal(other.isAlive(name), false)
      assert.equal(other.isAlive(paused.owner()), true)
      assert.match(scene.notices.join(), /what it held is given up/)
    })
  })

  test('a clock of the database that is set back revives nobody', async () => {
    await withScene({}, async (scene) => {
      const gone = await scene.join(0)
      const other = await scene.join(1)
      const name = gone.owner()
      await scene.pass(server, leaseMs)
      await other.renew()
      await scene.pass(server, -10 * leaseMs)
      await other.renew()
      assert.equal(other.isAlive(name), false)
      await gone.renew()
      assert.notEqual(gone.owner(), name)
    })
  })

  test('one that ends says so; one that is not listed is gone only after a second look', async () => {
    await withScene({}, async (scene) => {
      const ended = await scene.join(0)
      const other = await scene.join(1)
      const late = await scene.join(2)
      assert.equal(other.isAlive(late.owner()), true, 'entered after the last look')
      await ended.close()
      await other.renew()
      assert.equal(other.isAlive(ended.owner()), false)
      assert.equal(other.isAlive(late.owner()), true)
      const removed = late.owner().replace(/[0-9a-f]{8}-/, '00000000-')
      assert.equal(other.isAlive(removed), true)
      await other.renew()
      assert.equal(other.isAlive(removed), false)
      assert.deepEqual(
        other
          .list()
          .map(({ host, isSelf, ended: isEnded }) => [host, isSelf, isEnded])
          .sort(),
        [
          ['host-0', false, true],
          ['host-1', true, false],
          ['host-2', false, false],
        ],
      )
    })
  })

  test('what no lease tells of counts as alive', async () => {
    await withScene({}, async (scene) => {
      const node = await scene.join(0)
      for (const name of ['', '17', '17/1/another boot/pid:[1]', '17/1/boot 0/pid:[2]/x:y/host']) {
        assert.equal(node.isAlive(name), true, name)
        assert.equal(node.canTell(name), false, name)
      }
    })
  })

  test('while the database is away a server gives up, and is back by itself', async () => {
    const { database } = await withDatabase()
    const plans: (() => void)[] = []
    let passedMs = 0
    const nodes = new Nodes({
      pool: createPool({ ...database, ...bounds, connectionsMax: 1 }, () => {}),
      ...{ id: randomUUID(), host: 'here', random: () => 0.5 },
      after: (_ms, action) => {
        plans.push(action)
        return () => {}
      },
      now: () => performance.now() + passedMs,
      onNotice: (notice) => notices.push(notice),
    })
    const notices: string[] = []
    await nodes.join()
    await server.crash()
    const fire = (): void => plans.shift()?.()
    // A backend may outlive the crash for a moment, and still renew.
    await until('it is told', () => {
      fire()
      return notices.length === 1
    })
    assert.match(notices[0] ?? '', /the lease is not renewed/)
    const other = '1/1/elsewhere/pid:[1]/some-node:1/there'
    assert.equal(nodes.isAlive(other), true)
    passedMs += leaseMs
    assert.match(nodes.problem(nodes.owner()) ?? '', /lease/)
    await server.start()
    await until('it is back', () => {
      fire()
      return nodes.problem(nodes.owner()) === undefined
    })
    await nodes.close()
  })

  async function withDatabase(): Promise<{ readonly database: Database }> {
    const database = await server.database()
    const store = await openPostgresMetadataStore({ ...database, ...bounds })
    await store.close()
    return { database }
  }

  test('only where blobs span hosts a lease is taken', async () => {
    const database = await server.database()
    const store = await openPostgresMetadataStore({ ...database, ...bounds })
    const closing: (() => unknown)[] = []
    const closers = { add: (close: () => unknown) => void closing.push(close) }
    const log = { warn: () => {} }
    try {
      assert.equal(await openLiveness(store, {}, log, closers), oneHost)
      assert.equal(
        await openLiveness(new MemoryMetadataStore(), { spansHosts: true }, log, closers),
        oneHost,
      )
      const liveness = await openLiveness(store, { spansHosts: true }, log, closers)
      assert.ok(liveness.owner().startsWith(`${processIdentity()}/`))
      assert.equal(liveness.isAlive(liveness.owner()), true)
      assert.equal(liveness.isAlive(processIdentity()), true)
      assert.equal(liveness.isAlive(processIdentity().replace(/\/\d+\//, '/1/')), false)
      assert.equal(liveness.problem(liveness.owner()), undefined)
      const count = 'SELECT count(*) FROM keelson_nodes WHERE NOT ended'
      assert.equal((await server.query(database.database, count)).trim(), '1')
      for (const close of closing) await close()
      assert.equal((await server.query(database.database, count)).trim(), '0')
    } finally {
      await store.close()
    }
  })
})

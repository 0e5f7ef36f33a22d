// Goal: however a process dies, the counters of use say afterwards what is stored, and a quota that was full
// or nearly full has not been passed. Method: the clients of the crash tests with their pushes, mounts,
// moves and deletes, killed at random moments, and a recount after each; then clients that push against a
// quota. KEELSON_TEST_SEED repeats the choices.
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { pushWays, tryPush, UsageReader, type Use } from '../http/quota-scene.ts'
import { Dice, randomFrom } from '../support/dice.ts'
import { seededBytes } from '../support/images.ts'
import { assertStatus, digestOf, RegistryClient } from '../support/registry-client.ts'
import { type Server, startServer } from '../support/server.ts'
import { Lane } from './lane.ts'

const seed = Number(process.env['KEELSON_TEST_SEED'] ?? randomInt(2 ** 31))
const timeout = 300_000
const limit = 200_000

/** Of whichever process answers: the dead ones have left their sockets. */
async function recount(rootDir: string): Promise<void> {
  const sockets = (await readdir(rootDir)).filter((name) => name.endsWith('.sock'))
  let answered = 0
  for (const name of sockets) {
    const usage = new UsageReader(join(rootDir, name))
    const use = await usage.read('').catch(() => undefined)
    if (use === undefined) continue
    answered += 1
    await usage.assertExact()
  }
  assert.ok(answered > 0, 'a process answered')
}

async function killAndRecount(
  t: TestContext,
  kills: number,
  processes: number,
  sharing: 'exclusive' | 'shared',
): Promise<void> {
  t.diagnostic(`KEELSON_TEST_SEED=${seed}`)
  const rootDir = await mkdtemp(join(tmpdir(), 'keelson-quota-'))
  const lane = new Lane({ seed, rootDir, processes, sharing, hits: new Map() })
  try {
    await lane.start()
    for (let kill = 0; kill < kills; kill++) {
      await lane.crash()
      await recount(rootDir)
    }
    await lane.end()
  } finally {
    await lane.abandon()
  }
}

test('a killed server has counted what it stored', { timeout }, (t) =>
  killAndRecount(t, 10, 1, 'exclusive'),
)

test('of two servers of one store, the one that goes on counts right', { timeout }, (t) =>
  killAndRecount(t, 4, 2, 'shared'),
)

interface Pusher {
  /** Sizes by digest, of what was acknowledged. */
  readonly stored: Map<string, number>
  readonly dice: Dice
  pushed: number
}

/** Push, and now and then delete, until the server is gone. */
async function work(
  client: RegistryClient,
  number: number,
  pusher: Pusher,
  onPush: () => void,
): Promise<void> {
  const { dice, stored } = pusher
  for (;;) {
    onPush()
    pusher.pushed += 1
    const bytes = seededBytes(`${seed} ${number} ${pusher.pushed}`, 3_000 + dice.below(20_000))
    const digest = digestOf(bytes)
    const answer = await tryPush(client, `full/${number}`, bytes, dice.pick(pushWays))
    if (answer.status === 201) stored.set(digest, bytes.length)
    else assertStatus(answer, 403)
    if (answer.status === 201 && dice.chance(0.6)) continue
    const [oldest] = stored.keys()
    if (oldest === undefined) continue
    // Without an answer it may be gone or not.
    stored.delete(oldest)
    await client.delete(`/v2/full/${number}/blobs/${oldest}`)
  }
}

test('a quota is not passed by pushes of which a kill cut the answers off', {
  timeout,
}, async (t) => {
  t.diagnostic(`KEELSON_TEST_SEED=${seed}`)
  const rootDir = await mkdtemp(join(tmpdir(), 'keelson-quota-'))
  const usage = new UsageReader(join(rootDir, 'admin.sock'))
  const socket = JSON.stringify(usage.socket)
  const toml = `[admin]\nsocket = ${socket}\n[repository.full.quota]\nbytes = "${limit}B"\n`
  const dice = new Dice(randomFrom(seed))
  const pushers = Array.from({ length: 6 }, (): Pusher => {
    return { stored: new Map(), dice: dice.fork(), pushed: 0 }
  })
  let server: Server | undefined
  let highest = 0
  try {
    for (let kill = 0; kill < 6; kill++) {
      server = await startServer({ rootDir, toml })
      await usage.assertExact()
      const use: Use = await usage.read('full')
      assert.ok(use.bytes <= limit, `${use.bytes} of ${limit} after kill ${kill}`)
      highest = Math.max(highest, use.bytes)
      const sure = pushers.flatMap(({ stored }) => [...stored.values()])
      assert.ok(use.bytes >= sure.reduce((sum, size) => sum + size, 0), 'lost nothing')
      const client = new RegistryClient(server.url)
      let left = 20 + dice.below(30)
      const delayMs = dice.below(8)
      const onPush = (): void => {
        left -= 1
        if (left === 0) setTimeout(() => server?.kill(), delayMs)
      }
      const working = pushers.map((pusher, i) => work(client, i, pusher, onPush))
      const ends = await Promise.allSettled(working)
      client.close()
      await server.exited
      for (const end of ends) {
        assert.ok(end.status === 'rejected')
        if (end.reason instanceof assert.AssertionError) throw end.reason
      }
    }
    assert.ok(highest > limit - 50_000, `the quota was nearly full: ${highest}`)
  } finally {
    server?.kill()
    await server?.exited
    await rm(rootDir, { recursive: true, force: true })
  }
})

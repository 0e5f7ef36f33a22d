// Goal: whatever is done to a metadata store, in any order and at once, it answers as a simple model
// does, and its records agree with each other. Method: random operations, some at the same time, on a
// small world; KEELSON_TEST_SEED repeats a run.

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { KeyValueStore } from '../../src/storage/metadata/kv/contract.ts'
import { KeyValueMetadataStore } from '../../src/storage/metadata/kv/store.ts'
import { openLmdb } from '../../src/storage/metadata/lmdb/open.ts'
import { MemoryKeyValueStore } from '../../src/storage/metadata/memory/store.ts'
import { openPostgres } from '../../src/storage/metadata/postgres/open.ts'
import { PostgresMetadataStore } from '../../src/storage/metadata/postgres/store.ts'
import type { FullStore } from '../contract/metadata-store.ts'
import { needsPostgres, PostgresServer } from '../support/postgres.ts'
import { compareMaintenance } from './compare-maintenance.ts'
import { MaintenanceModel } from './maintenance-model.ts'
import { breaches, dump } from './metadata-invariants.ts'
import { takeStep } from './metadata-steps.ts'
import { Dice, digestOf, makeWorld, randomFrom, type World } from './metadata-world.ts'

const seed = Number(process.env['KEELSON_TEST_SEED'] ?? randomInt(2 ** 31))
const stepsOfWholeRun = 6_000
const stepsBetweenChecks = 40
const atOnceMax = 8
const turn = 600
const leaseMaxMs = 1_000
const answersWanted = /busy|condemned|immutable|missing|over-quota|removed|restored|unlinked|used/g

interface Run {
  readonly records: KeyValueStore
  /** Of the same records; each group of operations is asked of one. Default: one. */
  readonly stores?: readonly FullStore[]
  readonly steps?: number
  readonly diagnostic: (text: string) => void
}

async function simulate({ records, diagnostic, ...run }: Run): Promise<void> {
  const { stores = [new KeyValueMetadataStore(records)], steps = stepsOfWholeRun } = run
  diagnostic(`KEELSON_TEST_SEED=${seed}`)
  const dice = new Dice(randomFrom(seed))
  const world = makeWorld(dice)
  const model = new MaintenanceModel()
  let nowMs = 1_000_000
  let checkAt = stepsBetweenChecks
  const kinds = new Set<string>()
  const answers = new Set<string>()
  for (let step = 0; step < steps; ) {
    const store = dice.pick(stores)
    const group = Array.from({ length: 1 + dice.below(atOnceMax) }, () => {
      // Now and then so much that all leases end.
      nowMs += dice.chance(0.05) ? leaseMaxMs : dice.below(3)
      return takeStep({ world, dice, model, store, nowMs }, step % turn < turn / 2)
    })
    for (const { what, expected, actual } of group) {
      assert.deepEqual(await actual, expected, `${what}, step ${step++} of seed ${seed}`)
      for (const [answer] of JSON.stringify(expected)?.matchAll(answersWanted) ?? []) {
        answers.add(answer)
      }
    }
    if (step < checkAt) continue
    checkAt = step + stepsBetweenChecks
    // Of another store, where there are several: what one has written the others see at once.
    const other = dice.pick(stores)
    await compareMaintenance(world, model, other, `step ${step} of seed ${seed}`)
    await compare(world, model, other, `step ${step} of seed ${seed}`)
    assert.deepEqual(
      await records.read(() => breaches(records.reader)),
      [],
      `step ${step} of seed ${seed}`,
    )
    const trees = await records.read(() => [...dump(records.reader).keys()])
    for (const tree of trees) kinds.add(tree)
  }
  if (steps < stepsOfWholeRun) return
  // A run in which one of them never comes up proves nothing about it.
  assert.deepEqual([...answers].sort(), answersWanted.source.split('|').sort())
  assert.ok(kinds.size >= 20, `the run made only records of ${[...kinds].join(' ')}`)
}

async function compare(
  world: World,
  model: MaintenanceModel,
  store: FullStore,
  when: string,
): Promise<void> {
  const all = { limit: 100 }
  const holding: string[] = []
  for (const repository of world.repositories) {
    const expected = model.at(repository)
    if (expected.manifests.size > 0) holding.push(repository)
    const tags = expected.manifests.size > 0 ? [...expected.tags.keys()].sort() : undefined
    assert.deepEqual(await store.listTags(repository, all), tags, when)
    for (const tag of world.tags) {
      assert.equal(await store.readTag(repository, tag), expected.tags.get(tag), when)
      const moves = expected.moves.get(tag) ?? []
      const history = await store.readTagHistory(repository, tag, 20)
      assert.deepEqual(history, moves.slice(0, 20), when)
    }
    for (const blob of world.blobs) {
      const held = await store.readBlob(repository, blob)
      assert.deepEqual(held, model.readBlob(repository, blob), when)
    }
    for (const { digest } of world.manifests) {
      const stored = await store.readManifest(repository, digest)
      const put = expected.manifests.get(digest)
      assert.equal(stored?.mediaType, put?.mediaType, when)
      if (put) assert.ok(Buffer.from(stored!.bytes).equals(put.bytes), when)
    }
    for (const subject of [...world.manifests.map(({ digest }) => digest), digestOf('nobody')]) {
      const referrers = await store.listReferrers(repository, subject, all)
      assert.deepEqual(referrers, expected.referrers(subject), when)
    }
  }
  assert.deepEqual(await store.listRepositories(all), holding.sort(), when)
  for (const prefix of ['', 'a', 'a/b', 'a-b', 'b', 'a/b/c']) {
    assert.deepEqual(await store.readUsage(prefix), model.usage(prefix), `${prefix}, ${when}`)
  }
  assert.deepEqual(await store.recountUsage({ repair: false }), [], when)
  for (const blob of world.blobs) {
    const holders = world.repositories.filter((name) => model.at(name).links.has(blob))
    assert.deepEqual(await store.repositoriesHolding(blob, 9), holders, when)
  }
  for (const id of world.uploads) {
    assert.deepEqual(await store.readUpload(id), model.uploads.get(id), when)
  }
}

test('memory answers as the model does', async (t) => {
  await simulate({ records: new MemoryKeyValueStore(), diagnostic: (text) => t.diagnostic(text) })
})

test('lmdb answers as the model does', async (t) => {
  const path = await mkdtemp(join(tmpdir(), 'keelson-simulate-'))
  const { store } = await openLmdb({
    path,
    durability: 'none',
    sharing: 'exclusive',
    now: Date.now,
  })
  try {
    await simulate({ records: store, diagnostic: (text) => t.diagnostic(text) })
  } finally {
    await store.close()
    await rm(path, { recursive: true })
  }
})

test('two nodes of one PostgreSQL answer as the model does', needsPostgres, async (t) => {
  const server = await PostgresServer.start()
  t.after(() => server.stop())
  const options = {
    ...(await server.database()),
    ...{ connectionsMax: 5, connectTimeoutMs: 60_000, statementTimeoutMs: 60_000 },
  }
  const nodes = [await openPostgres(options), await openPostgres(options)]
  try {
    await simulate({
      records: nodes[0]!.store,
      stores: nodes.map(({ store, database }) => new PostgresMetadataStore(store, database)),
      // Each waits for a database.
      steps: 600,
      diagnostic: (text) => t.diagnostic(text),
    })
  } finally {
    await Promise.all(nodes.map(({ store }) => store.close()))
  }
})

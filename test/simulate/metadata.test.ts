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
import type { FullStore } from '../contract/metadata-store.ts'
import { breaches, dump } from './metadata-invariants.ts'
import { MetadataModel } from './metadata-model.ts'
import { takeStep } from './metadata-steps.ts'
import { Dice, digestOf, makeWorld, randomFrom, type World } from './metadata-world.ts'

const seed = Number(process.env['KEELSON_TEST_SEED'] ?? randomInt(2 ** 31))
const steps = 6_000
const stepsBetweenChecks = 40
const atOnceMax = 8
const turn = 600

async function simulate(records: KeyValueStore, diagnostic: (text: string) => void): Promise<void> {
  diagnostic(`KEELSON_TEST_SEED=${seed}`)
  const dice = new Dice(randomFrom(seed))
  const world = makeWorld(dice)
  const model = new MetadataModel()
  const store = new KeyValueMetadataStore(records)
  let nowMs = 1_000_000
  let checkAt = stepsBetweenChecks
  const kinds = new Set<string>()
  for (let step = 0; step < steps; ) {
    const group = Array.from({ length: 1 + dice.below(atOnceMax) }, () => {
      nowMs += dice.below(3)
      return takeStep({ world, dice, model, store, nowMs }, step % turn < turn / 2)
    })
    for (const { what, expected, actual } of group) {
      assert.deepEqual(await actual, expected, `${what}, step ${step++} of seed ${seed}`)
    }
    if (step < checkAt) continue
    checkAt = step + stepsBetweenChecks
    await compare(world, model, store, `step ${step} of seed ${seed}`)
    assert.deepEqual(breaches(records.reader), [], `step ${step} of seed ${seed}`)
    for (const tree of dump(records.reader).keys()) kinds.add(tree)
  }
  assert.ok(kinds.size >= 11, `the run made only records of ${[...kinds].join(' ')}`)
}

async function compare(
  world: World,
  model: MetadataModel,
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
  for (const blob of world.blobs) {
    const holders = world.repositories.filter((name) => model.at(name).links.has(blob))
    assert.deepEqual(await store.repositoriesHolding(blob, 9), holders, when)
  }
  for (const id of world.uploads) {
    assert.deepEqual(await store.readUpload(id), model.uploads.get(id), when)
  }
}

test('memory answers as the model does', async (t) => {
  await simulate(new MemoryKeyValueStore(), (text) => t.diagnostic(text))
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
    await simulate(store, (text) => t.diagnostic(text))
  } finally {
    await store.close()
    await rm(path, { recursive: true })
  }
})

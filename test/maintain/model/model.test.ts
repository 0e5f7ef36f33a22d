// Goal: whatever garbage collection and its like do beside pushes, and wherever a kill cuts them short,
// nothing is lost that anybody was promised, nothing stays that nobody needs, and the counters are right.
// Method: random clients, jobs, kills and times against a simple model, the same ones each time; another
// KEELSON_TEST_SEED, or "random", goes other ways, KEELSON_TEST_STEPS goes further.

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { gcCalls } from '../../../src/maintain/gc/calls.ts'
import { createGcJob } from '../../../src/maintain/gc/job.ts'
import type { GcSettings } from '../../../src/maintain/gc/settings.ts'
import type { JobDeed } from '../../../src/maintain/job/contract.ts'
import { createPruneJob } from '../../../src/maintain/retention/prune.ts'
import { tagCalls } from '../../../src/maintain/retention/tag-calls.ts'
import { createScrubJob } from '../../../src/maintain/scrub/job.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import type { MaintainScene, StoreKind } from '../../support/maintain.ts'
import { partsOf, settingsOf } from '../retention/scene.ts'
import type { Restored } from './action.ts'
import { youngMinutes } from './model.ts'
import { graceMs, Simulation, untaggedAfterMs, windowMs } from './simulation.ts'

const wanted = process.env['KEELSON_TEST_SEED'] ?? '1'
const seed = wanted === 'random' ? randomInt(2 ** 31) : Number(wanted)
const steps = Number(process.env['KEELSON_TEST_STEPS'] ?? 10_000)
const timeout = 600_000

const gcSettings: GcSettings = {
  ...{ graceMs, restoreWindowMs: windowMs, untagged: 'delete', untaggedAfterMs },
  ...{ orphanReferrers: 'delete', blobsPerSecond: 0, rateBytes: 0, overwrite: false },
}
const gc = createGcJob(() => gcSettings)
const rules = ["!image.tag.startsWith('tmp')", `image.pushed_at > now() - minutes(${youngMinutes})`]
const pruneSettings = settingsOf(rules, { graceMs, restoreWindowMs: windowMs })
const prune = createPruneJob(partsOf(() => pruneSettings))
const scrub = createScrubJob(() => ({ rateBytes: 0, graceMs, peers: [] }))

async function restore(scene: MaintainScene, id: string): Promise<readonly JobDeed[]> {
  const deeds: JobDeed[] = []
  const calls = gcCalls({
    parts: scene.jobParts(),
    settings: () => gcSettings,
    record: (deed) => deeds.push(deed),
  })
  const answer = await calls['/gc/restore']!({ run: id })
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  return deeds
}

async function restoreTag(
  scene: MaintainScene,
  repository: string,
  tag: string,
  to: Digest,
): Promise<Restored> {
  const deeds: JobDeed[] = []
  const calls = tagCalls({
    parts: scene.jobParts(),
    settings: () => ({ graceMs, isImmutable: () => () => false, quotas: () => [] }),
    record: (deed) => deeds.push(deed),
  })
  const { status } = await calls['/tag/restore']!({ repository, tag, to })
  return { status, deeds }
}

async function run(t: TestContext, stores: StoreKind, share: number): Promise<void> {
  t.diagnostic(`KEELSON_TEST_SEED=${seed}`)
  const tally = await Simulation.run({
    ...{ seed, stores, steps: Math.ceil(steps * share) },
    onStart: (scene) => scene.run(gc, { onlyUnfinished: true }),
    ...{ restore, restoreTag },
    chores: (scene) => [
      { kind: 'gc', run: (options) => scene.run(gc, {}, options) },
      { kind: 'prune', run: (options) => scene.run(prune, {}, options) },
      { kind: 'scrub', run: (options) => scene.run(scrub, {}, options) },
    ],
  })
  t.diagnostic(
    Object.entries(tally)
      .map(([kind, count]) => `${kind} ${count}`)
      .join(', '),
  )
}

test('memory: maintenance beside pushes keeps every promise', { timeout }, async (t) => {
  await run(t, 'memory', 0.95)
})

test('lmdb: maintenance beside pushes keeps every promise', { timeout }, async (t) => {
  await run(t, 'lmdb', 0.05)
})

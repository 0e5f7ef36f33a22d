// Records of maintenance jobs: one owner at a time, and where a run that was cut short goes on.

import assert from 'node:assert/strict'
import type { JobRecord, JobStore } from '../../../src/storage/metadata/job-store.ts'
import { type Check, isKind, now } from './scene.ts'

const claim = { kind: 'gc', run: 'r1', owner: 'p1', input: { dryRun: true }, nowMs: now } as const
const held = { owner: 'p1', fence: 1 }
const nobody = (): boolean => false

function end(store: JobStore, isStopped: boolean): Promise<void> {
  const report = { ok: true }
  return store.saveJob('gc', held, { nowMs: now + 2, end: { report, isStopped } })
}

export function runningJobs(check: Check): void {
  check('a job that was claimed is its owner’s, with what it saves', async ({ store, reopen }) => {
    assert.equal(await store.readJob('gc'), undefined)
    const record: JobRecord = {
      ...claim,
      startedAtMs: now,
      updatedAtMs: now,
      fence: 1,
      progress: undefined,
      checkpoint: undefined,
      report: undefined,
    }
    const { nowMs: _, ...expected } = { ...record, nowMs: 0 }
    assert.deepEqual(await store.claimJob(claim, nobody), expected)
    assert.deepEqual(await store.readJob('gc'), expected)
    assert.equal(await store.readJob('scrub'), undefined)
    const progress = { done: 3, of: [1, null] }
    await store.saveJob('gc', held, { nowMs: now + 1, progress, checkpoint: 'here' })
    await store.saveJob('gc', held, { nowMs: now + 2 })
    const next = (await reopen?.()) ?? store
    const saved = { ...expected, updatedAtMs: now + 2, progress, checkpoint: 'here' }
    assert.deepEqual(await next.readJob('gc'), saved)
  })

  check('a held job is claimed only where its owner is gone', async ({ store }) => {
    await store.claimJob(claim, nobody)
    await store.saveJob('gc', held, { nowMs: now + 1, checkpoint: { at: 5 } })
    const rival = { ...claim, run: 'r2', owner: 'p2', nowMs: now + 9 }
    assert.equal(await store.claimJob(rival, nobody), undefined)
    assert.equal((await store.readJob('gc'))?.run, 'r1')
    const asked: JobRecord[] = []
    const taken = await store.claimJob(rival, (record) => asked.push(record) > 0)
    assert.equal(asked[0]?.owner, 'p1')
    assert.equal(taken?.fence, 2)
    assert.deepEqual(taken.checkpoint, { at: 5 })
    assert.equal(taken.startedAtMs, now + 9)
    await assert.rejects(store.saveJob('gc', held, { nowMs: now }), isKind('conflict'))
    const stale = { owner: 'p2', fence: 1 }
    await assert.rejects(store.saveJob('gc', stale, { nowMs: now }), isKind('conflict'))
    assert.equal((await store.readJob('gc'))?.updatedAtMs, now + 9)
  })

  check('of claims at once one wins', async ({ store }) => {
    const owners = ['p1', 'p2', 'p3', 'p4']
    const claims = owners.map((owner) => store.claimJob({ ...claim, owner }, nobody))
    const won = (await Promise.all(claims)).filter((record) => record !== undefined)
    assert.equal(won.length, 1)
    assert.equal((await store.readJob('gc'))?.owner, won[0]?.owner)
  })

  check('a run that ended leaves its report, and the next starts anew', async ({ store }) => {
    await store.claimJob(claim, nobody)
    await store.saveJob('gc', held, { nowMs: now + 1, progress: 1, checkpoint: 'here' })
    await end(store, false)
    const ended = await store.readJob('gc')
    assert.equal(ended?.endedAtMs, now + 2)
    assert.equal(ended.owner, undefined)
    assert.deepEqual(ended.report, { ok: true })
    assert.equal(ended.checkpoint, undefined)
    await assert.rejects(store.saveJob('gc', held, { nowMs: now }), isKind('conflict'))
    const next = await store.claimJob({ ...claim, owner: 'p2' }, nobody)
    assert.equal(next?.fence, 2)
    assert.equal(next.endedAtMs, undefined)
    assert.equal(next.report, undefined)
    assert.equal(next.progress, undefined)
  })

  check('a run that was stopped leaves where to go on', async ({ store }) => {
    await store.claimJob(claim, nobody)
    await store.saveJob('gc', held, { nowMs: now + 1, checkpoint: 'here' })
    await end(store, true)
    const next = await store.claimJob({ ...claim, owner: 'p2' }, nobody)
    assert.equal(next?.checkpoint, 'here')
    await store.saveJob('gc', { owner: 'p2', fence: 2 }, { nowMs: now, checkpoint: null })
    assert.equal((await store.readJob('gc'))?.checkpoint, null)
  })

  check('a record of more than 64 KiB is refused, and changes nothing', async ({ store }) => {
    await store.claimJob(claim, nobody)
    const progress = 'x'.repeat(64 * 1024)
    await assert.rejects(store.saveJob('gc', held, { nowMs: now + 1, progress }))
    assert.equal((await store.readJob('gc'))?.updatedAtMs, now)
  })

  check('a run that is under way is asked to stop', async ({ store }) => {
    assert.equal(await store.askJobToStop('gc', 'r1'), false)
    await store.claimJob(claim, nobody)
    assert.equal(await store.askJobToStop('gc', 'r0'), false)
    assert.equal((await store.readJob('gc'))?.isAskedToStop, undefined)
    assert.equal(await store.askJobToStop('gc', 'r1'), true)
    await store.saveJob('gc', held, { nowMs: now + 1 })
    assert.equal((await store.readJob('gc'))?.isAskedToStop, true)
    await end(store, true)
    assert.equal((await store.readJob('gc'))?.isAskedToStop, undefined)
    assert.equal(await store.askJobToStop('gc', 'r1'), false)
  })

  check('whose tree the blobs lie in is remembered until it is taken over', async (scene) => {
    const { store } = scene
    assert.equal(await store.readAdoption(), undefined)
    const adoption = { sinceMs: now, of: '/var/lib/registry “old”' }
    await store.setAdoption(adoption)
    const next = (await scene.reopen?.()) ?? store
    assert.deepEqual(await next.readAdoption(), adoption)
    await next.setAdoption(undefined)
    assert.equal(await next.readAdoption(), undefined)
  })
}

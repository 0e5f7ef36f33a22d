// What maintenance does at random in the metadata simulation, mostly to what is there.

import type { Dropped, EndedLease, RemovedManifest } from '../../src/storage/metadata/garbage.ts'
import type { MaintenanceModel } from './maintenance-model.ts'
import { immutability, type Operation, outcome, type Scene } from './step.ts'

type Cast = Pick<Scene, 'world' | 'dice' | 'model' | 'nowMs'>

const runs = ['run-1', 'run-2']

const condemn: Operation = ({ world, dice, model, store, nowMs }) => {
  const leases = dice.some(model.leases(), 0.8).map((lease): EndedLease => {
    if (dice.chance(0.9)) return lease
    const digest = dice.pick(world.blobs)
    return {
      untilMs: lease.untilMs - dice.below(2),
      digest,
      repository: dice.pick(world.repositories),
    }
  })
  const run = dice.pick(runs)
  return {
    what: `condemn ${leases.length} leases`,
    expected: leases.map((lease) => model.condemn(lease, nowMs, run)),
    actual: outcome(store.condemn(leases, { nowMs, run })),
  }
}

const restoreDropped: Operation = (scene) => {
  const { dice, model, store, nowMs } = scene
  const dropped = someDropped(scene, 0.3)
  const leaseUntilMs = nowMs + dice.below(1000)
  return {
    what: `restore ${dropped.length}`,
    expected: dropped.map((each) => model.restoreDropped(each, leaseUntilMs)),
    actual: outcome(store.restoreDropped(dropped, { nowMs, leaseUntilMs })),
  }
}

const beginDestroy: Operation = (scene) => {
  const { model, store } = scene
  const dropped = someDropped(scene, 0.6)
  return {
    what: `begin to destroy ${dropped.length}`,
    expected: model.beginDestroy(dropped),
    actual: outcome(store.beginDestroy(dropped)),
  }
}

const endDestroy: Operation = ({ world, dice, model, store }) => {
  const digests = dice.some([...model.blobs.destroying], 0.2)
  if (dice.chance(0.1)) digests.push(dice.pick(world.blobs))
  model.endDestroy(digests)
  return {
    what: `end to destroy ${digests}`,
    expected: undefined,
    actual: outcome(store.endDestroy(digests)),
  }
}

const markUnused: Operation = ({ world, dice, model, store, nowMs }) => {
  const repository = dice.pick(world.repositories)
  const digests = world.manifests.map(({ digest }) => digest)
  const marks = { unused: dice.some(digests, 0.5), used: dice.some(digests, 0.1) }
  model.markUnused(repository, marks.unused, marks.used, nowMs)
  return {
    what: `mark manifests of ${repository}`,
    expected: undefined,
    actual: outcome(store.markUnused(repository, marks, nowMs)),
  }
}

const removeUnused: Operation = ({ world, dice, model, store, nowMs }) => {
  const repository = dice.pick(world.repositories)
  const { digest } = dice.pick(world.manifests)
  const by = {
    ...{ nowMs, leaseUntilMs: nowMs + dice.below(1000) },
    tags: dice.some(world.tags, 0.3),
    ...(dice.chance(0.5) ? { run: dice.pick(runs) } : {}),
    ...(dice.chance(0.5) ? { unusedBeforeMs: nowMs - dice.below(50) } : {}),
  }
  return {
    what: `remove unused ${digest} from ${repository}`,
    expected: model.removeUnused(repository, digest, by),
    actual: outcome(store.removeUnused(repository, digest, by)),
  }
}

const freeTags: Operation = ({ world, dice, model, store, nowMs }) => {
  const repository = dice.pick(world.repositories)
  const { tags } = model.at(repository)
  const digest = dice.pick([...tags.values(), dice.pick(world.manifests).digest])
  const seen = dice
    .some([...tags.keys()], 0.7)
    .map((tag) => ({ ...model.at(repository).times(tag), digest }))
    .map((times) => (dice.chance(0.9) ? times : { ...times, pulledAtMs: nowMs }))
  const isImmutable = immutability(dice)
  const by = { nowMs, leaseUntilMs: nowMs + dice.below(1000), run: dice.pick(runs), isImmutable }
  return {
    what: `free ${seen.map(({ tag }) => tag)} of ${digest} in ${repository}`,
    expected: model.freeTags(repository, digest, seen, by),
    actual: outcome(store.freeTags(repository, digest, seen, by)),
  }
}

const restoreManifest: Operation = ({ world, dice, model, store, nowMs }) => {
  const known = model.listRemoved().map(({ removed }) => removed)
  const { digest, mediaType } = dice.pick(world.manifests)
  const repository = dice.pick(world.repositories)
  const nothing = { mediaType, size: 0, tags: [], children: [] }
  const unknown: RemovedManifest = { atMs: nowMs, repository, digest, ...nothing }
  const removed = known.length === 0 || dice.chance(0.05) ? unknown : dice.pick(known)
  const tags = dice.chance(0.5) ? removed.tags : dice.some(world.tags, 0.3)
  const by = { nowMs, leaseUntilMs: nowMs + dice.below(1000), tags }
  return {
    what: `restore ${removed.digest} in ${removed.repository}`,
    expected: model.restoreManifest(removed, by),
    actual: outcome(store.restoreManifest(removed, by)),
  }
}

const forgetRemoved: Operation = ({ dice, model, store }) => {
  const removed = dice.some(model.listRemoved(), 0.1).map((each) => each.removed)
  for (const { atMs, digest, repository } of removed) {
    model.removed.delete(`${atMs} ${digest} ${repository}`)
  }
  return {
    what: `forget ${removed.length} removed manifests`,
    expected: undefined,
    actual: outcome(store.forgetRemovedManifests(removed)),
  }
}

const recordPulls: Operation = ({ world, dice, model, store, nowMs }) => {
  const references = [...world.tags, ...world.manifests.map(({ digest }) => digest)]
  const pulls = dice.some(references, 0.3).map((reference) => {
    return { repository: dice.pick(world.repositories), reference, atMs: nowMs - dice.below(9) }
  })
  model.recordPulls(pulls)
  return {
    what: `record ${pulls.length} pulls`,
    expected: undefined,
    actual: outcome(store.recordPulls(pulls)),
  }
}

/** Mostly what is there, sometimes what never was. */
function someDropped({ world, dice, model, nowMs }: Cast, share: number): Dropped[] {
  const dropped = dice.some(model.blobs.dropped(), share)
  if (dice.chance(0.8)) return dropped
  const digest = dice.pick(world.blobs)
  return [...dropped, { atMs: condemnedAt(model, digest) ?? nowMs, digest, size: 0, run: 'none' }]
}

function condemnedAt(model: MaintenanceModel, digest: Dropped['digest']): number | undefined {
  const atMs = model.blobs.condemned.get(digest)
  return atMs === undefined ? undefined : atMs - 1
}

export const maintaining: readonly Operation[] = [
  ...[condemn, condemn, condemn, restoreDropped, beginDestroy, beginDestroy, endDestroy],
  ...[markUnused, removeUnused, freeTags, restoreManifest, restoreManifest, forgetRemoved],
  recordPulls,
]

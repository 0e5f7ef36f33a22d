// One random operation of the metadata simulation, done on the store and on the model alike.

import type { RepositoryName } from '../../src/oci/name.ts'
import type { ManifestPut } from '../../src/storage/metadata/contract.ts'
import type { Quota } from '../../src/storage/metadata/usage.ts'
import { maintaining } from './maintenance-steps.ts'
import { conflict } from './metadata-model.ts'
import type { Dice } from './metadata-world.ts'
import { immutability, kindOf, type Operation, outcome, type Scene, type Step } from './step.ts'

const owners = ['p1', 'p2']

const linkBlob: Operation = ({ world, dice, model, store, nowMs }) => {
  const repository = dice.pick(world.repositories)
  const digest = dice.pick(world.blobs)
  const size = world.blobs.indexOf(digest) * 10
  const leaseUntilMs = nowMs + dice.below(1000)
  const upload = dice.chance(0.3) ? holder({ world, dice, model }) : undefined
  const quotas = quotasFor(dice, repository)
  const blob = { repository, digest, size, leaseUntilMs, quotas }
  return {
    what: `link ${digest} in ${repository}`,
    expected: model.linkBlob(repository, digest, size, leaseUntilMs, quotas, upload),
    actual: outcome(store.linkBlob(upload ? { ...blob, upload } : blob)),
  }
}

const mountBlob: Operation = ({ world, dice, model, store, nowMs }) => {
  const source = dice.pick(world.repositories)
  const target = dice.pick(world.repositories)
  const digest = dice.pick(world.blobs)
  const leaseUntilMs = nowMs + dice.below(1000)
  const quotas = quotasFor(dice, target)
  return {
    what: `mount ${digest} from ${source} in ${target}`,
    expected: model.mountBlob(source, target, digest, leaseUntilMs, quotas),
    actual: outcome(store.mountBlob(source, target, digest, leaseUntilMs, quotas)),
  }
}

const renewLease: Operation = ({ world, dice, model, store, nowMs }) => {
  const repository = dice.pick(world.repositories)
  const digest = dice.pick(world.blobs)
  const leaseUntilMs = nowMs + dice.below(1000)
  return {
    what: `renew ${digest} in ${repository}`,
    expected: model.renewLease(repository, digest, leaseUntilMs),
    actual: outcome(store.renewLease(repository, digest, leaseUntilMs)),
  }
}

const unlinkBlob: Operation = ({ world, dice, model, store, nowMs }) => {
  const repository = dice.pick(world.repositories)
  const digest = dice.pick(world.blobs)
  const leaseUntilMs = nowMs + dice.below(1000)
  return {
    what: `unlink ${digest} from ${repository}`,
    expected: model.unlinkBlob(repository, digest, leaseUntilMs),
    actual: outcome(store.unlinkBlob(repository, digest, leaseUntilMs)),
  }
}

const putManifest: Operation = ({ world, dice, model, store, nowMs }) => {
  const { subject, ...blueprint } = dice.pick(world.manifests)
  const { digest, bytes, mediaType } = blueprint
  const annotations = { kind: mediaType }
  const repository = dice.pick(world.repositories)
  const put: ManifestPut = {
    ...blueprint,
    repository,
    quotas: quotasFor(dice, repository),
    isImmutable: immutability(dice),
    tags: dice.some(world.tags, 0.3),
    allowMissingBlobs: dice.chance(0.1),
    allowMissingChildren: dice.chance(0.1),
    nowMs,
    ...(subject === undefined
      ? {}
      : { subject, descriptor: { mediaType, digest, size: bytes.length, annotations } }),
  }
  return {
    what: `put ${digest} in ${put.repository} as ${put.tags}`,
    expected: model.putManifest(put),
    actual: outcome(store.putManifest(put)),
  }
}

const deleteManifest: Operation = ({ world, dice, model, store, nowMs }) => {
  const repository = dice.pick(world.repositories)
  const { digest } = dice.pick(world.manifests)
  const leaseUntilMs = nowMs + dice.below(1000)
  const isImmutable = immutability(dice)
  return {
    what: `delete ${digest} from ${repository}`,
    expected: model.deleteManifest(repository, digest, nowMs, leaseUntilMs, isImmutable),
    actual: outcome(
      store.deleteManifest(repository, digest, nowMs, leaseUntilMs, isImmutable).then(kindOf),
    ),
  }
}

const deleteTag: Operation = ({ world, dice, model, store, nowMs }) => {
  const repository = dice.pick(world.repositories)
  const tag = dice.pick(world.tags)
  const isImmutable = immutability(dice)
  return {
    what: `delete tag ${tag} from ${repository}`,
    expected: model.deleteTag(repository, tag, nowMs, isImmutable),
    actual: outcome(store.deleteTag(repository, tag, nowMs, isImmutable).then(kindOf)),
  }
}

const createUpload: Operation = ({ world, dice, model, store, nowMs }) => {
  const id = dice.pick(world.uploads)
  const record = {
    id,
    repository: dice.pick(world.repositories),
    algorithm: dice.pick(['sha256', 'sha512'] as const),
    offset: 0,
    synced: false,
    bootId: 'boot',
    fence: 0,
    startedAtMs: nowMs,
    touchedAtMs: nowMs,
  }
  const isTaken = model.uploads.has(id)
  if (!isTaken) model.uploads.set(id, record)
  return {
    what: `create upload ${id}`,
    expected: isTaken ? conflict : undefined,
    actual: outcome(store.createUpload(record)),
  }
}

const claimUpload: Operation = ({ world, dice, model, store, nowMs }) => {
  const id = dice.pick(world.uploads)
  const owner = dice.pick(owners)
  const mayTake = dice.chance(0.5)
  return {
    what: `claim ${id} for ${owner}`,
    expected: model.claimUpload(id, owner, nowMs, mayTake),
    actual: outcome(store.claimUpload(id, owner, nowMs, () => mayTake)),
  }
}

const saveUpload: Operation = ({ world, dice, model, store, nowMs }) => {
  const { id, owner, fence } = holder({ world, dice, model })
  const progress = {
    offset: dice.below(1000),
    ...(dice.chance(0.5) ? { digest: dice.pick(world.blobs) } : {}),
    ...(dice.chance(0.3) ? { hashState: 'AAAA' } : {}),
    synced: dice.chance(0.5),
    bootId: dice.pick(['boot', 'next']),
    nowMs,
    release: dice.chance(0.2),
  }
  return {
    what: `save ${id} for ${owner}`,
    expected: model.saveUpload(id, owner, fence, progress),
    actual: outcome(store.saveUpload(id, owner, fence, progress)),
  }
}

const removeUpload: Operation = ({ world, dice, model, store }) => {
  const { id, fence } = holder({ world, dice, model })
  return {
    what: `remove ${id} with fence ${fence}`,
    expected: model.removeUpload(id, fence),
    actual: outcome(store.removeUpload(id, fence)),
  }
}

const sessions = [createUpload, claimUpload, saveUpload, removeUpload]

// Taken by turns, so that repositories fill up and become empty again.
const growing: readonly Operation[] = [
  ...[linkBlob, linkBlob, linkBlob, mountBlob, renewLease, unlinkBlob],
  ...[putManifest, putManifest, putManifest, putManifest, deleteManifest, deleteTag],
  ...sessions,
  ...maintaining,
]
const shrinking: readonly Operation[] = [
  ...[linkBlob, mountBlob, renewLease, unlinkBlob, unlinkBlob, unlinkBlob],
  ...[putManifest, deleteManifest, deleteManifest, deleteManifest, deleteManifest, deleteTag],
  ...sessions,
  ...maintaining,
]

/** Ask the store without waiting for it, and the model. */
export function takeStep(scene: Scene, isGrowing: boolean): Step {
  return scene.dice.pick(isGrowing ? growing : shrinking)(scene)
}

/** Mostly who holds the session, sometimes somebody who does not. */
function holder({ world, dice, model }: Pick<Scene, 'world' | 'dice' | 'model'>): {
  readonly id: (typeof world.uploads)[number]
  readonly owner: string
  readonly fence: number
} {
  const id = dice.pick(world.uploads)
  const record = model.uploads.get(id)
  const owner = record?.owner ?? dice.pick(owners)
  return { id, owner, fence: (record?.fence ?? 0) + (dice.chance(0.2) ? -1 : 0) }
}

/** Mostly none; otherwise now roomy, now far below what is there, as if the configuration had changed. */
function quotasFor(dice: Dice, repository: RepositoryName): Quota[] {
  if (dice.chance(0.5)) return []
  const parts = repository.split('/')
  return parts.concat('').flatMap((_, length): Quota[] => {
    if (dice.chance(0.5)) return []
    return [
      {
        prefix: parts.slice(0, length).join('/'),
        ...(dice.chance(0.8) ? { bytesMax: dice.below(20_000) } : {}),
        ...(dice.chance(0.5) ? { tagsMax: dice.below(8) } : {}),
      },
    ]
  })
}

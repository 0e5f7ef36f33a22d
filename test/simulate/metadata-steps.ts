// One random operation of the metadata simulation, done on the store and on the model alike.

import { StorageError } from '../../src/storage/error.ts'
import type { ManifestPut } from '../../src/storage/metadata/contract.ts'
import type { FullStore } from '../contract/metadata-store.ts'
import { conflict, type MetadataModel } from './metadata-model.ts'
import type { Dice, World } from './metadata-world.ts'

export interface Step {
  readonly what: string
  /** Applied in the order in which the store was asked. */
  readonly expected: unknown
  readonly actual: Promise<unknown>
}

interface Scene {
  readonly world: World
  readonly dice: Dice
  readonly model: MetadataModel
  readonly store: FullStore
  /** Grows with each step; stands for the time. */
  readonly nowMs: number
}

type Operation = (scene: Scene) => Step

const owners = ['p1', 'p2']

const linkBlob: Operation = ({ world, dice, model, store, nowMs }) => {
  const repository = dice.pick(world.repositories)
  const digest = dice.pick(world.blobs)
  const size = world.blobs.indexOf(digest) * 10
  const leaseUntilMs = nowMs + dice.below(1000)
  const upload = dice.chance(0.3) ? holder({ world, dice, model }) : undefined
  return {
    what: `link ${digest} in ${repository}`,
    expected: model.linkBlob(repository, digest, size, leaseUntilMs, upload),
    actual: outcome(
      store.linkBlob({ repository, digest, size, leaseUntilMs, ...(upload ? { upload } : {}) }),
    ),
  }
}

const mountBlob: Operation = ({ world, dice, model, store, nowMs }) => {
  const source = dice.pick(world.repositories)
  const target = dice.pick(world.repositories)
  const digest = dice.pick(world.blobs)
  const leaseUntilMs = nowMs + dice.below(1000)
  return {
    what: `mount ${digest} from ${source} in ${target}`,
    expected: model.mountBlob(source, target, digest, leaseUntilMs),
    actual: outcome(store.mountBlob(source, target, digest, leaseUntilMs)),
  }
}

const renewLease: Operation = ({ world, dice, model, store, nowMs }) => {
  const repository = dice.pick(world.repositories)
  const digest = dice.pick(world.blobs)
  const leaseUntilMs = nowMs + dice.below(1000)
  return {
    what: `renew ${digest} in ${repository}`,
    expected: model.mountBlob(repository, repository, digest, leaseUntilMs),
    actual: outcome(store.renewLease(repository, digest, leaseUntilMs)),
  }
}

const unlinkBlob: Operation = ({ world, dice, model, store, nowMs }) => {
  const repository = dice.pick(world.repositories)
  const digest = dice.pick(world.blobs)
  return {
    what: `unlink ${digest} from ${repository}`,
    expected: model.unlinkBlob(repository, digest),
    actual: outcome(store.unlinkBlob(repository, digest, nowMs + dice.below(1000))),
  }
}

const putManifest: Operation = ({ world, dice, model, store, nowMs }) => {
  const { subject, ...blueprint } = dice.pick(world.manifests)
  const { digest, bytes, mediaType } = blueprint
  const annotations = { kind: mediaType }
  const put: ManifestPut = {
    ...blueprint,
    repository: dice.pick(world.repositories),
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
  return {
    what: `delete ${digest} from ${repository}`,
    expected: model.deleteManifest(repository, digest, nowMs, leaseUntilMs),
    actual: outcome(store.deleteManifest(repository, digest, nowMs, leaseUntilMs)),
  }
}

const deleteTag: Operation = ({ world, dice, model, store, nowMs }) => {
  const repository = dice.pick(world.repositories)
  const tag = dice.pick(world.tags)
  return {
    what: `delete tag ${tag} from ${repository}`,
    expected: model.deleteTag(repository, tag, nowMs),
    actual: outcome(store.deleteTag(repository, tag, nowMs)),
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
  const id = dice.pick(world.uploads)
  model.uploads.delete(id)
  return { what: `remove ${id}`, expected: undefined, actual: outcome(store.removeUpload(id)) }
}

const sessions = [createUpload, claimUpload, saveUpload, removeUpload]

// Taken by turns, so that repositories fill up and become empty again.
const growing: readonly Operation[] = [
  ...[linkBlob, linkBlob, linkBlob, mountBlob, renewLease, unlinkBlob],
  ...[putManifest, putManifest, putManifest, putManifest, deleteManifest, deleteTag],
  ...sessions,
]
const shrinking: readonly Operation[] = [
  ...[linkBlob, mountBlob, renewLease, unlinkBlob, unlinkBlob, unlinkBlob],
  ...[putManifest, deleteManifest, deleteManifest, deleteManifest, deleteManifest, deleteTag],
  ...sessions,
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

/** A conflict is an answer here; anything else that is thrown is a failure. */
async function outcome(promise: Promise<unknown>): Promise<unknown> {
  try {
    return await promise
  } catch (error) {
    if (error instanceof StorageError && error.kind === 'conflict') return conflict
    throw error
  }
}

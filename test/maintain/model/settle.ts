// What became of an action that nobody has answered: all of it, or nothing.

import assert from 'node:assert/strict'
import type { Digest } from '../../../src/oci/digest.ts'
import type { MaintainScene } from '../../support/maintain.ts'
import { assertStatus } from '../../support/registry-client.ts'
import type { RepositoryModel } from './model.ts'
import type { Image } from './world.ts'

/** A blob that was pushed or mounted: nobody was promised anything that was not promised before. */
export async function settleBlob(
  scene: MaintainScene,
  repository: RepositoryModel,
  blob: Digest,
): Promise<void> {
  const answer = await scene.send('GET', `/v2/${repository.name}/blobs/${blob}`)
  if (answer.status === 200) return repository.suspect(blob, scene.nowMs + scene.graceMs)
  assertStatus(answer, 404, `blob ${blob}`)
  assert.notEqual(repository.presence(blob, scene.nowMs), 'there', `${blob} was promised`)
  repository.forget(blob)
}

/** An image that somebody was about to push, to bring back or to delete. */
export async function settleImage(
  scene: MaintainScene,
  repository: RepositoryModel,
  image: Image,
  deed: 'hold' | 'drop',
): Promise<void> {
  const { nowMs } = scene
  const target = `/v2/${repository.name}/manifests/${image.digest}`
  const answer = await scene.send('GET', target)
  const presence = repository.imagePresence(image.digest, nowMs)
  if (answer.status === 200) {
    // One that was there before may not have been pushed again, and stays no longer for it.
    if (presence !== 'gone') return repository.confirm(image.digest, nowMs)
    assert.equal(deed, 'hold', `${image.digest} was gone`)
    return repository.hold(image, undefined, nowMs)
  }
  assertStatus(answer, 404, `manifest ${image.digest}`)
  if (presence === 'there') {
    assert.equal(deed, 'drop', `${image.digest} was there, and nobody was to delete it`)
    repository.drop(image, nowMs, nowMs)
  } else if (presence === 'either') repository.lose(image, nowMs)
}

/** A tag that was to name one of `others`, or nothing. */
export async function settleTag(
  scene: MaintainScene,
  repository: RepositoryModel,
  tag: string,
  others: readonly (Digest | undefined)[],
): Promise<void> {
  const { nowMs } = scene
  const answer = await scene.send('GET', `/v2/${repository.name}/manifests/${tag}`)
  if (answer.status !== 200) assertStatus(answer, 404, `tag ${tag}`)
  const found = answer.status === 200 ? answer.headers['docker-content-digest'] : undefined
  const before = repository.tags.get(tag)
  const pruned = repository.mayBePruned(tag, nowMs) ? [undefined] : []
  const allowed = [before, ...pruned, ...others]
  const digest = allowed.find((each) => each === found)
  assert.ok(allowed.includes(digest), `${tag} names ${found}, not ${allowed.join(' or ')}`)
  assert.equal(digest, found, `${tag} names ${found}, not ${allowed.join(' or ')}`)
  if (digest !== undefined && digest === before && others.includes(digest)) {
    repository.suspectPush(tag, nowMs)
  } else repository.setTag(tag, digest, nowMs)
}

// What clients and operators do with tags in the model test.

import assert from 'node:assert/strict'
import { assertStatus } from '../../support/registry-client.ts'
import { assertPresence, type Deal, placeOf } from './action.ts'
import { enterDeed } from './deeds.ts'
import type { Presence, RepositoryModel } from './model.ts'
import { settleImage, settleTag } from './settle.ts'
import type { Image, World } from './world.ts'

export const deleteTag: Deal = ({ dice, scene, world }, repository) => {
  const tag = dice.pick(world.tags)
  return {
    what: `delete tag ${tag} of ${repository.name}`,
    repositories: [repository.name],
    run: async () => {
      const expected = tagPresence(repository, tag, scene.nowMs)
      const answer = await scene.send('DELETE', `/v2/${repository.name}/manifests/${tag}`)
      assertPresence(answer, expected, 202, 404)
      repository.setTag(tag, undefined, scene.nowMs)
    },
    settle: () => settleTag(scene, repository, tag, [undefined]),
  }
}

function tagPresence(repository: RepositoryModel, tag: string, nowMs: number): Presence {
  if (!repository.tags.has(tag)) return 'gone'
  return repository.mayBePruned(tag, nowMs) ? 'either' : 'there'
}

/** As a client pulls an image: all of it is there, also where the tag goes meanwhile. */
export const pull: Deal = ({ dice, scene, world }, repository) => {
  const tag = dice.pick(world.tags)
  return {
    what: `pull ${tag} of ${repository.name}`,
    repositories: [repository.name],
    run: async () => {
      const expected = tagPresence(repository, tag, scene.nowMs)
      const answer = await scene.send('GET', `/v2/${repository.name}/manifests/${tag}`)
      if (!assertPresence(answer, expected, 200, 404)) {
        return repository.setTag(tag, undefined, scene.nowMs)
      }
      const digest = repository.tags.get(tag)!
      const held = world.images.get(digest)!
      assert.ok(answer.body.equals(held.bytes), 'the bytes of the manifest')
      repository.confirm(digest, scene.nowMs)
      for (const blob of held.blobs) {
        const part = await scene.send('GET', `/v2/${repository.name}/blobs/${blob}`)
        assertStatus(part, 200, `blob ${blob} of ${digest}`)
        assert.ok(part.body.equals(world.contents.get(blob)!), 'the bytes of a blob')
      }
    },
    settle: async () => undefined,
  }
}

/** As an operator does, whatever job is at work. */
export const restoreTag: Deal = (client, repository) => {
  const { dice, scene, world } = client
  const tag = dice.pick(world.tags)
  const known = repository.namedBy(tag)
  if (known.length === 0) return undefined
  const wanted = world.images.get(dice.pick(known))!
  return {
    what: `restore ${repository.name}:${tag} to ${wanted.digest}`,
    repositories: [repository.name],
    run: async () => {
      const { nowMs } = scene
      for (const { digest } of nestOf(world, wanted)) {
        client.touched.add(placeOf(repository.name, digest))
      }
      const { status, deeds } = await client.restoreTag(repository.name, tag, wanted.digest)
      for (const deed of deeds) enterDeed(client, deed)
      if (status === 200) return
      assert.equal(status, 409, 'the answer of a restore')
      if (repository.tags.get(tag) === wanted.digest) return
      assert.ok(!repository.isRestorable(wanted.digest, nowMs), `${wanted.digest} can come back`)
    },
    settle: async () => {
      // What it lists comes back before it.
      for (const each of nestOf(world, wanted).toReversed()) {
        await settleImage(scene, repository, each, 'hold')
      }
      await settleTag(scene, repository, tag, [wanted.digest])
    },
  }
}

/** Each once, and before what it lists. */
function nestOf(world: World, top: Image): readonly Image[] {
  const found = new Set([top])
  for (const { children } of found) {
    for (const child of children) found.add(world.images.get(child)!)
  }
  return [...found]
}

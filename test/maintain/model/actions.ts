// What clients do in the model test: each action asks the registry, holds the answer against the model and
// enters it there; and says what may have happened where no answer came.

import assert from 'node:assert/strict'
import type { Digest } from '../../../src/oci/digest.ts'
import type { Dice } from '../../support/dice.ts'
import type { MaintainScene } from '../../support/maintain.ts'
import { type Answer, assertStatus, locationOf } from '../../support/registry-client.ts'
import { type Action, assertPresence, type Client, type Deal, placeOf } from './action.ts'
import type { Presence, RepositoryModel } from './model.ts'
import { settleBlob, settleImage, settleTag } from './settle.ts'
import { deleteTag, pull, restoreTag } from './tag-actions.ts'
import type { Image, World } from './world.ts'

const image = 'manifests'

const pushBlob: Deal = (client, repository) => pushOf(client, repository, pickBlob(client))

function pushOf(client: Client, repository: RepositoryModel, blob: Digest): Action {
  const { dice, scene, world } = client
  const bytes = world.contents.get(blob)!
  const place = `/v2/${repository.name}/blobs/uploads/`
  const isAtOnce = dice.chance(0.5)
  return {
    what: `push ${blob} to ${repository.name}`,
    repositories: [repository.name],
    run: async () => {
      const { nowMs, graceMs } = scene
      if (isAtOnce) {
        const answer = await scene.send('POST', `${place}?digest=${blob}`, { body: bytes })
        assertStatus(answer, 201, 'push at once')
      } else {
        const location = locationOf(assertStatus(await scene.send('POST', place), 202, 'start'))
        assertStatus(await finish(scene, location, blob, bytes), 201, 'push')
      }
      repository.promise(blob, nowMs + graceMs, scene.nowMs + graceMs)
    },
    settle: () => settleBlob(scene, repository, blob),
  }
}

/** Often one that was dropped. */
function pickBlob({ dice, scene, world }: Client): Digest {
  const aimed = blobsBelow(scene, world, 'd')
  return dice.pick(aimed.length > 0 && dice.chance(0.2) ? aimed : [...world.contents.keys()])
}

function blobsBelow({ disk }: MaintainScene, world: World, tree: string): Digest[] {
  const keys = disk.records.reader.keys({ start: `${tree}!`, end: `${tree}"` })
  return [...world.contents.keys()].filter((blob) => keys.some((key) => key.includes(blob)))
}

const beginSession: Deal = (client, repository) => {
  const { dice, scene, sessions, world } = client
  if (sessions.size > 5) return undefined
  const blob = pickBlob(client)
  const bytes = world.contents.get(blob)!
  const first = bytes.subarray(0, dice.below(bytes.length))
  return {
    what: `begin ${blob} in ${repository.name}`,
    repositories: [repository.name],
    run: async () => {
      const start = await scene.send('POST', `/v2/${repository.name}/blobs/uploads/`)
      const location = locationOf(assertStatus(start, 202, 'start'))
      if (first.length > 0) {
        assertStatus(await scene.send('PATCH', location, { body: first }), 202, 'append')
      }
      sessions.set(location, { repository: repository.name, blob, offset: first.length })
    },
    settle: async () => undefined,
  }
}

/** However long ago it was begun. */
const endSession: Deal = (client, repository) => {
  const { dice, scene, sessions, world } = client
  const own = [...sessions].filter(([, session]) => session.repository === repository.name)
  if (own.length === 0) return undefined
  const [location, { blob, offset }] = dice.pick(own)
  const rest = world.contents.get(blob)!.subarray(offset)
  sessions.delete(location)
  return {
    what: `end ${blob} in ${repository.name}`,
    repositories: [repository.name],
    run: async () => {
      const { nowMs, graceMs } = scene
      assertStatus(await finish(scene, location, blob, rest), 201, 'end of a session')
      repository.promise(blob, nowMs + graceMs, scene.nowMs + graceMs)
    },
    settle: () => settleBlob(scene, repository, blob),
  }
}

function finish(
  scene: MaintainScene,
  location: string,
  blob: Digest,
  body: Uint8Array,
): Promise<Answer> {
  const target = `${location}${location.includes('?') ? '&' : '?'}digest=${blob}`
  return scene.send('PUT', target, { body })
}

const lookAtBlob: Deal = ({ dice, scene, world }, repository) => {
  const blob = dice.pick([...world.contents.keys()])
  const method = dice.pick(['HEAD', 'GET'] as const)
  return {
    what: `${method} ${blob} of ${repository.name}`,
    repositories: [repository.name],
    run: async () => {
      const { nowMs, graceMs } = scene
      const expected = repository.presence(blob, nowMs)
      const answer = await scene.send(method, `/v2/${repository.name}/blobs/${blob}`)
      const isThere = assertPresence(answer, expected, 200, 404)
      if (!isThere) return repository.forget(blob)
      if (method === 'GET') assert.ok(answer.body.equals(world.contents.get(blob)!), 'its bytes')
      // "It exists" is a promise to who is about to skip an upload.
      if (method === 'HEAD') {
        repository.promise(blob, nowMs + graceMs / 2, scene.nowMs + graceMs)
      } else repository.suspect(blob, scene.nowMs + graceMs)
    },
    settle: async () => {
      if (repository.presence(blob, scene.nowMs) !== 'gone') {
        repository.suspect(blob, scene.nowMs + scene.graceMs)
      }
    },
  }
}

const mount: Deal = (client, target) => {
  const { dice, scene, model, world } = client
  const free = world.repositories.filter((name) => name !== target.name && !client.busy.has(name))
  if (free.length === 0) return undefined
  const source = model.at(dice.pick(free))
  const blob = dice.pick([...world.contents.keys()])
  const query = `?mount=${blob}&from=${source.name}`
  return {
    what: `mount ${blob} from ${source.name} into ${target.name}`,
    repositories: [source.name, target.name],
    run: async () => {
      const { nowMs, graceMs } = scene
      const found = [source, target].map((each) => each.presence(blob, nowMs))
      const expected = found.find((each) => each === 'there') ?? dicey(found)
      const answer = await scene.send('POST', `/v2/${target.name}/blobs/uploads/${query}`)
      const isMounted = assertPresence(answer, expected, 201, 202)
      if (!isMounted) {
        assertStatus(await scene.send('DELETE', locationOf(answer)), 204, 'cancel')
        return
      }
      target.promise(blob, nowMs + graceMs / 2, scene.nowMs + graceMs)
    },
    settle: () => settleBlob(scene, target, blob),
  }
}

function dicey(found: readonly Presence[]): Presence {
  return found.includes('either') ? 'either' : 'gone'
}

const putManifest: Deal = (client, repository) => {
  const { dice, scene, world } = client
  const pushed = pickImage(dice, world, repository, scene.nowMs)
  const tag = dice.chance(0.7) ? dice.pick(world.tags) : undefined
  return {
    what: `put ${pushed.digest} in ${repository.name} as ${tag}`,
    repositories: [repository.name],
    run: async () => {
      const expected = repository.acceptance(pushed, scene.nowMs)
      const answer = await scene.send(
        'PUT',
        `/v2/${repository.name}/${image}/${tag ?? pushed.digest}`,
        { body: pushed.bytes, headers: { 'content-type': pushed.mediaType } },
      )
      if (!assertPresence(answer, expected, 201, 404)) return
      repository.hold(pushed, tag, scene.nowMs)
    },
    settle: async () => {
      await settleImage(scene, repository, pushed, 'hold')
      if (tag !== undefined) await settleTag(scene, repository, tag, [pushed.digest])
    },
  }
}

/** Mostly one that can be pushed. */
function pickImage(dice: Dice, world: World, repository: RepositoryModel, nowMs: number): Image {
  const all = [...world.images.values()]
  const fit = all.filter((each) => repository.acceptance(each, nowMs) !== 'gone')
  return fit.length > 0 && dice.chance(0.8) ? dice.pick(fit) : dice.pick(all)
}

const deleteManifest: Deal = ({ dice, scene, touched, world }, repository) => {
  const held = [...repository.images.values()]
  const gone =
    held.length > 0 && dice.chance(0.9) ? dice.pick(held) : dice.pick([...world.images.values()])
  const tags = [...repository.tags].filter(([, digest]) => digest === gone.digest)
  const startMs = scene.nowMs
  return {
    what: `delete ${gone.digest} from ${repository.name}`,
    repositories: [repository.name],
    run: async () => {
      const expected = repository.imagePresence(gone.digest, scene.nowMs)
      touched.add(placeOf(repository.name, gone.digest))
      const answer = await scene.send('DELETE', `/v2/${repository.name}/${image}/${gone.digest}`)
      if (assertPresence(answer, expected, 202, 404)) repository.drop(gone, startMs, scene.nowMs)
      else if (repository.images.has(gone.digest)) repository.lose(gone, scene.nowMs)
    },
    settle: async () => {
      await settleImage(scene, repository, gone, 'drop')
      for (const [tag] of tags) await settleTag(scene, repository, tag, [undefined])
    },
  }
}

const deleteBlob: Deal = ({ dice, scene, world }, repository) => {
  const blob = dice.pick([...world.contents.keys()])
  return {
    what: `delete ${blob} from ${repository.name}`,
    repositories: [repository.name],
    run: async () => {
      const isNamed = repository.isReferenced(blob, scene.nowMs)
      const expected = repository.presence(blob, scene.nowMs)
      const answer = await scene.send('DELETE', `/v2/${repository.name}/blobs/${blob}`)
      if (isNamed) return void assertStatus(answer, 409, 'delete a blob that a manifest names')
      // An image names it that may have gone, and has not.
      if (answer.status === 409 && repository.isNamed(blob)) return
      assertPresence(answer, expected, 202, 404)
      repository.forget(blob)
    },
    settle: async () => {
      const isThere = await scene.send('GET', `/v2/${repository.name}/blobs/${blob}`)
      if (repository.isReferenced(blob, scene.nowMs))
        assertStatus(isThere, 200, 'a blob that a manifest names')
      else if (isThere.status === 404) repository.forget(blob)
    },
  }
}

const lookAtImage: Deal = ({ dice, scene, world }, repository) => {
  const looked = dice.pick([...world.images.values()])
  return {
    what: `look at ${looked.digest} of ${repository.name}`,
    repositories: [repository.name],
    run: async () => {
      const expected = repository.imagePresence(looked.digest, scene.nowMs)
      const answer = await scene.send('GET', `/v2/${repository.name}/${image}/${looked.digest}`)
      if (assertPresence(answer, expected, 200, 404)) {
        assert.ok(answer.body.equals(looked.bytes))
        repository.confirm(looked.digest, scene.nowMs)
      } else if (repository.images.has(looked.digest)) repository.lose(looked, scene.nowMs)
    },
    settle: async () => undefined,
  }
}

const deals: readonly Deal[] = [
  ...[pushBlob, pushBlob, pushBlob, beginSession, endSession, mount, mount],
  ...[lookAtBlob, lookAtBlob, lookAtBlob, lookAtImage, pull, pull],
  ...[putManifest, putManifest, putManifest, putManifest],
  ...[deleteManifest, deleteManifest, deleteTag, deleteBlob, restoreTag],
]

/** A push of what is being destroyed at this moment; undefined where nothing is. */
export function dealPushOfDoomed(client: Client): Action | undefined {
  const { dice, model, scene, world } = client
  const free = world.repositories.filter((name) => !client.busy.has(name))
  const doomed = blobsBelow(scene, world, 'y')
  if (free.length === 0 || doomed.length === 0) return undefined
  const action = pushOf(client, model.at(dice.pick(free)), dice.pick(doomed))
  for (const name of action.repositories) client.busy.add(name)
  return action
}

/** In a repository where nothing is under way; undefined where there was nothing to do. */
export function dealAction(client: Client): Action | undefined {
  const free = client.world.repositories.filter((name) => !client.busy.has(name))
  if (free.length === 0) return undefined
  const repository = client.model.at(client.dice.pick(free))
  const action = client.dice.pick(deals)(client, repository)
  for (const name of action?.repositories ?? []) client.busy.add(name)
  return action
}

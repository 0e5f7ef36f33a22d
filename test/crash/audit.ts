// Compares a registry with the model while nobody is at work: old or new, never a third; and what
// points at content points at all of it.

import assert from 'node:assert/strict'
import type { Dice } from '../support/dice.ts'
import {
  assertStatus,
  digestOf,
  json,
  locationOf,
  type RegistryClient,
} from '../support/registry-client.ts'
import type { BlobKey, ManifestKey, Model, SessionKey, TagKey } from './model.ts'

/** Look at everything and settle the model on what was found. Errors: AssertionError. */
export async function audit(client: RegistryClient, model: Model): Promise<void> {
  await Promise.all([
    ...[...model.blobs.values()].map((key) => auditBlob(client, key)),
    ...[...model.manifests.values()].map((key) => auditManifest(client, key)),
    ...[...model.tags.values()].map((key) => auditTag(client, key)),
    ...[...model.sessions.values()].map((key) => auditSession(client, key)),
  ])
  assertWhole(model)
  assertAtomic(model)
  await assertListed(client, model)
  model.outstanding.clear()
  model.forgetAbsent()
}

async function auditBlob(client: RegistryClient, key: BlobKey): Promise<void> {
  const name = `blob ${key.repository}@${key.digest}`
  const answer = await client.get(`/v2/${key.repository}/blobs/${key.digest}`)
  const isHeld = answer.status === 200
  if (!isHeld) assertStatus(answer, 404, name)
  else assert.ok(answer.body.equals(key.bytes), `${name} has other bytes`)
  assert.ok(key.isHeld.settle(isHeld), `${name} is ${isHeld ? 'there' : 'gone'}`)
}

async function auditManifest(client: RegistryClient, key: ManifestKey): Promise<void> {
  const name = `manifest ${key.repository}@${key.digest}`
  const answer = await client.get(`/v2/${key.repository}/manifests/${key.digest}`)
  const isHeld = answer.status === 200
  if (!isHeld) assertStatus(answer, 404, name)
  else assert.ok(answer.body.equals(key.bytes), `${name} has other bytes`)
  assert.ok(key.isHeld.settle(isHeld), `${name} is ${isHeld ? 'there' : 'gone'}`)
}

async function auditTag(client: RegistryClient, key: TagKey): Promise<void> {
  const name = `tag ${key.repository}:${key.tag}`
  const answer = await client.get(`/v2/${key.repository}/manifests/${key.tag}`)
  if (answer.status !== 200) assertStatus(answer, 404, name)
  const found = answer.status === 200 ? digestOf(answer.body) : undefined
  if (found !== undefined) assert.equal(answer.headers['docker-content-digest'], found, name)
  const allowed = key.digest.allowed.join(' or ')
  assert.ok(key.digest.settle(found), `${name} points at ${found}, not at ${allowed}`)
}

async function auditSession(client: RegistryClient, key: SessionKey): Promise<void> {
  const answer = await client.get(key.location)
  const last = /^0-(\d+)$/.exec(answer.headers['range'] ?? '')?.[1]
  if (answer.status !== 204) assertStatus(answer, 404, `session ${key.location}`)
  const found = answer.status === 404 ? undefined : offsetOf(Number(last))
  const allowed = key.offset.allowed.join(' or ')
  const isAllowed = key.offset.settle(found)
  assert.ok(isAllowed, `session ${key.location} is at ${found}, not at ${allowed}`)
}

// Sessions of these tests never stand at 1, which has the same form as 0.
function offsetOf(last: number): number {
  return last === 0 ? 0 : last + 1
}

/** After the model has settled on what was found. */
function assertWhole(model: Model): void {
  for (const { repository, digest, blobs, isHeld } of model.manifests.values()) {
    if (!isHeld.sure) continue
    for (const blob of blobs) {
      const isThere = model.blobs.get(`${repository}@${blob}`)?.isHeld.sure
      assert.ok(isThere, `manifest ${repository}@${digest} without its blob ${blob}`)
    }
  }
  for (const { repository, tag, digest } of model.tags.values()) {
    if (digest.sure === undefined) continue
    const isThere = model.manifests.get(`${repository}@${digest.sure}`)?.isHeld.sure
    assert.ok(isThere, `tag ${repository}:${tag} without its manifest ${digest.sure}`)
  }
}

function assertAtomic(model: Model): void {
  for (const { name, changes } of model.outstanding) {
    const outcomes = new Set(changes.map((change) => change.outcome()))
    outcomes.delete('same')
    const found = changes.map((change) => `${change.to}: ${change.outcome()}`).join(', ')
    assert.ok(outcomes.size <= 1, `${name} has happened in part: ${found}`)
  }
}

async function assertListed(client: RegistryClient, model: Model): Promise<void> {
  const holding = new Set<string>()
  for (const { repository, isHeld } of model.manifests.values()) {
    if (isHeld.sure) holding.add(repository)
  }
  const catalog = json<{ repositories: string[] }>(await client.get('/v2/_catalog'))
  assert.deepEqual(catalog.repositories, [...holding].sort())
  for (const repository of holding) {
    const listed = json<{ tags: string[] }>(await client.get(`/v2/${repository}/tags/list`))
    const tags = model.tagsOf(repository).map(({ tag }) => tag)
    assert.deepEqual(listed.tags, tags.sort(), `tags of ${repository}`)
  }
}

/** End a session at the blob that it was begun for, or at what it has, in one of the ways of clients. */
export async function resume(
  client: RegistryClient,
  model: Model,
  key: SessionKey,
  dice: Dice,
): Promise<void> {
  const offset = key.offset.sure
  assert.ok(offset !== undefined, 'only a live session is resumed')
  const way = offset > 0 ? dice.pick([...ways, 'as it is' as const]) : dice.pick(ways)
  const content = way === 'as it is' ? key.content.subarray(0, offset) : key.content
  const rest = content.subarray(offset)
  const range = rest.length === 0 ? undefined : `${offset}-${content.length - 1}`
  const digest = digestOf(content)
  const what = `resume ${key.location} at ${offset} of ${key.content.length}: ${way}`
  let { location } = key
  if (way === 'stream' || way === 'chunk') {
    const body = way === 'stream' ? [rest] : rest
    const answer = await client.patch(location, body, way === 'chunk' ? range : undefined)
    location = locationOf(assertStatus(answer, 202, what))
  }
  const isBodyLeft = way === 'closing chunk' || way === 'closing body'
  const closed = isBodyLeft
    ? await client.finish(location, digest, rest, way === 'closing chunk' ? range : undefined)
    : await client.finish(location, digest)
  assertStatus(closed, 201, what)
  const pulled = await client.get(`/v2/${key.repository}/blobs/${digest}`)
  assert.ok(assertStatus(pulled, 200, what).body.equals(content), `${what}: other bytes`)
  key.offset.settle(undefined)
  model.sessions.delete(key.location)
  model.blob(key.repository, digest, Buffer.from(content)).isHeld.settle(true)
}

const ways = ['stream', 'chunk', 'closing chunk', 'closing body'] as const

// A client at work: random pushes, tag moves and deletes in a repository of its own, one after the
// other, each entered in the model before it is sent.

import assert from 'node:assert/strict'
import type { Dice } from '../support/dice.ts'
import {
  type Answer,
  assertStatus,
  digestOf,
  locationOf,
  type RegistryClient,
} from '../support/registry-client.ts'
import { type Change, change, type ManifestKey, type Model, type SessionKey } from './model.ts'

/** A repository in which every actor moves the same tags, and nobody deletes. */
export const commonRepository = 'common/images'
const commonTags = ['stable', 'edge']
const ownTags = ['latest', 'v1', 'v2', 'v3']

const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const pieceBytes = 20_000
const endless = 'endless stream'
const junk = Buffer.alloc(150_000, 'junk')
const blobsMax = 10
const sessionsMax = 4

export interface Surroundings {
  readonly model: Model
  readonly dice: Dice
  /** The process that takes the next request; another one each time where several serve. */
  client(): RegistryClient
  /** The process that will be killed. */
  readonly doomed: RegistryClient
  /** Called at every request, piece of a body, and answer. */
  onEvent(): void
  /** True where the connection may break: the process was killed. */
  mayBreak(client: RegistryClient): boolean
}

/** The process was killed before it answered. */
class Broken extends Error {}

export class Actor {
  readonly repository: string
  readonly #around: Surroundings
  #stepsLeft = Number.POSITIVE_INFINITY

  constructor(repository: string, around: Surroundings) {
    this.repository = repository
    this.#around = around
  }

  stop(afterSteps: number): void {
    this.#stepsLeft = afterSteps
  }

  /** Resolves when an answer fails to come because of a kill, or after `stop`. */
  async run(): Promise<void> {
    try {
      for (; this.#stepsLeft > 0; this.#stepsLeft -= 1) await this.#step()
    } catch (error) {
      if (!(error instanceof Broken)) throw error
    }
  }

  async #step(): Promise<void> {
    const { dice, model } = this.#around
    const blobs = model.heldBlobs(this.repository)
    const sessions = model.sessionsOf(this.repository)
    if (blobs.length < 2 || dice.chance(0.3)) return this.#pushBlob()
    if (sessions.length > 0 && dice.chance(0.3)) return this.#goOn(dice.pick(sessions))
    if (sessions.length < sessionsMax && dice.chance(0.15)) {
      await this.#beginSession()
      return
    }
    if (blobs.length > blobsMax || dice.chance(0.3)) return this.#remove()
    if (dice.chance(0.25)) return this.#moveCommonTag()
    return this.#pushManifest()
  }

  // Blobs.

  async #pushBlob(): Promise<void> {
    const { dice } = this.#around
    if (dice.chance(0.3)) return this.#pushAtOnce()
    const session = await this.#beginSession()
    const way = dice.pick(['monolithic', 'streamed', 'chunked'] as const)
    if (way === 'monolithic') return this.#close(session)
    const cuts = way === 'streamed' ? 1 : 1 + dice.below(3)
    for (let i = 0; i < cuts; i++) await this.#append(session, way === 'chunked')
    return this.#close(session, way === 'chunked')
  }

  async #pushAtOnce(): Promise<void> {
    const { repository } = this
    const content = this.#newContent()
    const digest = digestOf(content)
    const blob = this.#around.model.blob(repository, digest, content)
    const target = `/v2/${repository}/blobs/uploads/?digest=${digest}`
    await this.#perform('single POST', [change(blob.isHeld, true)], 201, (client) =>
      client.call('POST', target, { body: content }),
    )
  }

  async #beginSession(): Promise<SessionKey> {
    const { repository } = this
    const content = this.#newContent()
    const target = `/v2/${repository}/blobs/uploads/`
    const answer = await this.#perform('start session', [], 202, (client) =>
      client.call('POST', target),
    )
    const location = locationOf(answer)
    return this.#around.model.session(repository, location, content, digestOf(content))
  }

  async #goOn(session: SessionKey): Promise<void> {
    const { dice } = this.#around
    const rest = session.content.length - session.offset.sure!
    const isChunked = dice.chance(0.5)
    if (dice.chance(0.1)) return this.#cancel(session)
    if (dice.chance(0.1)) return this.#spoil(session)
    if (rest > 0 && dice.chance(0.6)) return this.#append(session, isChunked)
    return this.#close(session, isChunked)
  }

  async #append(session: SessionKey, isChunked: boolean): Promise<void> {
    const offset = session.offset.sure!
    const rest = session.content.length - offset
    if (rest === 0) return
    const end = this.#around.dice.chance(0.3) ? session.content.length : offset + this.#part(rest)
    const bytes = session.content.subarray(offset, end)
    const name = isChunked ? 'chunk' : 'stream'
    await this.#perform(name, [change(session.offset, end)], 202, (client) =>
      isChunked
        ? client.patch(session.location, bytes, `${offset}-${end - 1}`)
        : client.patch(session.location, this.#pieces(bytes)),
    )
  }

  /** Other bytes than the session's, without an end but the kill: none of them may count. */
  async #spoil(session: SessionKey): Promise<void> {
    await this.#perform(endless, [], 202, (client) => {
      return client.patch(session.location, this.#junk())
    })
  }

  async #close(session: SessionKey, isChunked = false): Promise<void> {
    const { model } = this.#around
    const { content, digest, location, repository } = session
    const offset = session.offset.sure!
    const rest = content.subarray(offset)
    const blob = model.blob(repository, digest, content)
    const range = isChunked && rest.length > 0 ? `${offset}-${content.length - 1}` : undefined
    const changes = [change(session.offset, undefined), change(blob.isHeld, true)]
    await this.#perform('close', changes, 201, (client) =>
      rest.length === 0 && offset > 0
        ? client.finish(location, digest)
        : client.finish(location, digest, rest, range),
    )
    model.sessions.delete(location)
  }

  async #cancel(session: SessionKey): Promise<void> {
    const changes = [change(session.offset, undefined)]
    await this.#perform('cancel', changes, 204, (client) => client.delete(session.location))
    this.#around.model.sessions.delete(session.location)
  }

  // Manifests and tags.

  async #pushManifest(): Promise<void> {
    const { dice, model } = this.#around
    const tag = model.tag(this.repository, dice.pick(ownTags))
    const known = model.heldManifests(this.repository)
    if (known.length > 0 && dice.chance(0.4)) return this.#putManifest(dice.pick(known), tag.tag)
    const blobs = model.heldBlobs(this.repository)
    const picked = [dice.pick(blobs), dice.pick(blobs)]
    const parts = picked.map(({ digest, bytes }) => ({ digest, size: bytes.length }))
    const manifest = this.#newManifest(this.repository, parts)
    return this.#putManifest(manifest, dice.chance(0.8) ? tag.tag : undefined)
  }

  async #moveCommonTag(): Promise<void> {
    const { dice, model } = this.#around
    const known = model.heldManifests(commonRepository)
    if (known.length > 3 && dice.chance(0.7)) {
      return this.#putManifest(dice.pick(known), dice.pick(commonTags))
    }
    const content = this.#newContent()
    const digest = digestOf(content)
    const blob = model.blob(commonRepository, digest, content)
    const target = `/v2/${commonRepository}/blobs/uploads/?digest=${digest}`
    await this.#perform('single POST', [change(blob.isHeld, true)], 201, (client) =>
      client.call('POST', target, { body: content }),
    )
    const manifest = this.#newManifest(commonRepository, [{ digest, size: content.length }])
    return this.#putManifest(manifest, dice.pick(commonTags))
  }

  #newManifest(
    repository: string,
    parts: readonly { readonly digest: string; readonly size: number }[],
  ): ManifestKey {
    const { dice, model } = this.#around
    const [config, ...layers] = parts
    const mediaType = 'application/octet-stream'
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: manifestType,
        config: { mediaType, ...config },
        layers: layers.map((layer) => ({ mediaType, ...layer })),
        annotations: { filling: model.newContent(dice.below(5000)).toString('hex') },
      }),
    )
    const blobs = parts.map(({ digest }) => digest)
    return model.manifest(repository, digestOf(bytes), bytes, blobs)
  }

  async #putManifest(manifest: ManifestKey, tag?: string): Promise<void> {
    const { model } = this.#around
    const { repository, digest, bytes } = manifest
    const isCommon = repository === commonRepository
    const changes: Change[] = [change(manifest.isHeld, true, isCommon)]
    if (tag !== undefined) {
      changes.push(change<string | undefined>(model.tag(repository, tag).digest, digest, isCommon))
    }
    const name = tag === undefined ? 'manifest by digest' : 'manifest by tag'
    await this.#perform(name, changes, 201, (client) =>
      client.call('PUT', `/v2/${repository}/manifests/${tag ?? digest}`, {
        body: bytes,
        headers: { 'Content-Type': manifestType },
      }),
    )
  }

  async #remove(): Promise<void> {
    const { dice, model } = this.#around
    const { repository } = this
    const tags = model.tagsOf(repository)
    const manifests = model.heldManifests(repository)
    if (tags.length > 0 && dice.chance(0.3)) {
      const { tag, digest } = dice.pick(tags)
      await this.#delete('delete tag', `manifests/${tag}`, [change(digest, undefined)])
      return
    }
    const named = new Set(manifests.flatMap(({ blobs }) => blobs))
    const free = model.heldBlobs(repository).filter(({ digest }) => !named.has(digest))
    if (free.length > 0 && (manifests.length === 0 || dice.chance(0.5))) {
      const { digest, isHeld } = dice.pick(free)
      await this.#delete('delete blob', `blobs/${digest}`, [change(isHeld, false)])
      return
    }
    if (manifests.length === 0) return this.#pushManifest()
    const { digest, isHeld } = dice.pick(manifests)
    const taggedWith = tags.filter((tag) => tag.digest.sure === digest)
    await this.#delete('delete manifest', `manifests/${digest}`, [
      change(isHeld, false),
      ...taggedWith.map((tag) => change<string | undefined>(tag.digest, undefined)),
    ])
  }

  async #delete(name: string, path: string, changes: readonly Change[]): Promise<void> {
    await this.#perform(name, changes, 202, (client) =>
      client.delete(`/v2/${this.repository}/${path}`),
    )
  }

  // Requests.

  async #perform(
    name: string,
    changes: readonly Change[],
    status: number,
    send: (client: RegistryClient) => Promise<Answer>,
  ): Promise<Answer> {
    const { doomed, model, onEvent, mayBreak } = this.#around
    const client = name === endless ? doomed : this.#around.client()
    const outstanding = { name, changes }
    model.outstanding.add(outstanding)
    const writes = changes.map((part) => part.begin())
    onEvent()
    let answer: Answer
    try {
      answer = await send(client)
    } catch (error) {
      assert.ok(mayBreak(client), `${name}: ${String(error)}`)
      throw new Broken(name)
    }
    assertStatus(answer, status, `${name} in ${this.repository}`)
    for (const write of writes) write.done()
    model.outstanding.delete(outstanding)
    onEvent()
    return answer
  }

  #newContent(): Buffer {
    const { dice, model } = this.#around
    return model.newContent(dice.below(dice.pick([40, 4000, 90_000, 90_000, 600_000])))
  }

  #part(rest: number): number {
    return Math.min(rest, 2 + this.#around.dice.below(rest))
  }

  async *#junk(): AsyncGenerator<Buffer> {
    for (;;) {
      this.#around.onEvent()
      yield junk
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  async *#pieces(bytes: Buffer): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      this.#around.onEvent()
      yield bytes.subarray(at, at + pieceBytes)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

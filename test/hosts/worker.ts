// A client at work on a registry of several hosts: pushes, tag moves, deletes and pulls in a repository of its own, one
// after the other, each entered in the model before it is sent, and all it reads compared with that.

import assert from 'node:assert/strict'
import type { Register } from '../crash/register.ts'
import type { Dice } from '../support/dice.ts'
import { type Answer, assertStatus, digestOf, json } from '../support/registry-client.ts'
import { type Blob, type Holdings, type Manifest, manifestType, type Tag } from './holdings.ts'
import { Pushing } from './pushing.ts'
import type { Caller } from './weather.ts'
import { type Change, change, type WriteOptions, Writing } from './writing.ts'

const blobsMax = 12
const tagsMax = 4
const absentKept = 12

export class Worker {
  readonly own: Holdings
  readonly #caller: Caller
  readonly #dice: Dice
  /** A repository in which every worker moves the same tags, and nobody deletes. */
  readonly #common: Holdings
  readonly #writing: Writing
  readonly #pushing: Pushing
  #isStopped = false

  constructor(parts: {
    readonly own: Holdings
    readonly common: Holdings
    readonly caller: Caller
    readonly dice: Dice
  }) {
    this.own = parts.own
    this.#common = parts.common
    this.#caller = parts.caller
    this.#dice = parts.dice
    this.#writing = new Writing(parts.caller, parts.dice)
    this.#pushing = new Pushing(this.#writing, parts.own)
  }

  stop(): void {
    this.#isStopped = true
  }

  /** Until `stop`; then all that was begun is ended. */
  async run(): Promise<void> {
    while (!this.#isStopped) {
      this.own.fade()
      this.#caller.weather.operation(await this.#step())
      this.own.forget(absentKept)
    }
    await this.#pushing.endAll()
  }

  async #step(): Promise<string> {
    const dice = this.#dice
    const { heldBlobs } = this.own
    if (heldBlobs.length < 2 || dice.chance(0.2)) return this.#pushing.push()
    if (this.#pushing.hasOpen && dice.chance(0.3)) return this.#pushing.resume()
    if (dice.chance(0.5)) return this.#read()
    if (heldBlobs.length > blobsMax || dice.chance(0.3)) return this.#remove()
    if (dice.chance(0.25)) return this.#moveCommonTag()
    return this.#putManifest()
  }

  // Writes.

  async #putManifest(): Promise<string> {
    const dice = this.#dice
    const known = this.own.heldManifests
    const tag = this.#someTag()
    if (known.length > 0 && dice.chance(0.4)) {
      await this.#tagManifest(this.own, dice.pick(known), tag)
      return 'tag a known manifest'
    }
    const blobs = this.own.heldBlobs
    const manifest = this.own.newManifest([dice.pick(blobs), dice.pick(blobs)])
    await this.#tagManifest(this.own, manifest, tag)
    return 'push a manifest'
  }

  async #moveCommonTag(): Promise<string> {
    const dice = this.#dice
    const common = this.#common
    const [tag] = [...common.tags].slice(-1)
    assert.ok(tag !== undefined)
    const known = common.heldManifests
    if (known.length > 3 && dice.chance(0.8)) {
      await this.#tagManifest(common, dice.pick(known), tag)
      return 'move a common tag'
    }
    const blob = common.newBlob(dice.below(20_000))
    if (await this.#pushing.atOnce(common, blob)) {
      const manifest = common.newManifest([blob])
      await this.#tagManifest(common, manifest, tag)
    }
    return 'push a common image'
  }

  async #tagManifest(holdings: Holdings, manifest: Manifest, tag: Tag): Promise<void> {
    const begunAt = performance.now()
    const answer = await this.#writing.write('put a manifest', {
      changes: [
        change(manifest.isHeld, true),
        change<string | undefined>(tag.digest, manifest.digest),
      ],
      status: 201,
      refusal: 404,
      send: (client) =>
        client.call('PUT', `/v2/${holdings.repository}/manifests/${tag.name}`, {
          body: manifest.bytes,
          headers: { 'Content-Type': manifestType },
        }),
    })
    if (answer === undefined || answer.status === 201) return
    // Only a lease that has ended meanwhile takes a blob away.
    assertStatus(answer, 404, 'put a manifest')
    const now = performance.now()
    const isLeft = manifest.blobs.every((blob) => blob.isLeasedAt(now))
    assert.ok(!isLeft, `a blob has gone between ${begunAt} and ${now}: ${answer.body}`)
  }

  async #remove(): Promise<string> {
    const dice = this.#dice
    const { repository } = this.own
    const [tags, free] = [this.own.sureTags, this.own.freeBlobs]
    const set = tags.filter(({ digest }) => !digest.isSurely(undefined))
    if (set.length > 0 && dice.chance(0.3)) {
      const { name, digest } = dice.pick(set)
      await this.#delete(`/v2/${repository}/manifests/${name}`, [
        change<string | undefined>(digest, undefined),
      ])
      return 'delete a tag'
    }
    const manifests = this.own.heldManifests.filter(({ digest }) => this.#pointersKnown(digest))
    if (free.length > 0 && (manifests.length === 0 || dice.chance(0.5))) {
      const { digest, isHeld } = dice.pick(free)
      await this.#delete(`/v2/${repository}/blobs/${digest}`, [change(isHeld, false)])
      return 'delete a blob'
    }
    if (manifests.length === 0) return this.#read()
    const { blobs, digest, isHeld } = dice.pick(manifests)
    for (const blob of blobs) blob.leasedAt(performance.now())
    const pointing = set.filter((tag) => tag.digest.isSurely(digest))
    await this.#delete(`/v2/${repository}/manifests/${digest}`, [
      change(isHeld, false),
      ...pointing.map((tag) => change<string | undefined>(tag.digest, undefined)),
    ])
    return 'delete a manifest'
  }

  /** Else nobody could say what becomes of a tag that may point there. */
  #pointersKnown(digest: string): boolean {
    return [...this.own.tags].every((tag) => {
      return tag.digest.isSurely(digest) || !tag.digest.allowed.includes(digest)
    })
  }

  #delete(path: string, changes: readonly Change[]): Promise<Answer | undefined> {
    const send: WriteOptions['send'] = (client) => client.delete(path)
    return this.#writing.write('delete', { changes, status: 202, statusAgain: 404, send })
  }

  /** Of those of which nobody knows where they point no more is said than that. */
  #someTag(): Tag {
    const known = this.own.sureTags
    if (known.length >= tagsMax) return this.#dice.pick(known)
    return this.own.newTag()
  }

  // Reads.

  async #read(): Promise<string> {
    const dice = this.#dice
    const kind = dice.below(6)
    if (kind === 0) return this.#listTags()
    if (kind === 1) return this.#readCommonTag()
    const blobs = [...this.own.blobs]
    if (kind === 2 || kind === 3) return this.#readBlob(dice.pick(blobs), kind === 3)
    const [manifests, tags] = [[...this.own.manifests], [...this.own.tags]]
    if (kind === 4 && manifests.length > 0) return this.#readManifest(dice.pick(manifests))
    if (tags.length > 0) return this.#readTag(this.own, dice.pick(tags))
    return this.#readBlob(dice.pick(blobs), true)
  }

  async #readBlob(blob: Blob, isHead: boolean): Promise<string> {
    const begunAt = performance.now()
    const path = `/v2/${this.own.repository}/blobs/${blob.digest}`
    const bytes = blob.bytes
    const isPart = !isHead && this.#dice.chance(0.3)
    const start = isPart ? this.#dice.below(bytes.length) : 0
    const answer = await this.#caller.ask(isHead ? 'HEAD of a blob' : 'pull a blob', (client) =>
      isHead ? client.head(path) : client.get(path, isPart ? { Range: `bytes=${start}-` } : {}),
    )
    if (answer === undefined) return 'read a blob in vain'
    this.#requireAllowed(blob.isHeld, answer.status !== 404, `blob ${path}`, blob)
    if (answer.status === 404) return 'read an absent blob'
    if (isHead) {
      assertStatus(answer, 200, path)
      assert.equal(answer.headers['content-length'], String(bytes.length), path)
      blob.foundAt(begunAt)
      return 'HEAD of a blob'
    }
    assertStatus(answer, isPart ? 206 : 200, path)
    assert.ok(answer.body.equals(bytes.subarray(start)), `${path} has other bytes`)
    return isPart ? 'pull a part of a blob' : 'pull a blob'
  }

  async #readManifest({ bytes, digest, isHeld }: Manifest): Promise<string> {
    const path = `/v2/${this.own.repository}/manifests/${digest}`
    const answer = await this.#caller.ask('pull a manifest', (client) => client.get(path))
    if (answer === undefined) return 'read a manifest in vain'
    this.#requireAllowed(isHeld, answer.status !== 404, path)
    if (answer.status === 404) return 'read an absent manifest'
    assert.ok(assertStatus(answer, 200, path).body.equals(bytes), `${path} has other bytes`)
    return 'pull a manifest'
  }

  async #readTag({ repository }: Holdings, { digest, name }: Tag): Promise<string> {
    const path = `/v2/${repository}/manifests/${name}`
    const watched = digest.watch()
    const answer = await this.#caller.ask('pull by tag', (client) => client.get(path))
    const allowed = watched.end()
    if (answer === undefined) return 'read a tag in vain'
    if (answer.status !== 404) assertStatus(answer, 200, path)
    const found = answer.status === 404 ? undefined : digestOf(answer.body)
    assert.ok(allowed.has(found), `${path} is ${found}, not ${[...allowed].join(' or ')}`)
    if (found !== undefined) assert.equal(answer.headers['docker-content-digest'], found)
    return found === undefined ? 'read an absent tag' : 'pull by tag'
  }

  async #readCommonTag(): Promise<string> {
    await this.#readTag(this.#common, this.#dice.pick([...this.#common.tags].slice(-2)))
    return 'pull by a common tag'
  }

  async #listTags(): Promise<string> {
    // Without a manifest there is no repository to list.
    if (this.own.heldManifests.length === 0) return this.#readCommonTag()
    const path = `/v2/${this.own.repository}/tags/list`
    const answer = await this.#caller.ask('list tags', (client) => client.get(path))
    if (answer === undefined) return 'list tags in vain'
    const { tags } = json<{ tags: string[] }>(assertStatus(answer, 200, path))
    for (const { name, digest } of this.own.tags) {
      const isListed = tags.includes(name)
      const isAllowed = digest.allowed.some((value) => (value !== undefined) === isListed)
      assert.ok(isAllowed, `${path}: ${name} is ${isListed ? '' : 'not '}listed`)
    }
    const known = new Set([...this.own.tags].map(({ name }) => name))
    assert.deepEqual(
      tags.filter((tag) => !known.has(tag)),
      [],
      path,
    )
    return 'list tags'
  }

  #requireAllowed(register: Register<boolean>, found: boolean, what: string, blob?: Blob): void {
    if (register.allowed.includes(found)) return
    // Its lease has ended while it was asked for.
    if (!found && blob !== undefined) this.own.fade()
    assert.ok(register.allowed.includes(found), `${what} is ${found ? 'there' : 'gone'}`)
  }
}

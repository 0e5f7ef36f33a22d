// What a registry must answer while garbage goes: of tags exactly, of manifests and blobs what was promised. No
// leases, no states, no files.

import type { Digest } from '../../../src/oci/digest.ts'
import type { Image, World } from './world.ts'

/** `either`: nobody was promised that it stays, and nobody has taken it. */
export type Presence = 'there' | 'gone' | 'either'

export interface Terms {
  /** How long what no manifest names stays. */
  readonly graceMs: number
  /** How long a manifest stays that nothing uses. */
  readonly untaggedAfterMs: number
  /** How long what was deleted can be brought back. */
  readonly windowMs: number
}

/** How long tags of any name are kept after their push. */
export const youngMinutes = 20

/** As the rules of retention see it, in whole seconds. */
export function isKeptByRule(tag: string, pushedAtMs: number, nowMs: number): boolean {
  const ageSeconds = Math.floor(nowMs / 1000) - Math.floor(pushedAtMs / 1000)
  return !tag.startsWith('tmp') || ageSeconds < youngMinutes * 60
}

/** When a tag was pushed: not before `sureMs`, and not after `lastMs`. */
interface Pushed {
  readonly sureMs: number
  readonly lastMs: number
}

/** Times are milliseconds since 1970. */
export class RepositoryModel {
  readonly name: string
  readonly images: Map<Digest, Image> = new Map()
  readonly tags: Map<string, Digest> = new Map()
  readonly #terms: Terms
  readonly #pushed = new Map<string, Pushed>()
  /** All that each tag has pointed at. */
  readonly #named = new Map<string, Set<Digest>>()
  /** Tags that no rule keeps may go at any moment, and with them what they alone name. */
  #isPruned = false
  /** The next run goes on with what the last one has left. */
  #isPruneCut = false
  /** What the tags of now, or of before in the same run, expose to it. */
  readonly #exposed = new Set<Digest>()
  /** Until when those stay that were pushed by digest since that run began, and not used since. */
  readonly #awaited = new Map<Digest, number>()
  /** When an image was there for certain, the last time. */
  readonly #seen = new Map<Digest, number>()
  /** Until when an image stays that nothing uses. */
  readonly #kept = new Map<Digest, number>()
  /** May have gone before something used them again. */
  readonly #unsure = new Set<Digest>()
  /** Until when somebody may rely on a blob. */
  readonly #promised = new Map<Digest, number>()
  /** No lease of the blob ends later. */
  readonly #latest = new Map<Digest, number>()

  constructor(name: string, terms: Terms) {
    this.name = name
    this.#terms = terms
  }

  isReferenced(blob: Digest, nowMs: number): boolean {
    return [...this.images.values()].some(
      ({ blobs, digest }) => blobs.includes(blob) && this.imagePresence(digest, nowMs) === 'there',
    )
  }

  presence(blob: Digest, nowMs: number): Presence {
    if (this.isReferenced(blob, nowMs) || (this.#promised.get(blob) ?? 0) > nowMs) return 'there'
    return this.#latest.has(blob) || this.isNamed(blob) ? 'either' : 'gone'
  }

  imagePresence(digest: Digest, nowMs: number): Presence {
    if (!this.images.has(digest)) return 'gone'
    if (this.#unsure.has(digest)) return 'either'
    const isKept = this.isUsed(digest, nowMs) || this.#mayRely(digest, nowMs)
    return isKept ? 'there' : 'either'
  }

  beginPrune(): void {
    if (!this.#isPruneCut) {
      this.#exposed.clear()
      this.#awaited.clear()
    }
    this.#isPruned = true
  }

  /** `isCut`: the next run takes what an index that this one has taken had listed, if nothing uses it then. */
  endPrune(isCut: boolean): void {
    this.#isPruned = false
    this.#isPruneCut = isCut
  }

  mayBePruned(tag: string, nowMs: number): boolean {
    if (!this.#isPruned) return false
    return !isKeptByRule(tag, this.#pushed.get(tag)?.sureMs ?? 0, nowMs)
  }

  /** Whether a run of prune that began at `startMs` has to take the tag, if it is there. */
  isDue(tag: string, startMs: number): boolean {
    return !isKeptByRule(tag, this.#pushed.get(tag)?.lastMs ?? 0, startMs)
  }

  namedBy(tag: string): readonly Digest[] {
    return [...(this.#named.get(tag) ?? [])]
  }

  /** Remember what is there for certain. */
  witness(nowMs: number): void {
    for (const digest of this.images.keys()) {
      if (this.imagePresence(digest, nowMs) === 'there') this.#seen.set(digest, nowMs)
    }
  }

  /** Whether an operator must be able to bring it back, or to point a tag at it. */
  isRestorable(digest: Digest, nowMs: number): boolean {
    const seenAtMs = this.#seen.get(digest) ?? Number.NEGATIVE_INFINITY
    const isThere = this.imagePresence(digest, nowMs) === 'there'
    return isThere || nowMs - seenAtMs <= this.#terms.windowMs
  }

  /** By a tag; by an index, or as a referrer of a subject, that is used itself. */
  isUsed(digest: Digest, nowMs: number): boolean {
    const isTagged = [...this.tags].some(
      ([tag, to]) => to === digest && !this.mayBePruned(tag, nowMs),
    )
    if (isTagged) return true
    return this.#users(digest).some((user) => this.isUsed(user, nowMs))
  }

  /** A client heard that the blob is there: it will be for so long. */
  promise(blob: Digest, untilMs: number, latestMs: number): void {
    this.#promised.set(blob, Math.max(untilMs, this.#promised.get(blob) ?? 0))
    this.suspect(blob, latestMs)
  }

  /** The blob may be held, with a lease that does not end later. */
  suspect(blob: Digest, latestMs: number): void {
    this.#latest.set(blob, Math.max(latestMs, this.#latest.get(blob) ?? 0))
  }

  /** The repository does not hold it. */
  forget(blob: Digest): void {
    this.#promised.delete(blob)
    this.#latest.delete(blob)
  }

  /** Collected at `nowMs`, while nobody was at work: all whose leases were over are gone. */
  collected(nowMs: number): void {
    for (const [blob, latestMs] of [...this.#latest]) {
      if (latestMs < nowMs && !this.isNamed(blob)) this.forget(blob)
    }
  }

  /** It was seen there, or somebody needed it and was not refused. */
  confirm(digest: Digest, nowMs: number): void {
    this.#unsure.delete(digest)
    this.#seen.set(digest, nowMs)
  }

  hold(image: Image, tag: string | undefined, nowMs: number): void {
    this.#change(nowMs, () => {
      this.images.set(image.digest, image)
      for (const digest of [image.digest, ...image.children]) {
        // One that came back by itself may list what a client has deleted.
        if (this.images.has(digest)) this.confirm(digest, nowMs)
      }
      // Who has pushed it just now may be about to list it, whatever becomes of who listed it before.
      if (tag === undefined) this.#awaited.set(image.digest, nowMs + this.#terms.graceMs)
      for (const used of [...image.children, ...(tag === undefined ? [] : [image.digest])]) {
        this.#awaited.delete(used)
      }
      this.#kept.set(image.digest, nowMs + this.#terms.untaggedAfterMs)
      for (const blob of image.blobs) this.suspect(blob, nowMs + this.#terms.graceMs)
      if (tag !== undefined) this.#point(tag, image.digest, nowMs)
    })
  }

  /** A client deleted it, and its tags: its blobs have a lease from then on. */
  drop(image: Image, startMs: number, nowMs: number): void {
    this.#change(startMs, () => this.#remove(image))
    const { graceMs } = this.#terms
    for (const blob of image.blobs) this.promise(blob, startMs + graceMs, nowMs + graceMs)
  }

  /** Nobody knows when it went. */
  lose(image: Image, nowMs: number): void {
    this.#change(nowMs, () => this.#remove(image))
    for (const blob of image.blobs) this.suspect(blob, nowMs + this.#terms.graceMs)
  }

  setTag(tag: string, digest: Digest | undefined, nowMs: number): void {
    this.#change(nowMs, () => {
      if (digest === undefined) this.tags.delete(tag)
      else if (this.tags.get(tag) !== digest) this.#point(tag, digest, nowMs)
    })
  }

  /** A push that nobody has answered may have found it so, or made it so. */
  suspectPush(tag: string, nowMs: number): void {
    const sureMs = this.#pushed.get(tag)?.sureMs ?? nowMs
    this.#pushed.set(tag, { sureMs, lastMs: nowMs })
  }

  /** Whether a push of the image must succeed, must not, or may. */
  acceptance(image: Image, nowMs: number): Presence {
    const found = [
      ...image.children.map((child) => this.imagePresence(child, nowMs)),
      ...image.blobs.map((blob) => this.presence(blob, nowMs)),
    ]
    if (found.includes('gone')) return 'gone'
    return found.includes('either') ? 'either' : 'there'
  }

  /** That is there for as long as one that lists it, or that it refers to. */
  #mayRely(digest: Digest, nowMs: number): boolean {
    this.#expose(nowMs)
    const isAwaited = nowMs < (this.#awaited.get(digest) ?? 0)
    const isExposed = this.#isPruned && this.#exposed.has(digest) && !isAwaited
    if (!isExposed && (this.#kept.get(digest) ?? 0) > nowMs) return true
    return this.#users(digest).some((user) => this.#mayRely(user, nowMs))
  }

  /** While they are there, it is: its subject, and indexes that list it. */
  #users(digest: Digest): readonly Digest[] {
    const { subject } = this.images.get(digest) ?? {}
    const indexes = [...this.images.values()].filter(({ children }) => children.includes(digest))
    const all = [...indexes.map((index) => index.digest), ...(subject ? [subject] : [])]
    return all.filter((user) => this.images.has(user) && !this.#unsure.has(user))
  }

  /** By an image that may be gone. */
  isNamed(blob: Digest): boolean {
    return [...this.images.values()].some(({ blobs }) => blobs.includes(blob))
  }

  #point(tag: string, digest: Digest, nowMs: number): void {
    this.tags.set(tag, digest)
    this.#awaited.delete(digest)
    this.#pushed.set(tag, { sureMs: nowMs, lastMs: nowMs })
    this.#named.set(tag, new Set([...this.namedBy(tag), digest]))
  }

  /** What such tags name goes with the last of them, and what only that lists. */
  #expose(nowMs: number): void {
    for (const [tag, digest] of this.tags) {
      if (this.mayBePruned(tag, nowMs)) this.#exposeAll(digest)
    }
  }

  #exposeAll(digest: Digest): void {
    if (this.#exposed.has(digest)) return
    this.#exposed.add(digest)
    for (const child of this.images.get(digest)?.children ?? []) this.#exposeAll(child)
  }

  #remove({ digest }: Image): void {
    this.images.delete(digest)
    this.#kept.delete(digest)
    this.#awaited.delete(digest)
    this.#unsure.delete(digest)
    for (const [tag, to] of [...this.tags]) if (to === digest) this.tags.delete(tag)
  }

  /** What is used no more stays for as long as one that was pushed at that moment. */
  #change(nowMs: number, change: () => void): void {
    this.#expose(nowMs)
    this.witness(nowMs)
    const used = [...this.images.keys()].filter((digest) => this.isUsed(digest, nowMs))
    for (const digest of this.images.keys()) {
      if (this.imagePresence(digest, nowMs) === 'either') this.#unsure.add(digest)
    }
    change()
    for (const digest of used) {
      if (!this.images.has(digest) || this.isUsed(digest, nowMs)) continue
      this.#kept.set(digest, nowMs + this.#terms.untaggedAfterMs)
    }
  }
}

export class Model {
  readonly repositories: ReadonlyMap<string, RepositoryModel>

  constructor({ repositories }: World, terms: Terms) {
    this.repositories = new Map(
      repositories.map((name) => [name, new RepositoryModel(name, terms)]),
    )
  }

  at(name: string): RepositoryModel {
    const found = this.repositories.get(name)
    if (found === undefined) throw new Error(`no repository ${name}`)
    return found
  }
}

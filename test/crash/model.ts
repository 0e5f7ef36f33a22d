// What a registry may hold by what its clients have seen of it: old or new where an answer is
// outstanding, else exactly what was acknowledged.

import { seededBytes } from '../support/images.ts'
import { Register, type Write } from './register.ts'

export interface BlobKey {
  readonly repository: string
  readonly digest: string
  readonly bytes: Buffer
  readonly isHeld: Register<boolean>
}

export interface ManifestKey {
  readonly repository: string
  readonly digest: string
  readonly bytes: Buffer
  readonly blobs: readonly string[]
  readonly isHeld: Register<boolean>
}

export interface TagKey {
  readonly repository: string
  readonly tag: string
  readonly digest: Register<string | undefined>
}

export interface SessionKey {
  readonly repository: string
  readonly location: string
  /** What the whole blob will be. */
  readonly content: Buffer
  readonly digest: string
  /** Committed bytes; undefined where the session has ended. */
  readonly offset: Register<number | undefined>
}

/** One register's part in an operation. */
export interface Change {
  /** What the register is given, as text; for messages. */
  readonly to: string
  begin(): Write
  /** What was found in the register is the new value, the old one, or neither can be told apart. */
  outcome(): 'new' | 'old' | 'same'
}

/** An operation without an answer. All its changes have happened, or none. */
export interface Outstanding {
  readonly name: string
  readonly changes: readonly Change[]
}

export class Model {
  readonly blobs: Map<string, BlobKey> = new Map()
  readonly manifests: Map<string, ManifestKey> = new Map()
  readonly tags: Map<string, TagKey> = new Map()
  readonly sessions: Map<string, SessionKey> = new Map()
  readonly outstanding: Set<Outstanding> = new Set()
  readonly #seed: string
  #contents = 0

  constructor(seed: string) {
    this.#seed = seed
  }

  /** Bytes unlike all others, two more than `length`: `Range: 0-0` stands for an offset of 0 and of 1. */
  newContent(length: number): Buffer {
    this.#contents += 1
    return seededBytes(`${this.#seed}/${this.#contents}`, length + 2)
  }

  blob(repository: string, digest: string, bytes: Buffer): BlobKey {
    const made = (): BlobKey => ({ repository, digest, bytes, isHeld: new Register(false) })
    return entryOf(this.blobs, `${repository}@${digest}`, made)
  }

  manifest(
    repository: string,
    digest: string,
    bytes: Buffer,
    blobs: readonly string[],
  ): ManifestKey {
    const made = (): ManifestKey => {
      return { repository, digest, bytes, blobs, isHeld: new Register(false) }
    }
    return entryOf(this.manifests, `${repository}@${digest}`, made)
  }

  tag(repository: string, tag: string): TagKey {
    const made = (): TagKey => ({
      repository,
      tag,
      digest: new Register<string | undefined>(undefined),
    })
    return entryOf(this.tags, `${repository}:${tag}`, made)
  }

  session(repository: string, location: string, content: Buffer, digest: string): SessionKey {
    const offset = new Register<number | undefined>(0)
    const session: SessionKey = { repository, location, content, digest, offset }
    this.sessions.set(location, session)
    return session
  }

  heldBlobs(repository: string): BlobKey[] {
    return [...this.blobs.values()].filter(
      (key) => key.repository === repository && key.isHeld.sure,
    )
  }

  heldManifests(repository: string): ManifestKey[] {
    return [...this.manifests.values()].filter(
      (key) => key.repository === repository && key.isHeld.sure,
    )
  }

  tagsOf(repository: string): TagKey[] {
    return [...this.tags.values()].filter(
      (key) => key.repository === repository && key.digest.sure !== undefined,
    )
  }

  sessionsOf(repository: string): SessionKey[] {
    return [...this.sessions.values()].filter((key) => key.repository === repository)
  }

  /** Names that hold nothing any more need not be looked at again. Only between two loads. */
  forgetAbsent(): void {
    for (const [name, { isHeld }] of this.blobs) if (!isHeld.sure) this.blobs.delete(name)
    for (const [name, { isHeld }] of this.manifests) if (!isHeld.sure) this.manifests.delete(name)
    for (const [name, { offset }] of this.sessions) {
      if (offset.sure === undefined) this.sessions.delete(name)
    }
  }
}

function entryOf<Value>(map: Map<string, Value>, name: string, make: () => Value): Value {
  const known = map.get(name)
  if (known !== undefined) return known
  const made = make()
  map.set(name, made)
  return made
}

/** The part of `register` in an operation that gives it `to`. A `shared` one others write as well. */
export function change<Value>(register: Register<Value>, to: Value, shared = false): Change {
  const before = register.sure
  return {
    to: String(to),
    begin: () => register.begin(to),
    outcome: () => {
      if (before === to || shared) return 'same'
      return register.sure === to ? 'new' : 'old'
    },
  }
}

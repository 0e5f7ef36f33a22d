// What the registry holds as far as its clients can know: what was acknowledged, and what may have happened.

import { Register, type Write } from '../crash/register.ts'
import { seededBytes } from '../support/images.ts'
import { digestOf } from '../support/registry-client.ts'

/** `gc.grace` of the hosts: the least that it can be. */
export const graceMs = 60_000
// What clients rely on: somewhat less than was promised.
const reliableMs = 0.9 * graceMs

export const manifestType = 'application/vnd.oci.image.manifest.v1+json'

/** Bytes that are made anew when they are needed. */
export interface Content {
  readonly seed: string
  readonly length: number
}

export function bytesOf({ seed, length }: Content): Buffer {
  return seededBytes(seed, length)
}

export interface Manifest {
  readonly digest: string
  readonly bytes: Buffer
  readonly blobs: readonly Blob[]
  readonly isHeld: Register<boolean>
}

export interface Tag {
  readonly name: string
  readonly digest: Register<string | undefined>
}

export class Blob {
  readonly digest: string
  readonly content: Content
  readonly isHeld: Register<boolean> = new Register(false)
  /** From when on garbage collection may take it, where no manifest names it. */
  #safeUntil = 0
  #faded: Write | undefined

  constructor(content: Content) {
    this.content = content
    this.digest = digestOf(bytesOf(content))
  }

  get bytes(): Buffer {
    return bytesOf(this.content)
  }

  /** It was pushed, or its last manifest was deleted, by a request that began then. */
  leasedAt(begunAt: number): void {
    this.#safeUntil = Math.max(this.#safeUntil, begunAt + reliableMs)
    this.#faded?.undone()
    this.#faded = undefined
  }

  /** A request that began then was told that it is there: half of a lease is left at least. */
  foundAt(begunAt: number): void {
    if (this.#faded === undefined) {
      this.#safeUntil = Math.max(this.#safeUntil, begunAt + reliableMs / 2)
    }
  }

  isLeasedAt(time: number): boolean {
    return time < this.#safeUntil
  }

  fade(): void {
    this.#faded ??= this.isHeld.begin(false)
  }
}

/** One repository, which one client writes. */
export class Holdings {
  readonly repository: string
  readonly blobs: Set<Blob> = new Set()
  readonly manifests: Set<Manifest> = new Set()
  readonly tags: Set<Tag> = new Set()

  readonly #seed: string
  #contents = 0

  constructor(repository: string, seed: string) {
    this.repository = repository
    this.#seed = seed
  }

  /** Bytes unlike all others, two more than `length`: no upload may ever stand at 1, which has the form of 0. */
  newBlob(length: number): Blob {
    this.#contents += 1
    const seed = `${this.#seed}/${this.repository}/${this.#contents}`
    const blob = new Blob({ seed, length: length + 2 })
    this.blobs.add(blob)
    return blob
  }

  newManifest(blobs: readonly Blob[]): Manifest {
    this.#contents += 1
    const mediaType = 'application/octet-stream'
    const parts = blobs.map(({ digest, content }) => ({ mediaType, digest, size: content.length }))
    const [config, ...layers] = parts
    const annotations = { number: `${this.#seed}/${this.#contents}` }
    const bytes = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config, layers, annotations }),
    )
    const manifest = { digest: digestOf(bytes), bytes, blobs, isHeld: new Register(false) }
    this.manifests.add(manifest)
    return manifest
  }

  newTag(): Tag {
    this.#contents += 1
    const tag = { name: `v${this.#contents}`, digest: new Register<string | undefined>(undefined) }
    this.tags.add(tag)
    return tag
  }

  /** What nobody holds on to may be collected from now on. */
  fade(): void {
    const now = performance.now()
    const named = new Set(
      [...this.manifests]
        .filter(({ isHeld }) => isHeld.isSurely(true))
        .flatMap((manifest) => manifest.blobs),
    )
    for (const blob of this.blobs) {
      if (!named.has(blob) && !blob.isLeasedAt(now)) blob.fade()
    }
  }

  get heldBlobs(): readonly Blob[] {
    return [...this.blobs].filter(({ isHeld }) => isHeld.isSurely(true))
  }

  get heldManifests(): readonly Manifest[] {
    return [...this.manifests].filter(({ isHeld }) => isHeld.isSurely(true))
  }

  /** Of which it is known where they point. */
  get sureTags(): readonly Tag[] {
    return [...this.tags].filter(({ digest }) => isSettled(digest))
  }

  /** No manifest names them, not even perhaps. */
  get freeBlobs(): readonly Blob[] {
    const named = new Set(
      [...this.manifests]
        .filter(({ isHeld }) => isHeld.allowed.includes(true))
        .flatMap((manifest) => manifest.blobs),
    )
    return this.heldBlobs.filter((blob) => !named.has(blob))
  }

  /** Names that hold nothing, and of which too many would only make looking at them slow. */
  forget(most: number): void {
    for (const names of [this.blobs, this.manifests]) {
      const absent = [...names].filter(({ isHeld }) => isHeld.isSurely(false))
      for (const name of absent.slice(0, -most)) names.delete(name as Blob & Manifest)
    }
  }
}

export function isSettled<Value>(register: Register<Value>): boolean {
  return new Set(register.allowed).size === 1
}

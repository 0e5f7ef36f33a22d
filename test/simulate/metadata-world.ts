// The small world of the metadata simulation: few names, so that every operation meets the others.

import { type Digest, digestOfBytes } from '../../src/oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../src/oci/name.ts'
import { parseTag, type Tag } from '../../src/oci/tag.ts'
import { newUploadId, type UploadId } from '../../src/oci/upload-id.ts'

/** A manifest before it is put anywhere; what it names never changes with its digest. */
export interface Blueprint {
  readonly digest: Digest
  readonly bytes: Uint8Array
  readonly mediaType: string
  readonly blobs: readonly Digest[]
  readonly optionalBlobs: readonly Digest[]
  readonly children: readonly Digest[]
  readonly subject?: Digest
}

export interface World {
  readonly repositories: readonly RepositoryName[]
  readonly tags: readonly Tag[]
  readonly blobs: readonly Digest[]
  readonly manifests: readonly Blueprint[]
  readonly uploads: readonly UploadId[]
}

/** Answers numbers in [0, 1), the same ones for the same seed. Source: mulberry32. */
export function randomFrom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

export class Dice {
  readonly #random: () => number

  constructor(random: () => number) {
    this.#random = random
  }

  below(count: number): number {
    return Math.floor(this.#random() * count)
  }

  chance(share: number): boolean {
    return this.#random() < share
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)]!
  }

  some<Item>(items: readonly Item[], share: number): Item[] {
    return items.filter(() => this.chance(share))
  }
}

export function makeWorld(dice: Dice): World {
  const blobs = Array.from({ length: 8 }, (_, i) => digestOf(`blob ${i}`))
  // The others are what pushes leave behind that break off before their manifest.
  const named = blobs.slice(0, 6)
  const manifests: Blueprint[] = []
  for (let i = 0; i < 8; i++) {
    const bytes = Buffer.from(`manifest ${i} `.repeat(1 + dice.below(400)))
    const earlier = manifests.map(({ digest }) => digest)
    manifests.push({
      digest: digestOfBytes('sha256', bytes),
      bytes,
      mediaType: `application/x.kind-${i % 3}+json`,
      blobs: i < 5 ? dice.some(named, 0.3) : [],
      optionalBlobs: dice.some(named, 0.15),
      children: i < 5 ? [] : dice.some(earlier, 0.25),
      ...(dice.chance(0.5) ? { subject: dice.pick([...earlier, digestOf('nobody')]) } : {}),
    })
  }
  return {
    repositories: ['a', 'a-b', 'a/b'].map((name) => parseRepositoryName(name)!),
    tags: ['v1', 'v1-rc', 'v1.0', 'latest'].map((name) => parseTag(name)!),
    blobs,
    manifests,
    uploads: Array.from({ length: 4 }, (_, i) =>
      newUploadId(() => `00000000-0000-4000-8000-00000000000${i}`),
    ),
  }
}

export function digestOf(name: string): Digest {
  return digestOfBytes('sha256', Buffer.from(name))
}

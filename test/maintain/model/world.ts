// The small world of the model test: few names and contents, so that every push meets what others do.

import { type Digest, digestOfBytes } from '../../../src/oci/digest.ts'
import type { Dice } from '../../support/dice.ts'
import { seededBytes } from '../../support/images.ts'

/** A manifest before it is put anywhere. */
export interface Image {
  readonly digest: Digest
  readonly bytes: Buffer
  readonly mediaType: string
  readonly blobs: readonly Digest[]
  readonly children: readonly Digest[]
  readonly subject?: Digest
}

export interface World {
  readonly repositories: readonly string[]
  readonly tags: readonly string[]
  readonly contents: ReadonlyMap<Digest, Buffer>
  readonly images: ReadonlyMap<Digest, Image>
}

const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const indexType = 'application/vnd.oci.image.index.v1+json'
const blobCount = 12
const imageCount = 8
const indexCount = 4

export function makeWorld(dice: Dice, seed: number): World {
  const contents = new Map<Digest, Buffer>()
  for (let i = 0; i < blobCount; i++) {
    const bytes = seededBytes(`${seed}/${i}`, 1 + dice.below(dice.pick([40, 4000, 70_000])))
    contents.set(digestOfBytes('sha256', bytes), bytes)
  }
  const digests = [...contents.keys()]
  const images = new Map<Digest, Image>()
  const add = (image: Image): void => {
    images.set(image.digest, image)
  }
  for (let i = 0; i < imageCount; i++) {
    const blobs = Array.from({ length: 1 + dice.below(3) }, () => dice.pick(digests))
    const isReferrer = images.size > 2 && dice.chance(0.3)
    add(
      imageOf(
        `image ${i}`,
        contents,
        blobs,
        isReferrer ? dice.pick([...images.values()]) : undefined,
      ),
    )
  }
  for (let i = 0; i < indexCount; i++) {
    const children = Array.from({ length: 1 + dice.below(3) }, () =>
      dice.pick([...images.values()]),
    )
    add(indexOf(`index ${i}`, children))
  }
  return {
    repositories: ['a', 'a/b', 'a-b', 'c'],
    tags: ['latest', 'v1', 'v2', 'tmp-1', 'tmp-2'],
    contents,
    images,
  }
}

function imageOf(
  name: string,
  contents: ReadonlyMap<Digest, Buffer>,
  blobs: readonly Digest[],
  subject: Image | undefined,
): Image {
  const [config, ...layers] = blobs.map((digest) => ({
    ...{ mediaType: 'application/octet-stream', digest, size: contents.get(digest)?.length },
  }))
  const about = subject && {
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.bytes.length },
  }
  const fields = { schemaVersion: 2, mediaType: manifestType, config, layers, ...about }
  const bytes = Buffer.from(JSON.stringify({ ...fields, annotations: { name } }))
  return {
    ...{ digest: digestOfBytes('sha256', bytes), bytes, mediaType: manifestType },
    ...{ blobs: [...new Set(blobs)], children: [] },
    ...(subject && { subject: subject.digest }),
  }
}

function indexOf(name: string, children: readonly Image[]): Image {
  const manifests = children.map(({ mediaType, digest, bytes }) => ({
    ...{ mediaType, digest, size: bytes.length },
  }))
  const fields = { schemaVersion: 2, mediaType: indexType, manifests, annotations: { name } }
  const bytes = Buffer.from(JSON.stringify(fields))
  const digest = digestOfBytes('sha256', bytes)
  const own = [...new Set(children.map((child) => child.digest))]
  return { digest, bytes, mediaType: indexType, blobs: [], children: own }
}

// What the servers hold during read scenarios, and unique payloads for pushes.
// A payload is one shared random block repeated plus a unique tail, so that its digest costs
// the client a copied hash state and 4 KiB of hashing instead of the whole size.

import { createHash, type Hash, randomBytes } from 'node:crypto'

export const KIB = 1024
export const MIB: number = 1024 * KIB

const BLOCK_BYTES = MIB
const TAIL_BYTES = 4 * KIB

export interface Payload {
  readonly digest: string
  readonly size: number
  /** The bytes, in order; blocks are shared between payloads and must not be changed. */
  readonly blocks: readonly Buffer[]
}

/** Makes payloads of one size that share all but their tail. Limits: `size` ≥ 4 KiB. */
export class PayloadSource {
  readonly #size: number
  readonly #head: readonly Buffer[]
  readonly #headHash: Hash

  constructor(size: number) {
    const block = randomBytes(Math.min(BLOCK_BYTES, size - TAIL_BYTES))
    const head: Buffer[] = []
    for (let left = size - TAIL_BYTES; left > 0; left -= block.length) {
      head.push(left >= block.length ? block : block.subarray(0, left))
    }
    this.#size = size
    this.#head = head
    this.#headHash = createHash('sha256')
    for (const part of head) this.#headHash.update(part)
  }

  next(): Payload {
    const tail = randomBytes(TAIL_BYTES)
    const digest = `sha256:${this.#headHash.copy().update(tail).digest('hex')}`
    return { digest, size: this.#size, blocks: [...this.#head, tail] }
  }
}

export interface Manifest {
  readonly tag: string
  readonly digest: string
  readonly mediaType: string
  readonly bytes: Buffer
}

export interface Content {
  readonly repository: string
  readonly blobs: readonly Payload[]
  readonly manifests: readonly Manifest[]
}

export const REPOSITORY = 'bench/image'
export const EMPTY: Content = { repository: REPOSITORY, blobs: [], manifests: [] }
export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** A unique blob of any size that is hashed as a whole. Units: bytes. */
export function smallPayload(size: number): Payload {
  const bytes = randomBytes(size)
  return { digest: digestOf(bytes), size, blocks: [bytes] }
}

function descriptor(mediaType: string, { digest, size }: Payload): object {
  return { mediaType, digest, size }
}

export function imageManifest(tag: string, config: Payload, layers: readonly Payload[]): Manifest {
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: descriptor('application/vnd.oci.image.config.v1+json', config),
      layers: layers.map((it) => descriptor('application/vnd.oci.image.layer.v1.tar+gzip', it)),
    }),
  )
  return { tag, digest: digestOf(bytes), mediaType: MANIFEST_TYPE, bytes }
}

/** One image under the tag `latest`. */
export function imageOf(config: Payload, layers: readonly Payload[]): Content {
  const manifest = imageManifest('latest', config, layers)
  return { repository: REPOSITORY, blobs: [config, ...layers], manifests: [manifest] }
}

/** An image of one config and seven small layers; its manifest has about 1.2 kB, as real ones do. */
export function smallImage(): Content {
  const source = new PayloadSource(8 * KIB)
  const [config, ...layers] = Array.from({ length: 8 }, () => source.next())
  if (config === undefined) throw new Error('an image needs a config')
  return imageOf(config, layers)
}

/** One blob of `size` bytes and no manifest. */
export function oneBlob(size: number): Content {
  return { repository: REPOSITORY, blobs: [new PayloadSource(size).next()], manifests: [] }
}

// Answers for the tree of a docker-registry, written as its file system driver writes it, without a registry.
import { createHash } from 'node:crypto'
import { mkdir, rm, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Digest, digestOfBytes, parseDigest } from '../../src/oci/digest.ts'

export interface TreeDescriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
}

const dockerImage = 'application/vnd.docker.distribution.manifest.v2+json'
const dockerIndex = 'application/vnd.docker.distribution.manifest.list.v2+json'
const dockerConfig = 'application/vnd.docker.container.image.v1+json'
const dockerLayer = 'application/vnd.docker.image.rootfs.diff.tar.gzip'

export class DistributionTree {
  /** `…/docker/registry/v2`. */
  readonly root: string

  constructor(root: string) {
    this.root = root
  }

  path(...parts: readonly string[]): string {
    return join(this.root, ...parts)
  }

  dataPath(digest: Digest): string {
    const [algorithm = '', hex = ''] = digest.split(':')
    return this.path('blobs', algorithm, hex.slice(0, 2), hex, 'data')
  }

  async addBlob(repository: string, bytes: Uint8Array): Promise<Digest> {
    const digest = digestOfBytes('sha256', bytes)
    await write(this.dataPath(digest), bytes)
    await this.#link(repository, '_layers', digest)
    return digest
  }

  /** Any bytes as a manifest, with its revision. */
  async addManifest(repository: string, manifest: object | Uint8Array): Promise<Digest> {
    const bytes =
      manifest instanceof Uint8Array ? manifest : Buffer.from(JSON.stringify(manifest, null, 3))
    const digest = digestOfBytes('sha256', bytes)
    await write(this.dataPath(digest), bytes)
    await this.#link(repository, '_manifests/revisions', digest)
    return digest
  }

  /** An image of a config and `layers` layers of a few bytes each, the same for the same seed. */
  async addImage(
    repository: string,
    seed: string,
    options: { readonly layers?: readonly string[]; readonly mediaType?: string } = {},
  ): Promise<TreeDescriptor & { readonly blobs: readonly Digest[] }> {
    const { layers = [`${seed} layer`, 'a layer that many share'], mediaType = dockerImage } =
      options
    const config = await this.#descriptor(repository, dockerConfig, `{"of":"${seed}"}`)
    const named: TreeDescriptor[] = []
    for (const layer of layers) named.push(await this.#descriptor(repository, dockerLayer, layer))
    const manifest = { schemaVersion: 2, mediaType, config, layers: named }
    const digest = await this.addManifest(repository, manifest)
    const size = Buffer.byteLength(JSON.stringify(manifest, null, 3))
    return { mediaType, digest, size, blobs: [config, ...named].map((each) => each.digest) }
  }

  addIndex(repository: string, manifests: readonly TreeDescriptor[]): Promise<Digest> {
    const listed = manifests.map(({ mediaType, digest, size }, at) => ({
      ...{ mediaType, digest, size },
      platform: { os: 'linux', architecture: `cpu${at}` },
    }))
    return this.addManifest(repository, {
      ...{ schemaVersion: 2, mediaType: dockerIndex, manifests: listed },
    })
  }

  /** Point a tag, as of `at`. */
  async tag(repository: string, tag: string, digest: Digest, at?: Date): Promise<void> {
    const base = this.path('repositories', repository, '_manifests', 'tags', tag)
    const [algorithm = '', hex = ''] = digest.split(':')
    await write(join(base, 'index', algorithm, hex, 'link'), digest)
    const current = join(base, 'current', 'link')
    await write(current, digest)
    if (at !== undefined) await utimes(current, at, at)
  }

  async untag(repository: string, tag: string): Promise<void> {
    const base = this.path('repositories', repository, '_manifests', 'tags', tag)
    await rm(base, { recursive: true })
  }

  async #descriptor(repository: string, mediaType: string, text: string): Promise<TreeDescriptor> {
    const bytes = Buffer.from(text)
    return { mediaType, digest: await this.addBlob(repository, bytes), size: bytes.length }
  }

  #link(repository: string, below: string, digest: Digest): Promise<void> {
    const [algorithm = '', hex = ''] = digest.split(':')
    return write(this.path('repositories', repository, below, algorithm, hex, 'link'), digest)
  }
}

/** A digest of bytes that nobody has. */
export function nobodysDigest(text: string): Digest {
  const digest = parseDigest(
    `sha256:${createHash('sha256').update(`nobody ${text}`).digest('hex')}`,
  )
  if (digest === undefined) throw new Error('a hash is a digest')
  return digest
}

const made = new Set<string>()

async function write(path: string, content: string | Uint8Array): Promise<void> {
  const directory = dirname(path)
  if (!made.has(directory)) {
    await mkdir(directory, { recursive: true })
    if (made.size < 100_000) made.add(directory)
  }
  await writeFile(path, content)
}

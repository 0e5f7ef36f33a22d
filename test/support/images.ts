// Answers for container images made without network or clients: OCI layouts whose layers are real
// tar archives of seeded, incompressible bytes.
import { createCipheriv, createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { tar } from './tar.ts'

export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly platform?: { readonly os: string; readonly architecture: string }
  readonly annotations?: Readonly<Record<string, string>>
}

export interface ImageOptions {
  readonly layers: number
  /** Size of the one large file in each layer. */
  readonly bytesPerLayer: number
  readonly seed: string
  readonly architecture?: string
}

export interface Image {
  /** The OCI layout's folder. */
  readonly dir: string
  readonly manifest: Descriptor
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  /** Digests of the uncompressed layers, in order. */
  readonly diffIds: readonly string[]
}

export interface ImageIndex {
  readonly dir: string
  readonly index: Descriptor
  readonly images: readonly Image[]
}

const mediaTypes = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
} as const

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** The same bytes for the same seed: a cipher's key stream, which no compressor shortens. */
export function seededBytes(seed: string, length: number): Buffer {
  const key = createHash('sha256').update(seed).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length))
}

/** Where an OCI layout keeps a blob. */
export function blobPath(dir: string, digest: string): string {
  return join(dir, 'blobs', ...digest.split(':'))
}

async function addBlob(dir: string, mediaType: string, bytes: Uint8Array): Promise<Descriptor> {
  const digest = sha256(bytes)
  await mkdir(join(dir, 'blobs', 'sha256'), { recursive: true })
  await writeFile(blobPath(dir, digest), bytes)
  return { mediaType, digest, size: bytes.length }
}

function addJson(dir: string, mediaType: string, value: unknown): Promise<Descriptor> {
  return addBlob(dir, mediaType, Buffer.from(JSON.stringify(value)))
}

/** One layer: a folder, the large file, and a link, so that unpacking has something to do. */
export function layerTar(seed: string, bytes: number): Buffer {
  return tar([
    { name: `${seed}/` },
    { name: `${seed}/data.bin`, bytes: seededBytes(seed, bytes) },
    { name: `${seed}/link`, linkTo: 'data.bin' },
  ])
}

async function writeLayout(dir: string, roots: readonly Descriptor[]): Promise<void> {
  await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  const manifests = roots.map((root) => ({
    ...root,
    annotations: { 'org.opencontainers.image.ref.name': 'latest' },
  }))
  await writeFile(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
}

async function addImage(dir: string, options: ImageOptions): Promise<Image> {
  const architecture = options.architecture ?? 'amd64'
  const layers: Descriptor[] = []
  const diffIds: string[] = []
  for (let i = 0; i < options.layers; i++) {
    const archive = layerTar(`${options.seed}-${architecture}-${i}`, options.bytesPerLayer)
    diffIds.push(sha256(archive))
    layers.push(await addBlob(dir, mediaTypes.layer, gzipSync(archive, { level: 1 })))
  }
  const created = '2024-01-01T00:00:00Z'
  const config = await addJson(dir, mediaTypes.config, {
    created,
    architecture,
    os: 'linux',
    config: { Labels: { seed: options.seed } },
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: diffIds.map((_, i) => ({ created, created_by: `layer ${i}` })),
  })
  const manifest = await addJson(dir, mediaTypes.manifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config,
    layers,
  })
  return { dir, manifest, config, layers, diffIds }
}

/** Write an image into a new OCI layout at `dir`, under the reference name `latest`. */
export async function makeImage(dir: string, options: ImageOptions): Promise<Image> {
  const image = await addImage(dir, options)
  await writeLayout(dir, [image.manifest])
  return image
}

/** Write an image per architecture and their index into a new OCI layout, as `latest`. */
export async function makeIndex(
  dir: string,
  options: ImageOptions & { readonly architectures: readonly string[] },
): Promise<ImageIndex> {
  const images: Image[] = []
  const manifests: Descriptor[] = []
  for (const architecture of options.architectures) {
    const image = await addImage(dir, { ...options, architecture })
    images.push(image)
    manifests.push({ ...image.manifest, platform: { os: 'linux', architecture } })
  }
  const index = await addJson(dir, mediaTypes.index, {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests,
  })
  await writeLayout(dir, [index])
  return { dir, index, images }
}

/** The digests of all blobs that an image consists of. */
export function digestsOf(image: Image): readonly string[] {
  return [image.manifest, image.config, ...image.layers].map((part) => part.digest)
}

/** A layout as one archive: what `podman load` and `ctr images import` take. */
export async function layoutArchive(dir: string, digests: readonly string[]): Promise<Buffer> {
  const blobNames = digests.map((digest) => blobPath('', digest))
  const names = ['oci-layout', 'index.json', ...blobNames]
  const entries = names.map(async (name) => ({ name, bytes: await readFile(join(dir, name)) }))
  return tar(await Promise.all(entries))
}

/** The image as `docker load` takes it: layers uncompressed, the config byte for byte. */
export async function dockerArchive(
  image: Image,
  options: ImageOptions,
  tag: string,
): Promise<Buffer> {
  const architecture = options.architecture ?? 'amd64'
  const configName = `${image.config.digest.slice('sha256:'.length)}.json`
  const layerNames = image.layers.map((_, i) => `layer-${i}.tar`)
  const manifest = [{ Config: configName, RepoTags: [tag], Layers: layerNames }]
  return tar([
    { name: configName, bytes: await readFile(blobPath(image.dir, image.config.digest)) },
    ...layerNames.map((name, i) => ({
      name,
      bytes: layerTar(`${options.seed}-${architecture}-${i}`, options.bytesPerLayer),
    })),
    { name: 'manifest.json', bytes: Buffer.from(JSON.stringify(manifest)) },
  ])
}

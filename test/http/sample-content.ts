// Answers for manifests that the endpoint tests push: each shape with content of its own, so that no
// two tests share a digest by chance.
import { type Algorithm, digestOf, type RegistryClient } from '../support/registry-client.ts'

export const types = {
  image: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  artifact: 'application/vnd.oci.artifact.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  foreignLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  empty: 'application/vnd.oci.empty.v1+json',
  dockerImage: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const

export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}

export interface ImageManifest {
  readonly schemaVersion: 2
  readonly mediaType: string
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

export function descriptor(
  mediaType: string,
  bytes: Uint8Array,
  algorithm: Algorithm = 'sha256',
): Descriptor {
  return { mediaType, digest: digestOf(bytes, algorithm), size: bytes.length }
}

/** The config and layer of an image named `seed`, and the manifest over them. */
export function sampleImage(
  seed: string,
  options: { readonly docker?: boolean; readonly algorithm?: Algorithm } = {},
): { readonly manifest: ImageManifest; readonly blobs: readonly Buffer[] } {
  const { docker = false, algorithm = 'sha256' } = options
  const config = Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', seed }))
  const layer = Buffer.from(`layer of ${seed}`)
  const manifest = {
    schemaVersion: 2,
    mediaType: docker ? types.dockerImage : types.image,
    config: descriptor(docker ? types.dockerConfig : types.config, config, algorithm),
    layers: [descriptor(docker ? types.dockerLayer : types.layer, layer, algorithm)],
  } as const
  return { manifest, blobs: [config, layer] }
}

/** Push the blobs of `sampleImage(seed)`; the manifest is the caller's to push. */
export async function pushSampleBlobs(
  client: RegistryClient,
  repository: string,
  seed: string,
): Promise<ImageManifest> {
  const { manifest, blobs } = sampleImage(seed)
  for (const blob of blobs) await client.pushBlob(repository, blob)
  return manifest
}

export function sampleIndex(
  manifests: readonly Descriptor[],
  mediaType: string = types.index,
): { readonly schemaVersion: 2; readonly mediaType: string; readonly manifests: unknown } {
  return { schemaVersion: 2, mediaType, manifests }
}

/** An image without layers, over the empty config: what artifacts are. Its blob is `{}`. */
export function sampleArtifact(artifactType: string, more: object = {}): object {
  const config = descriptor(types.empty, emptyConfig)
  return {
    schemaVersion: 2,
    mediaType: types.image,
    artifactType,
    config,
    layers: [config],
    ...more,
  }
}

export const emptyConfig: Buffer = Buffer.from('{}')

export function descriptorOf(pushed: { readonly bytes: Buffer }, mediaType: string): Descriptor {
  return descriptor(mediaType, pushed.bytes)
}

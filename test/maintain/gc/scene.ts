// Answers for garbage in tests: small images, runs of the job, and what a store has on its disk.

import { randomBytes } from 'node:crypto'
import { createGcJob } from '../../../src/maintain/gc/job.ts'
import type { GcSettings } from '../../../src/maintain/gc/settings.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../../src/oci/name.ts'
import type { JobRun, MaintainScene, RunOptions } from '../../support/maintain.ts'

export const hourMs = 3_600_000
export const dayMs: number = 24 * hourMs

const imageType = 'application/vnd.oci.image.manifest.v1+json'
const indexType = 'application/vnd.oci.image.index.v1+json'
const configType = 'application/vnd.oci.image.config.v1+json'
const layerType = 'application/vnd.oci.image.layer.v1.tar'

/** Those of the scene: an hour of grace, a week of restore window. */
export const settings: GcSettings = {
  ...{ graceMs: hourMs, restoreWindowMs: 7 * dayMs },
  ...{ untagged: 'keep', untaggedAfterMs: 7 * dayMs, orphanReferrers: 'keep' },
  ...{ blobsPerSecond: 0, rateBytes: 0, overwrite: false },
}

export function collect(
  scene: MaintainScene,
  changed: Partial<GcSettings> = {},
  input: object = {},
  options: RunOptions = {},
): Promise<JobRun> {
  const job = createGcJob(() => ({ ...settings, ...changed }))
  return scene.run(job, input, options)
}

export function named(repository: string): RepositoryName {
  const name = parseRepositoryName(repository)
  if (name === undefined) throw new Error(`${repository} is no name`)
  return name
}

/** Of nobody else. */
export function someBytes(size = 100): Buffer {
  return randomBytes(size)
}

export interface PushedImage {
  readonly digest: Digest
  readonly blobs: readonly Digest[]
}

export interface ImagePlan {
  readonly tag?: string
  readonly layers?: readonly Uint8Array[]
  readonly subject?: Digest
}

export async function pushImage(
  scene: MaintainScene,
  repository: string,
  { tag, layers = [someBytes()], subject }: ImagePlan = {},
): Promise<PushedImage> {
  const configBytes = someBytes(20)
  const config = await scene.pushBlob(repository, configBytes)
  const descriptors = []
  for (const layer of layers) {
    const digest = await scene.pushBlob(repository, layer)
    descriptors.push({ mediaType: layerType, digest, size: layer.length })
  }
  const blobs = [config, ...descriptors.map(({ digest }) => digest)]
  const manifest = imageManifest({ digest: config, size: configBytes.length }, descriptors, subject)
  return { digest: await scene.pushManifest(repository, manifest, tag), blobs }
}

export function imageManifest(
  config: { readonly digest: Digest; readonly size: number },
  layers: readonly object[],
  subject?: Digest,
): object {
  return {
    ...{ schemaVersion: 2, mediaType: imageType, config: { mediaType: configType, ...config } },
    layers,
    ...(subject === undefined
      ? {}
      : { subject: { mediaType: imageType, digest: subject, size: 1 } }),
  }
}

export function pushIndex(
  scene: MaintainScene,
  repository: string,
  children: readonly Digest[],
  tag?: string,
): Promise<Digest> {
  const manifests = children.map((digest) => ({ mediaType: imageType, digest, size: 1 }))
  const annotations = { made: someBytes(8).toString('hex') }
  const index = { schemaVersion: 2, mediaType: indexType, manifests, annotations }
  return scene.pushManifest(repository, index, tag)
}

export async function status(scene: MaintainScene, target: string): Promise<number> {
  return (await scene.send('GET', target)).status
}

export function blobStatus(
  scene: MaintainScene,
  repository: string,
  digest: Digest,
): Promise<number> {
  return status(scene, `/v2/${repository}/blobs/${digest}`)
}

export function manifestStatus(
  scene: MaintainScene,
  repository: string,
  reference: string,
): Promise<number> {
  return status(scene, `/v2/${repository}/manifests/${reference}`)
}

/** Whether its bytes are on the disk, whatever the records say. */
export async function isOnDisk(scene: MaintainScene, digest: Digest): Promise<boolean> {
  return (await scene.disk.blobs.size(digest)) !== undefined
}

// Answers for where damage is done: one repository with an image of its own, its rows and its files.

import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Digest, digestOfBytes } from '../../../src/oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../../src/oci/name.ts'
import { parseTag, type Tag } from '../../../src/oci/tag.ts'
import { dataKey } from '../../../src/storage/blob/keys.ts'
import type { KeyValueTransaction } from '../../../src/storage/metadata/kv/contract.ts'
import type { MaintainScene } from '../../support/maintain.ts'

export const imageType = 'application/vnd.oci.image.manifest.v1+json'
export const indexType = 'application/vnd.oci.image.index.v1+json'

export interface DescriptorOf {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
}

/** Image manifests of this text: no two texts have content in common. */
export interface Image {
  readonly manifest: Digest
  readonly bytes: Buffer
  readonly config: Digest
  readonly layer: Digest
}

export class Place {
  readonly scene: MaintainScene
  readonly repository: RepositoryName
  readonly tag: Tag = parseTag('v1')!
  readonly image: Image
  /** What a healthy peer would have. */
  readonly contents: Map<Digest, Buffer>

  private constructor(scene: MaintainScene, name: string, contents: Map<Digest, Buffer>) {
    this.scene = scene
    this.repository = parseRepositoryName(name)!
    this.contents = contents
    this.image = imageOf(name)
  }

  static async make(
    scene: MaintainScene,
    name: string,
    contents: Map<Digest, Buffer>,
  ): Promise<Place> {
    const place = new Place(scene, name, contents)
    await place.push(place.image, name, 'v1')
    return place
  }

  async push(image: Image, text: string, reference?: string): Promise<void> {
    for (const part of ['config', 'layer']) await this.pushBlob(`${part} of ${text}`)
    await this.pushManifest(image.bytes, reference)
  }

  async pushBlob(text: string): Promise<Digest> {
    const bytes = Buffer.from(text)
    const digest = await this.scene.pushBlob(this.repository, bytes)
    this.contents.set(digest, bytes)
    return digest
  }

  async pushManifest(bytes: Buffer, reference?: string): Promise<Digest> {
    const manifest = JSON.parse(bytes.toString()) as { mediaType: string }
    const digest = await this.scene.pushManifest(this.repository, manifest, reference)
    this.contents.set(digest, bytes)
    return digest
  }

  /** The path of a blob's file, or of another name beside it. */
  file(digest: Digest, beside = ''): string {
    return join(this.scene.disk.rootDir!, dataKey(digest), beside)
  }

  async overwrite(digest: Digest, change: (bytes: Buffer) => Buffer): Promise<void> {
    const path = this.file(digest)
    await writeFile(path, change(await readFile(path)))
  }

  async writeFile(path: string, bytes: Uint8Array | string): Promise<void> {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, bytes, { mode: 0o600 })
  }

  async removeFile(digest: Digest): Promise<void> {
    await rm(this.file(digest))
  }

  async chmod(digest: Digest, mode: number): Promise<void> {
    await chmod(this.file(digest), mode)
  }

  change(action: (transaction: KeyValueTransaction) => void): Promise<void> {
    return this.scene.disk.records.write('durable', action)
  }

  /** Undefined removes it. */
  async row(key: string, value: string | undefined): Promise<void> {
    await this.change((t) => (value === undefined ? t.remove(key) : t.put(key, value)))
  }

  get(key: string): string | undefined {
    return this.scene.disk.records.reader.get(key)
  }
}

export function imageOf(text: string, subject?: DescriptorOf): Image {
  const config = Buffer.from(`config of ${text}`)
  const layer = Buffer.from(`layer of ${text}`)
  const describe = (bytes: Buffer, mediaType: string): DescriptorOf => ({
    mediaType,
    digest: digestOfBytes('sha256', bytes),
    size: bytes.length,
  })
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: imageType,
      config: describe(config, 'application/vnd.oci.image.config.v1+json'),
      layers: [describe(layer, 'application/vnd.oci.image.layer.v1.tar')],
      ...(subject === undefined ? {} : { subject }),
    }),
  )
  return {
    manifest: digestOfBytes('sha256', bytes),
    bytes,
    config: digestOfBytes('sha256', config),
    layer: digestOfBytes('sha256', layer),
  }
}

export function indexOf(images: readonly Image[]): {
  readonly digest: Digest
  readonly bytes: Buffer
} {
  const manifests = images.map(({ manifest, bytes }) => ({
    ...{ mediaType: imageType, digest: manifest, size: bytes.length },
  }))
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests }))
  return { digest: digestOfBytes('sha256', bytes), bytes }
}

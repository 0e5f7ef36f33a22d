// Answers for what a registry serves: plain requests, and comparisons with an OCI layout on disk.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { blobPath, type Descriptor, type Image, type ImageIndex, sha256 } from './images.ts'

const manifestTypes = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
].join(', ')

export interface ServedManifest {
  readonly digest: string
  readonly mediaType: string
  readonly bytes: Buffer
}

interface ImageManifest {
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

/** GET a manifest by tag or digest; its digest is computed from the bytes, not believed. */
export async function getManifest(
  url: string,
  name: string,
  reference: string,
): Promise<ServedManifest> {
  const response = await fetch(`${url}/v2/${name}/manifests/${reference}`, {
    headers: { accept: manifestTypes },
  })
  const bytes = Buffer.from(await response.arrayBuffer())
  assert.equal(response.status, 200, `GET ${name}/manifests/${reference}: ${bytes}`)
  const digest = sha256(bytes)
  assert.equal(response.headers.get('docker-content-digest'), digest)
  return { digest, mediaType: response.headers.get('content-type') ?? '', bytes }
}

/** GET a blob; its bytes must have the digest asked for. */
export async function getBlob(url: string, name: string, digest: string): Promise<Buffer> {
  const response = await fetch(`${url}/v2/${name}/blobs/${digest}`)
  const bytes = Buffer.from(await response.arrayBuffer())
  assert.equal(response.status, 200, `GET ${name}/blobs/${digest}`)
  assert.equal(sha256(bytes), digest)
  return bytes
}

/** The registry holds this very image: manifest and every blob are byte for byte those on disk. */
export async function assertServesImage(
  url: string,
  name: string,
  reference: string,
  image: Image,
): Promise<void> {
  const served = await getManifest(url, name, reference)
  assert.equal(served.digest, image.manifest.digest)
  assert.equal(served.mediaType, image.manifest.mediaType)
  for (const part of [image.config, ...image.layers]) {
    const bytes = await getBlob(url, name, part.digest)
    assert.ok(bytes.equals(await readFile(blobPath(image.dir, part.digest))), part.digest)
  }
}

/** The registry holds this very index and all its images. */
export async function assertServesIndex(
  url: string,
  name: string,
  reference: string,
  { index, images }: ImageIndex,
): Promise<void> {
  const served = await getManifest(url, name, reference)
  assert.equal(served.digest, index.digest)
  assert.equal(served.mediaType, index.mediaType)
  for (const image of images) {
    await assertServesImage(url, name, image.manifest.digest, image)
  }
}

/** A layout that a client wrote holds the same bytes as the one the image was made in. */
export async function assertSameBlobs(
  dir: string,
  expectedDir: string,
  digests: readonly string[],
): Promise<void> {
  assert.ok(digests.length > 0)
  for (const digest of digests) {
    const bytes = await readFile(blobPath(dir, digest))
    assert.equal(sha256(bytes), digest)
    assert.ok(bytes.equals(await readFile(blobPath(expectedDir, digest))), digest)
  }
}

/** An image that a client made itself: every part is served and is as long as its manifest says. */
export async function assertServesWhole(
  url: string,
  name: string,
  reference: string,
): Promise<ServedManifest & { readonly manifest: ImageManifest }> {
  const served = await getManifest(url, name, reference)
  const manifest = JSON.parse(served.bytes.toString()) as ImageManifest
  for (const part of [manifest.config, ...manifest.layers]) {
    assert.equal((await getBlob(url, name, part.digest)).length, part.size)
  }
  return { ...served, manifest }
}

/** PUT the image with plain requests: the way in for tests of what a client pulls. */
export async function pushImage(
  url: string,
  name: string,
  tag: string,
  image: Image,
): Promise<void> {
  for (const part of [image.config, ...image.layers]) {
    await pushBlob(url, name, part.digest, await readFile(blobPath(image.dir, part.digest)))
  }
  const { digest, mediaType } = image.manifest
  const response = await fetch(`${url}/v2/${name}/manifests/${tag}`, {
    method: 'PUT',
    headers: { 'content-type': mediaType },
    body: await readFile(blobPath(image.dir, digest)),
  })
  assert.equal(response.status, 201, await response.text())
}

async function pushBlob(url: string, name: string, digest: string, bytes: Buffer): Promise<void> {
  const started = await fetch(`${url}/v2/${name}/blobs/uploads/`, { method: 'POST' })
  assert.equal(started.status, 202, await started.text())
  const target = new URL(started.headers.get('location') ?? '', url)
  target.searchParams.set('digest', digest)
  const response = await fetch(target, {
    method: 'PUT',
    headers: { 'content-type': 'application/octet-stream' },
    body: bytes,
  })
  assert.equal(response.status, 201, await response.text())
}

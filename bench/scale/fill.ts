// A store of a wanted size, written through the metadata store and the blob files themselves.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Digest, digestHex, digestOfBytes } from '../../src/oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../src/oci/name.ts'
import { parseTag, type Tag } from '../../src/oci/tag.ts'
import { openFsBlobStore } from '../../src/storage/blob/fs/store.ts'
import type { MetadataStore } from '../../src/storage/metadata/contract.ts'
import { openLmdbMetadataStore } from '../../src/storage/metadata/lmdb/open.ts'

/** How much of everything: tags and blobs are of the first repository, the others have one of each. */
export interface StoreSize {
  readonly tags: number
  readonly repositories: number
  readonly blobs: number
}

export const mediaType = 'application/vnd.oci.image.manifest.v1+json'
const configType = 'application/vnd.oci.image.config.v1+json'
const atOnce = 500
const dayMs = 86_400_000

const padded = (number: number): string => String(number).padStart(7, '0')
export const repositoryOf = (number: number): string => `scale/r${padded(number)}`
export const tagOf = (number: number): string => `t${padded(number)}`
export const blobOf = (number: number): Buffer => Buffer.from(`blob ${padded(number)}`)
export const blobDigestOf = (number: number): Digest => digestOfBytes('sha256', blobOf(number))

/** A manifest of its own for each tag, so that each has a reply of its own. */
export function manifestOf(blob: Digest, size: number, note: string): Buffer {
  const config = { mediaType: configType, digest: blob, size }
  const annotations = { note }
  return Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [], annotations }),
  )
}

function nameOf(text: string): RepositoryName {
  const name = parseRepositoryName(text)
  if (name === undefined) throw new Error(`${text} is no name`)
  return name
}

function parsedTag(text: string): Tag {
  const tag = parseTag(text)
  if (tag === undefined) throw new Error(`${text} is no tag`)
  return tag
}

async function inBatches(count: number, work: (at: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < count; from += atOnce) {
    const batch = Array.from({ length: Math.min(atOnce, count - from) }, (_, i) => work(from + i))
    await Promise.all(batch)
  }
}

async function link(
  store: MetadataStore,
  rootDir: string,
  repository: RepositoryName,
  number: number,
): Promise<void> {
  const bytes = blobOf(number)
  const digest = blobDigestOf(number)
  const hex = digestHex(digest)
  const path = join(rootDir, 'blobs', 'sha256', hex.slice(0, 2), hex, 'data')
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, bytes)
  const leaseUntilMs = Date.now() + 30 * dayMs
  await store.linkBlob({ repository, digest, size: bytes.length, leaseUntilMs, quotas: [] })
}

async function put(store: MetadataStore, repository: RepositoryName, tag: string): Promise<void> {
  const blob = blobDigestOf(0)
  const bytes = manifestOf(blob, blobOf(0).length, `${repository}:${tag}`)
  await store.putManifest({
    ...{ repository, digest: digestOfBytes('sha256', bytes), mediaType, bytes },
    ...{ tags: [parsedTag(tag)], blobs: [blob], optionalBlobs: [], children: [], quotas: [] },
    ...{ allowMissingBlobs: false, allowMissingChildren: false, nowMs: Date.now() },
    isImmutable: () => false,
  })
}

/** Fill an empty directory; a server may then open it. */
export async function fill(rootDir: string, size: StoreSize): Promise<void> {
  await (await openFsBlobStore({ rootDir, durability: 'none' })).close()
  const path = join(rootDir, '_keelson', 'metadata')
  mkdirSync(path, { recursive: true })
  const store = await openLmdbMetadataStore({
    ...{ path, durability: 'none', sharing: 'exclusive', now: Date.now },
  })
  const first = nameOf(repositoryOf(0))
  await inBatches(size.blobs, (at) => link(store, rootDir, first, at))
  await inBatches(size.tags, (at) => put(store, first, tagOf(at)))
  await inBatches(size.repositories - 1, async (at) => {
    const repository = nameOf(repositoryOf(at + 1))
    await link(store, rootDir, repository, 0)
    await put(store, repository, tagOf(0))
  })
  await store.close()
}

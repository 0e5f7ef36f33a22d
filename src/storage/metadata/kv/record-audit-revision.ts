// What the bytes of a manifest say of it: the source that its other records are made from.

import { type Digest, digestAlgorithm, digestOfBytes } from '../../../oci/digest.ts'
import { OciError } from '../../../oci/error.ts'
import {
  defaultManifestLimits,
  type Manifest,
  type ManifestLimits,
  parseManifest,
  referrerDescriptor,
} from '../../../oci/manifest.ts'
import { mediaTypes } from '../../../oci/media-type.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import { encodeDescriptor, type ManifestContents } from './encoding.ts'
import { manifestKey } from './keys.ts'
import type { Look } from './record-audit-look.ts'

export interface Revision {
  readonly mediaType: string
  readonly contents: ManifestContents
  /** Encoded; where it refers to a subject. */
  readonly descriptor?: string
  /** Of each blob that it names, in bytes. */
  readonly sizes: ReadonlyMap<Digest, number>
}

// What it costs to hash and parse a body, in reads of a record.
const readsPerBody = 20
const bytesPerRead = 200

/** `opaque`: the bytes are those of the digest, but no manifest that this build reads. */
export type BodySight = 'missing' | 'corrupt' | 'opaque' | Revision

// It was taken by whatever limits were in force then.
const limits: ManifestLimits = { ...defaultManifestLimits, descriptorsMax: 1_000_000 }

/** `mediaType` is what is recorded, and tried first. */
export function readRevision(
  look: Look,
  repository: RepositoryName,
  digest: Digest,
  mediaType: string | undefined,
): BodySight {
  const body = look.reader.getBody(manifestKey(repository, digest))
  if (body === undefined) return 'missing'
  look.hashed += body.length
  look.reads += readsPerBody + body.length / bytesPerRead
  return revisionOf(digest, body, mediaType)
}

export function revisionOf(
  digest: Digest,
  body: Uint8Array,
  mediaType: string | undefined,
): Exclude<BodySight, 'missing'> {
  if (digestOfBytes(digestAlgorithm(digest), body) !== digest) return 'corrupt'
  // Of these two alone the bytes need not say which one they are.
  for (const type of [mediaType, undefined, mediaTypes.ociImage, mediaTypes.ociIndex]) {
    const manifest = parsed(body, type)
    if (manifest !== undefined) return revisionFrom(manifest, digest, body.length)
  }
  return 'opaque'
}

function parsed(body: Uint8Array, mediaType: string | undefined): Manifest | undefined {
  try {
    return parseManifest(body, mediaType, limits)
  } catch (error) {
    if (error instanceof OciError) return undefined
    throw error
  }
}

function revisionFrom(manifest: Manifest, digest: Digest, size: number): Revision {
  const { mediaType, blobs, foreign, children, subject } = manifest
  const named = [...blobs, ...foreign]
  const contents: ManifestContents = {
    blobs: named.map((blob) => blob.digest),
    children: children.map((child) => child.digest),
    ...(subject === undefined ? {} : { subject: subject.digest }),
  }
  const sizes = new Map(named.map((blob) => [blob.digest, blob.size]))
  if (subject === undefined) return { mediaType, contents, sizes }
  const descriptor = encodeDescriptor(referrerDescriptor(manifest, digest, size))
  return { mediaType, contents, sizes, descriptor }
}

export function sameContents(a: ManifestContents, b: ManifestContents): boolean {
  return a.subject === b.subject && sameSet(a.blobs, b.blobs) && sameSet(a.children, b.children)
}

function sameSet(a: readonly Digest[], b: readonly Digest[]): boolean {
  const set = new Set(a)
  return set.size === new Set(b).size && b.every((digest) => set.has(digest))
}

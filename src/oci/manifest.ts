// What a manifest body must be, and what the registry reads of it.

import type { Descriptor } from './descriptor.ts'
import type { Digest } from './digest.ts'
import { OciError } from './error.ts'

export type { Descriptor } from './descriptor.ts'

/** The part of a manifest that the registry acts on. Its bytes are kept as pushed elsewhere. */
export interface Manifest {
  readonly mediaType: string
  /** The artifact manifest of OCI 1.1 release candidates counts as an image. */
  readonly kind: 'image' | 'index'
  /** As referrers show it: its own, else an image's config media type. */
  readonly artifactType?: string
  readonly subject?: Descriptor
  /** Content that must be in the repository as blobs, each digest once: config and layers. */
  readonly blobs: readonly Descriptor[]
  /** Layers that need not be in the repository; when they are, they are references all the same. */
  readonly foreign: readonly Descriptor[]
  /** Manifests that an index names, each digest once. */
  readonly children: readonly Descriptor[]
  readonly annotations?: Readonly<Record<string, string>>
}

export interface ManifestLimits {
  /** Nesting of the JSON document. */
  readonly depthMax: number
  /** Config, layers, manifests or blobs, together. */
  readonly descriptorsMax: number
  /** Annotations in any one object. */
  readonly annotationsMax: number
  /** Keys and values of all annotations together, in characters. */
  readonly annotationLengthMax: number
}

export const defaultManifestLimits: ManifestLimits = {
  depthMax: 32,
  descriptorsMax: 10_000,
  annotationsMax: 4096,
  annotationLengthMax: 4 * 1024 * 1024,
}

/**
 * Check a manifest body and read from it what the registry acts on.
 * Errors: OciError MANIFEST_INVALID, whose detail names the field.
 */
export function parseManifest(
  _bytes: Uint8Array,
  _contentType: string | undefined,
  _limits: ManifestLimits,
): Manifest {
  throw new OciError('MANIFEST_INVALID')
}

/** What the referrers list shows of a manifest. Units: `size` of the manifest in bytes. */
export function referrerDescriptor(manifest: Manifest, digest: Digest, size: number): Descriptor {
  return {
    mediaType: manifest.mediaType,
    digest,
    size,
    ...(manifest.artifactType === undefined ? {} : { artifactType: manifest.artifactType }),
    ...(manifest.annotations === undefined ? {} : { annotations: manifest.annotations }),
  }
}

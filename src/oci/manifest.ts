// What a manifest body must be, and what the registry reads of it.

import {
  type Descriptor,
  type ManifestBudget,
  type ReadDescriptor,
  readAnnotations,
  readDescriptor,
  readMediaType,
} from './descriptor.ts'
import type { Digest } from './digest.ts'
import {
  invalidManifest,
  isPresent,
  type JsonObject,
  knownKeys,
  readList,
  readObject,
  readText,
  refuseLookalikes,
} from './manifest-field.ts'
import {
  isForeignLayerMediaType,
  isImageLayerMediaType,
  isImageMediaType,
  isIndexMediaType,
  isManifestMediaType,
  isSchema1MediaType,
  mediaTypes,
  parseMediaType,
} from './media-type.ts'
import { parseStrictJson } from './strict-json.ts'

export type { Descriptor } from './descriptor.ts'

/** The part of a manifest that the registry acts on. Its bytes are kept as pushed elsewhere. */
export interface Manifest {
  readonly mediaType: string
  /** The artifact manifest of OCI 1.1 release candidates counts as an image. */
  readonly kind: 'image' | 'index'
  /** As referrers show it: its own, else an image's config media type. */
  readonly artifactType?: string
  readonly subject?: Descriptor
  /**
   * Content that must be in the repository as blobs, each digest once: config and layers, and what an
   * index names that is no manifest, as BuildKit's cache does.
   */
  readonly blobs: readonly Descriptor[]
  /** Layers that need not be in the repository; where one is, it is a reference all the same. */
  readonly foreign: readonly Descriptor[]
  /** Manifests that an index names, each digest once. */
  readonly children: readonly Descriptor[]
  /** Of layers, and of what an index names that is no manifest; each once, in their order. */
  readonly layerMediaTypes: readonly string[]
  readonly annotations?: Readonly<Record<string, string>>
}

export interface ManifestLimits {
  /** Nesting of the JSON document. */
  readonly depthMax: number
  /** Subject, config, layers, manifests and blobs together. */
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

// Bounds what JSON.parse may build. A descriptor with a platform and some annotations has about 15.
const valuesPerDescriptor = 20

const known = knownKeys([
  'schemaVersion',
  'mediaType',
  'artifactType',
  'config',
  'layers',
  'manifests',
  'blobs',
  'fsLayers',
  'subject',
  'annotations',
])

/**
 * Check a manifest body and read from it what the registry acts on. Without a `contentType` the body
 * has to name its type.
 * Limits: `limits`; the size of the body is the caller's to bound.
 * Errors: OciError MANIFEST_INVALID, whose detail names the field.
 * Source: image-spec manifest.md, image-index.md; distribution-spec "Pushing manifests"; CVE-2021-41190.
 */
export function parseManifest(
  bytes: Uint8Array,
  contentType: string | undefined,
  limits: ManifestLimits,
): Manifest {
  const json = parseStrictJson(bytes, {
    depthMax: limits.depthMax,
    keysMax: limits.annotationsMax + known.exact.size,
    valuesMax: (limits.descriptorsMax + limits.annotationsMax) * valuesPerDescriptor,
  })
  if (!json.ok) throw invalidManifest('', json.reason)
  const body = readObject(json.value, '')
  refuseLookalikes(body, known, '')
  const mediaType = manifestMediaType(body, contentType)
  const budget: ManifestBudget = {
    descriptors: limits.descriptorsMax,
    annotationsMax: limits.annotationsMax,
    annotationLength: limits.annotationLengthMax,
  }
  const content = readContent(body, mediaType, budget)
  const artifactType = readMediaType(body, 'artifactType', '') ?? content.config?.mediaType
  const subject = isPresent(body, 'subject')
    ? readDescriptor(body['subject'], 'subject', budget).descriptor
    : undefined
  const annotations = readAnnotations(body, '', budget)
  return {
    mediaType,
    kind: isIndexMediaType(mediaType) ? 'index' : 'image',
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(subject === undefined ? {} : { subject }),
    ...sortContent(content, mediaType),
    ...(annotations === undefined ? {} : { annotations }),
  }
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

function manifestMediaType(body: JsonObject, contentType: string | undefined): string {
  const own = readText(body, 'mediaType', '')
  const isSent = contentType !== undefined && contentType !== ''
  const mediaType = isSent ? parseMediaType(contentType) : own
  if (mediaType === undefined) {
    throw isSent
      ? invalidManifest('Content-Type', 'is not a media type')
      : invalidManifest('mediaType', 'is missing, and so is Content-Type')
  }
  if (isSchema1MediaType(mediaType) || body['schemaVersion'] === 1 || isPresent(body, 'fsLayers')) {
    throw invalidManifest('', 'is of Docker schema 1, which is not supported')
  }
  if (own !== undefined && own !== mediaType) {
    throw invalidManifest('mediaType', 'is not the same as the Content-Type')
  }
  if (!isManifestMediaType(mediaType)) {
    const field = isSent ? 'Content-Type' : 'mediaType'
    throw invalidManifest(field, 'is not a supported manifest media type')
  }
  // Only the OCI image and index may leave it out; Docker clients could not pull what does.
  if (own === undefined && mediaType !== mediaTypes.ociImage && mediaType !== mediaTypes.ociIndex) {
    throw invalidManifest('mediaType', 'is missing')
  }
  return mediaType
}

interface Content {
  readonly config?: Descriptor
  readonly named: readonly ReadDescriptor[]
}

function readContent(body: JsonObject, mediaType: string, budget: ManifestBudget): Content {
  if (isIndexMediaType(mediaType)) {
    requireSchemaVersion2(body)
    refuseFields(body, ['config', 'layers'], 'an index')
    return { named: readDescriptors(body, 'manifests', budget) }
  }
  if (isImageMediaType(mediaType)) {
    requireSchemaVersion2(body)
    refuseFields(body, ['manifests'], 'an image manifest')
    if (!isPresent(body, 'config')) throw invalidManifest('config', 'is missing')
    const { descriptor: config } = readDescriptor(body['config'], 'config', budget)
    return { config, named: readDescriptors(body, 'layers', budget) }
  }
  // What is left is the artifact manifest, which has no schema version.
  refuseFields(body, ['config', 'layers', 'manifests'], 'an artifact manifest')
  return { named: readDescriptors(body, 'blobs', budget) }
}

function readDescriptors(
  body: JsonObject,
  key: string,
  budget: ManifestBudget,
): readonly ReadDescriptor[] {
  return readList(body, key, '').map((value, i) => readDescriptor(value, `${key}[${i}]`, budget))
}

function sortContent(
  content: Content,
  mediaType: string,
): Pick<Manifest, 'blobs' | 'foreign' | 'children' | 'layerMediaTypes'> {
  const blobs = new Map<Digest, Descriptor>()
  const foreign = new Map<Digest, Descriptor>()
  const children = new Map<Digest, Descriptor>()
  // Not made of the blobs, which have each digest once: a layer may be the config's bytes again.
  const layerMediaTypes = new Set<string>()
  const isIndex = isIndexMediaType(mediaType)
  // The config has to be there whatever type it names.
  if (content.config !== undefined) addOnce(blobs, content.config)
  for (const { descriptor, hasUrls } of content.named) {
    if (isIndex && isManifestMediaType(descriptor.mediaType)) {
      addOnce(children, descriptor)
      continue
    }
    layerMediaTypes.add(descriptor.mediaType)
    if (isForeign(descriptor.mediaType, hasUrls)) addOnce(foreign, descriptor)
    else addOnce(blobs, descriptor)
  }
  for (const digest of blobs.keys()) foreign.delete(digest)
  return {
    blobs: [...blobs.values()],
    foreign: [...foreign.values()],
    children: [...children.values()],
    layerMediaTypes: [...layerMediaTypes],
  }
}

// An ordinary layer has to be there whatever URLs it names, or an image could be pushed that only some
// clients can pull.
function isForeign(mediaType: string, hasUrls: boolean): boolean {
  return isForeignLayerMediaType(mediaType) || (hasUrls && !isImageLayerMediaType(mediaType))
}

function addOnce(seen: Map<Digest, Descriptor>, descriptor: Descriptor): void {
  const first = seen.get(descriptor.digest)
  if (first === undefined) seen.set(descriptor.digest, descriptor)
  else if (first.size !== descriptor.size) {
    throw invalidManifest('', `gives two sizes for ${descriptor.digest}`)
  }
}

function requireSchemaVersion2(body: JsonObject): void {
  if (body['schemaVersion'] !== 2) throw invalidManifest('schemaVersion', 'is not 2')
}

function refuseFields(body: JsonObject, keys: readonly string[], shape: string): void {
  for (const key of keys) {
    if (isPresent(body, key)) throw invalidManifest(key, `does not belong in ${shape}`)
  }
}

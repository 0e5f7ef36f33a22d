// A descriptor: what a manifest says of the content that it names.

import { type Digest, digestAlgorithm, digestOfBytes, parseDigest } from './digest.ts'
import {
  invalidManifest,
  isPresent,
  type JsonObject,
  join,
  knownKeys,
  readList,
  readObject,
  readText,
  refuseLookalikes,
} from './manifest-field.ts'
import { parseMediaType } from './media-type.ts'

/** Source: image-spec descriptor.md; only what the registry uses. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** In bytes. */
  readonly size: number
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** What one manifest may still hold; reading takes from it. */
export interface ManifestBudget {
  descriptors: number
  /** In any one object. */
  readonly annotationsMax: number
  /** Keys and values, in characters. */
  annotationLength: number
}

/** A descriptor and whether it names places outside the registry to get the content from. */
export interface ReadDescriptor {
  readonly descriptor: Descriptor
  readonly hasUrls: boolean
}

const known = knownKeys([
  'mediaType',
  'digest',
  'size',
  'urls',
  'annotations',
  'data',
  'artifactType',
  'platform',
])

/**
 * Check one descriptor. `field` is where it stands in the manifest.
 * Errors: OciError MANIFEST_INVALID. Source: image-spec descriptor.md "Properties".
 */
export function readDescriptor(
  value: unknown,
  field: string,
  budget: ManifestBudget,
): ReadDescriptor {
  if (--budget.descriptors < 0) throw invalidManifest('', 'names too many descriptors')
  const object = readObject(value, field)
  refuseLookalikes(object, known, field)
  const mediaType = readMediaType(object, 'mediaType', field)
  if (mediaType === undefined) throw invalidManifest(join(field, 'mediaType'), 'is missing')
  const digest = parseDigest(readText(object, 'digest', field) ?? '')
  if (digest === undefined) {
    throw invalidManifest(join(field, 'digest'), 'is not a sha256 or sha512 digest')
  }
  const size = object['size']
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalidManifest(join(field, 'size'), 'is not a size in bytes')
  }
  const data = readText(object, 'data', field)
  if (data !== undefined) checkData(data, digest, size, join(field, 'data'))
  const artifactType = readMediaType(object, 'artifactType', field)
  const annotations = readAnnotations(object, field, budget)
  const urls = readList(object, 'urls', field)
  if (urls.some((url) => typeof url !== 'string')) {
    throw invalidManifest(join(field, 'urls'), 'is not a list of strings')
  }
  const descriptor: Descriptor = {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  }
  return { descriptor, hasUrls: urls.length > 0 }
}

/** Undefined where it is absent. Parameters are let be. Errors: OciError MANIFEST_INVALID. */
export function readMediaType(object: JsonObject, key: string, field: string): string | undefined {
  const text = readText(object, key, field)
  if (text !== undefined && parseMediaType(text) === undefined) {
    throw invalidManifest(join(field, key), 'is not a media type')
  }
  return text
}

/** The `annotations` of an object; undefined where there are none. Errors: OciError MANIFEST_INVALID. */
export function readAnnotations(
  object: JsonObject,
  field: string,
  budget: ManifestBudget,
): Readonly<Record<string, string>> | undefined {
  if (!isPresent(object, 'annotations')) return undefined
  const place = join(field, 'annotations')
  const annotations = readObject(object['annotations'], place)
  const entries = Object.entries(annotations)
  if (entries.length > budget.annotationsMax) {
    throw invalidManifest(place, `has more than ${budget.annotationsMax} entries`)
  }
  for (const [key, text] of entries) {
    if (typeof text !== 'string') throw invalidManifest(place, 'has a value that is not a string')
    budget.annotationLength -= key.length + text.length
  }
  if (budget.annotationLength < 0) throw invalidManifest(place, 'is too long')
  return annotations as Readonly<Record<string, string>>
}

// A client may use `data` in place of the content, so it has to be the content.
function checkData(data: string, digest: Digest, size: number, field: string): void {
  const bytes = Buffer.from(data, 'base64')
  if (bytes.toString('base64') !== data) throw invalidManifest(field, 'is not base64')
  if (bytes.length !== size) throw invalidManifest(field, 'has not the size of the descriptor')
  if (digestOfBytes(digestAlgorithm(digest), bytes) !== digest) {
    throw invalidManifest(field, 'has not the digest of the descriptor')
  }
}

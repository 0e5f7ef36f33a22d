// A directory in the layout of the OCI image specification: index.json names what is in blobs/.

import { type Digest, digestAlgorithm, digestHex, parseDigest } from '../../../oci/digest.ts'
import { isManifestMediaType, parseMediaType } from '../../../oci/media-type.ts'
import { parseStrictJson } from '../../../oci/strict-json.ts'
import { parseTag, type Tag } from '../../../oci/tag.ts'
import type {
  Importer,
  ImportFault,
  ImportRoot,
  ImportSource,
  SourceBlob,
  SourceManifest,
} from '../contract.ts'
import { strayOption } from '../import-input.ts'
import { SourceTree, shownName } from './tree.ts'

/** Source: image-spec annotations.md. */
export const refNameAnnotation = 'org.opencontainers.image.ref.name'
export const layoutVersion = '1.0.0'

const layoutFileBytesMax = 4096
/** Of index.json, in bytes. */
const indexBytesMax = 32 << 20
const jsonLimits = { depthMax: 32, valuesMax: 4_000_000 }

export const ociLayoutImporter: Importer = {
  from: 'oci-layout',
  check: (request) =>
    request.repository === undefined
      ? 'a layout has no name: say --repository'
      : strayOption(request, []),
  async open({ source }) {
    const tree = await SourceTree.open(source)
    await checkLayoutVersion(tree, source)
    return new LayoutSource(tree, await readEntries(tree, source))
  },
}

interface LayoutEntry {
  readonly digest: string
  readonly mediaType: string
  readonly refName: string | undefined
}

/** Errors: Error for the operator, where it is no layout. */
export async function checkLayoutVersion(tree: SourceTree, source: string): Promise<void> {
  const file = await tree.readSmall('oci-layout', layoutFileBytesMax)
  if (file === undefined) throw new Error(`${source} is no OCI layout: it has no file oci-layout`)
  const json = parseStrictJson(file.bytes, { depthMax: 8 })
  const version = json.ok ? field(json.value, 'imageLayoutVersion') : undefined
  if (version !== layoutVersion) {
    throw new Error(`${source} is an OCI layout of another version than ${layoutVersion}`)
  }
}

/** index.json, and its list of manifests. Errors: Error for the operator, where it is none. */
export async function readLayoutIndex(
  tree: SourceTree,
  source: string,
): Promise<{
  readonly index: Readonly<Record<string, unknown>>
  readonly manifests: readonly unknown[]
}> {
  const file = await tree.readSmall('index.json', indexBytesMax)
  if (file === undefined) throw new Error(`${source} is no whole OCI layout: it has no index.json`)
  const json = parseStrictJson(file.bytes, jsonLimits)
  if (!json.ok) throw new Error(`${source}/index.json ${json.reason}`)
  const manifests = field(json.value, 'manifests') ?? []
  if (!Array.isArray(manifests)) throw new Error(`${source}/index.json has no list of manifests`)
  return { index: { ...(json.value as Record<string, unknown>) }, manifests }
}

async function readEntries(tree: SourceTree, source: string): Promise<readonly LayoutEntry[]> {
  const { manifests } = await readLayoutIndex(tree, source)
  return manifests.map((each) => ({
    digest: String(field(each, 'digest')),
    mediaType: String(field(each, 'mediaType')),
    refName: text(field(field(each, 'annotations'), refNameAnnotation)),
  }))
}

function field(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  return Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

class LayoutSource implements ImportSource {
  readonly title: string
  readonly isSorted = true
  readonly #tree: SourceTree
  readonly #entries: readonly LayoutEntry[]
  readonly #mediaTypes = new Map<string, string>()

  constructor(tree: SourceTree, entries: readonly LayoutEntry[]) {
    this.#tree = tree
    this.#entries = entries
    this.title = `the OCI layout ${tree.root}`
    for (const { digest, mediaType } of entries) this.#mediaTypes.set(digest, mediaType)
  }

  // It has no name of its own: the prefix is the name.
  async *repositories(after?: string): AsyncGenerator<string> {
    if (after === undefined) yield ''
  }

  async *roots(): AsyncGenerator<ImportRoot | ImportFault> {
    const named = new Map<string, string>()
    for (const entry of this.#entries) {
      const { refName } = entry
      const reference = shownName(refName ?? entry.digest)
      const digest = parseDigest(entry.digest)
      const tag = refName === undefined ? undefined : tagOf(refName)
      if (digest === undefined) yield { reference, reason: 'names no digest that is known' }
      else if (!isManifest(entry.mediaType)) {
        yield { reference, reason: `is of the type ${shownName(entry.mediaType)}, no manifest` }
      } else if (tag === undefined) {
        if (refName !== undefined)
          yield { reference, reason: 'its name has no tag; it comes without' }
        yield { digest }
      } else if ((named.get(tag) ?? digest) !== digest) {
        yield { reference, reason: `the tag ${tag} names another image before it` }
      } else {
        named.set(tag, digest)
        yield { digest, tag }
      }
    }
  }

  async readManifest(
    _repository: string,
    reference: Digest | Tag,
    bytesMax: number,
  ): Promise<SourceManifest | undefined> {
    const digest = parseDigest(reference)
    if (digest === undefined) return undefined
    const found = await this.#tree.readSmall(layoutKey(digest), bytesMax)
    const mediaType = this.#mediaTypes.get(digest)
    return found && { bytes: found.bytes, ...(mediaType === undefined ? {} : { mediaType }) }
  }

  async findBlob(_repository: string, digest: Digest): Promise<SourceBlob | undefined> {
    const found = await this.#tree.findFile(layoutKey(digest))
    // Its owner may edit it with anything.
    return found && { kind: 'file', ...found, isFrozen: false }
  }

  async count(): Promise<number> {
    return this.#entries.length
  }

  async close(): Promise<void> {
    // Nothing is kept open.
  }
}

/** Where a layout has the bytes of a digest. */
export function layoutKey(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`
}

function isManifest(mediaType: string): boolean {
  const parsed = parseMediaType(mediaType)
  return parsed !== undefined && isManifestMediaType(parsed)
}

// Mostly a tag; some tools write the whole reference.
function tagOf(refName: string): Tag | undefined {
  const whole = parseTag(refName)
  if (whole !== undefined) return whole
  const colon = refName.lastIndexOf(':')
  return colon > refName.lastIndexOf('/') ? parseTag(refName.slice(colon + 1)) : undefined
}

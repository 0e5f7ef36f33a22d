// The tree of Docker's own registry (2.8 and 3), as its file system driver lays it out:
//
//   <rootdirectory>/docker/registry/v2/
//     repositories/<name>/_manifests/tags/<tag>/current/link          the digest that the tag names
//                                    /revisions/<algorithm>/<hex>/link   a manifest, tagged or not
//                        /_layers/<algorithm>/<hex>/link                 a blob that the repository may serve
//     blobs/<algorithm>/<2 hex>/<hex>/data                            the bytes of manifests and blobs

import { type Digest, digestAlgorithm, digestHex, parseDigest } from '../../../oci/digest.ts'
import { parseRepositoryName, repositoryNameLengthMax } from '../../../oci/name.ts'
import { parseTag, type Tag } from '../../../oci/tag.ts'
import { dataKey, digestAlgorithms } from '../../../storage/blob/keys.ts'
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
import { walkRepositories } from './walk-repositories.ts'

const places = ['docker/registry/v2', 'registry/v2', 'v2', '.']
const linkBytesMax = 512

export const distributionImporter: Importer = {
  from: 'distribution',
  check: (request) => strayOption(request, []),
  async open({ source }) {
    const tree = await findTree(await SourceTree.open(source))
    if (tree === undefined) {
      throw new Error(
        `${source} holds no tree of a docker-registry: no docker/registry/v2 with repositories`,
      )
    }
    return new DistributionSource(tree)
  },
}

async function findTree(top: SourceTree): Promise<SourceTree | undefined> {
  for (const place of places) {
    const tree = await top.below(place)
    if (tree === undefined) continue
    if (await tree.has('ns')) throw new Error(`${tree.root} is a tree of angos: use --from angos`)
    if ((await tree.has('repositories')) && (await tree.has('blobs'))) return tree
  }
  return undefined
}

class DistributionSource implements ImportSource {
  readonly title: string
  readonly isSorted = true
  /** Its blobs lie as those of our own store do. */
  readonly blobsRoot: string
  readonly #tree: SourceTree

  constructor(tree: SourceTree) {
    this.#tree = tree
    this.blobsRoot = tree.root
    this.title = `the docker-registry tree ${tree.root}`
  }

  async *repositories(after?: string): AsyncGenerator<string | ImportFault> {
    for await (const found of walkRepositories(this.#tree, 'repositories', after)) {
      if (found.kind === 'fault') yield { repository: found.name, reason: found.reason }
      else if (found.name === '' || !found.markers.has('_manifests')) continue
      else if (parseRepositoryName(found.name) !== undefined) yield found.name
      else yield { repository: shownName(found.name), reason: nameReason(found.name) }
    }
  }

  async *roots(repository: string): AsyncGenerator<ImportRoot | ImportFault> {
    const tags = `repositories/${repository}/_manifests/tags`
    for await (const { name, isDirectory } of this.#tree.entries(tags)) {
      if (isDirectory) yield await this.#readTag(repository, tags, name)
    }
    for await (const { digest, at } of this.#links(repository, '_manifests/revisions')) {
      const found = await this.#readLink(`${at}/link`).catch(unreadable)
      const shown = { repository, reference: shownName(digest) }
      if (found?.kind === 'fault') yield { ...shown, reason: found.reason }
      else if (found !== undefined) yield { digest, pushedAtMs: found.changedAtMs }
    }
  }

  async #readTag(
    repository: string,
    tags: string,
    name: string,
  ): Promise<ImportRoot | ImportFault> {
    const shown = { repository, reference: shownName(name) }
    const tag = parseTag(name)
    if (tag === undefined) return { ...shown, reason: 'is not a tag' }
    const found = await this.#readLink(`${tags}/${tag}/current/link`).catch(unreadable)
    if (found === undefined) return { ...shown, reason: 'the tag has no current link' }
    if (found.kind === 'fault') return { ...shown, reason: found.reason }
    return { tag, digest: found.digest, pushedAtMs: found.changedAtMs }
  }

  async readManifest(
    repository: string,
    reference: Digest | Tag,
    bytesMax: number,
  ): Promise<SourceManifest | undefined> {
    const digest = parseDigest(reference)
    if (digest === undefined) return undefined
    // Without a link the registry answers 404 as well: it was deleted there.
    const link = linkOf(repository, '_manifests/revisions', digest)
    if (!(await this.#tree.has(link))) return undefined
    const found = await this.#tree.readSmall(dataKey(digest), bytesMax)
    if (found === undefined) throw new Error(`the bytes of the manifest ${digest} are missing`)
    return { bytes: found.bytes }
  }

  async findBlob(_repository: string, digest: Digest): Promise<SourceBlob | undefined> {
    const found = await this.#tree.findFile(dataKey(digest))
    // That registry writes an upload elsewhere and renames it: a blob never changes, it only goes.
    return found && { kind: 'file', ...found, isFrozen: true }
  }

  async *layersOf(repository: string): AsyncGenerator<Digest> {
    for await (const { digest } of this.#links(repository, '_layers')) yield digest
  }

  async count(signal: AbortSignal): Promise<number> {
    let count = 0
    for await (const found of this.repositories()) {
      signal.throwIfAborted()
      if (typeof found !== 'string') continue
      const tags = `repositories/${found}/_manifests/tags`
      for await (const { isDirectory } of this.#tree.entries(tags)) if (isDirectory) count += 1
      for await (const _ of this.#links(found, '_manifests/revisions')) count += 1
    }
    return count
  }

  async close(): Promise<void> {
    // Nothing is kept open.
  }

  async *#links(
    repository: string,
    below: string,
  ): AsyncGenerator<{ readonly digest: Digest; readonly at: string }> {
    for (const algorithm of digestAlgorithms) {
      const at = `repositories/${repository}/${below}/${algorithm}`
      for await (const { name, isDirectory } of this.#tree.entries(at)) {
        const digest = isDirectory ? parseDigest(`${algorithm}:${name}`) : undefined
        if (digest !== undefined) yield { digest, at: `${at}/${name}` }
      }
    }
  }

  async #readLink(path: string): Promise<Link | undefined> {
    const file = await this.#tree.readSmall(path, linkBytesMax)
    if (file === undefined) return undefined
    const { bytes, changedAtMs } = file
    const digest = parseDigest(Buffer.from(bytes).toString('latin1').trim())
    if (digest !== undefined) return { kind: 'link', digest, changedAtMs }
    const reason =
      bytes.length === 0 ? 'its link is empty' : 'its link names no digest that is known'
    return { kind: 'fault', reason }
  }
}

type Link =
  | { readonly kind: 'link'; readonly digest: Digest; readonly changedAtMs: number }
  | { readonly kind: 'fault'; readonly reason: string }

function unreadable(error: unknown): Link {
  return { kind: 'fault', reason: `its link cannot be read: ${(error as Error).message}` }
}

function linkOf(repository: string, below: string, digest: Digest): string {
  return `repositories/${repository}/${below}/${digestAlgorithm(digest)}/${digestHex(digest)}/link`
}

/** Why a name that does not parse is none. */
export function nameReason(name: string): string {
  return name.length > repositoryNameLengthMax
    ? `its name has more than ${repositoryNameLengthMax} characters`
    : 'is not a name of a repository'
}

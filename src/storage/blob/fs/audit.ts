// What really lies in a tree of blobs: each entry looked at as it is, and none of them changed.

import { lstat, type Stats } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, type DigestAlgorithm, parseDigest } from '../../../oci/digest.ts'
import type { BlobAudit, BlobFolder, BlobMark, BlobSight, Stranger } from '../audit.ts'
import {
  algorithmKey,
  blobsKey,
  dataKey,
  dataName,
  digestAlgorithms,
  prefixKey,
  prefixLength,
  probeName,
  repositoriesKey,
} from '../keys.ts'
import { modeProblem } from '../mode.ts'
import { fileCall, systemCode } from './file-call.ts'
import type { FileForm } from './file-form.ts'

type FileSight = Extract<BlobSight, { kind: 'file' }>
type OnStranger = (stranger: Stranger) => void

interface Folder extends BlobFolder {
  readonly algorithm: DigestAlgorithm
  readonly name: string
}

export class FsBlobAudit implements BlobAudit {
  readonly folders: readonly Folder[]
  readonly #root: string
  readonly #form: FileForm

  /** `form`: tells the size of the blob in a file. */
  constructor(root: string, form: FileForm) {
    this.#root = root
    this.#form = form
    this.folders = digestAlgorithms.flatMap((algorithm) => prefixNames().map(folderOf(algorithm)))
  }

  async look(digest: Digest): Promise<BlobSight> {
    const path = join(this.#root, dataKey(digest))
    const sight = await sightOf(path)
    if (sight.kind === 'file') return this.#sized(path, sight, digest)
    if (sight.kind !== 'absent') return sight
    // These folders are there from the start, so without one the disk is away rather than the blob.
    const folder = await sightOf(join(this.#root, prefixKey(digest)))
    return folder.kind === 'absent' ? { kind: 'unreadable', reason: 'its folder is away' } : sight
  }

  async isShared(): Promise<boolean> {
    return (await sightOf(join(this.#root, repositoriesKey))).kind !== 'absent'
  }

  placeOf(digest: Digest): string {
    return dataKey(digest)
  }

  async list(folder: BlobFolder, onStranger: OnStranger): Promise<readonly Digest[]> {
    const { place, digestPrefix } = folder
    const names = await this.#entries(place, onStranger)
    if (names === undefined) return []
    await this.#lookAtFolder(place, onStranger)
    const [algorithm = ''] = digestPrefix.split(':', 1)
    const digests: Digest[] = []
    for (const name of names) {
      const digest = parseDigest(`${algorithm}:${name}`)
      const own = `${place}/${name}`
      if (digest === undefined) onStranger({ kind: 'unknown-file', place: own })
      else if (!digest.startsWith(digestPrefix)) onStranger({ kind: 'misplaced-blob', place: own })
      else if (await this.#hasData(own, onStranger)) digests.push(digest)
    }
    return digests
  }

  async listBeside(onStranger: OnStranger): Promise<void> {
    const prefixes: ReadonlySet<string> = new Set(prefixNames())
    const algorithms: ReadonlySet<string> = new Set(digestAlgorithms)
    await this.#listUnknown(blobsKey, algorithms, onStranger)
    for (const algorithm of digestAlgorithms) {
      await this.#listUnknown(algorithmKey(algorithm), prefixes, onStranger)
    }
  }

  async #sized(path: string, sight: FileSight, digest: Digest): Promise<BlobSight> {
    try {
      const size = await this.#form.sizeOf(path, sight.size, digest)
      return size === undefined ? { kind: 'absent' } : { ...sight, size }
    } catch (error) {
      return { kind: 'unreadable', reason: error instanceof Error ? error.message : String(error) }
    }
  }

  async #listUnknown(
    place: string,
    known: ReadonlySet<string>,
    onStranger: OnStranger,
  ): Promise<void> {
    for (const name of (await this.#entries(place, onStranger)) ?? []) {
      // One that starts looks at this moment whether links can be made here.
      if (known.has(name) || name.startsWith(probeName)) continue
      onStranger({ kind: 'unknown-file', place: `${place}/${name}` })
    }
  }

  /** Whether there is anything under the name of the bytes; tells of all else. */
  async #hasData(place: string, onStranger: OnStranger): Promise<boolean> {
    const names = await this.#entries(place, onStranger)
    for (const name of names ?? []) {
      if (name !== dataName) onStranger({ kind: 'unknown-file', place: `${place}/${name}` })
    }
    return names?.includes(dataName) ?? false
  }

  async #lookAtFolder(place: string, onStranger: OnStranger): Promise<void> {
    const reason = await statsOf(join(this.#root, place)).then(
      (stats) => modeProblem(stats.mode, 'folder'),
      () => undefined,
    )
    if (reason !== undefined) onStranger({ kind: 'wrong-mode', place, reason })
  }

  /** Sorted. Undefined where it cannot be listed; empty where it is gone. */
  async #entries(place: string, onStranger: OnStranger): Promise<string[] | undefined> {
    try {
      return (await readdir(join(this.#root, place))).sort()
    } catch (error) {
      const code = systemCode(error)
      if (code === 'ENOENT') return []
      if (code === 'ENOTDIR') onStranger({ kind: 'unknown-file', place })
      else onStranger({ kind: 'unreadable-file', place, reason: code })
      return undefined
    }
  }
}

/** What is at the path, itself. */
export async function sightOf(path: string): Promise<BlobSight> {
  let stats: Stats
  try {
    stats = await statsOf(path)
  } catch (error) {
    const code = systemCode(error)
    // A file in place of the folder of a blob: nothing is at the key either.
    return code === 'ENOENT' || code === 'ENOTDIR'
      ? { kind: 'absent' }
      : { kind: 'unreadable', reason: code }
  }
  const mark = markOf(stats)
  if (!stats.isFile()) return { kind: 'other', what: kindOf(stats), mark }
  return {
    kind: 'file',
    size: stats.size,
    mode: stats.mode & 0o7777,
    hasOtherName: stats.nlink > 1,
    changedAtMs: stats.ctimeMs,
    mark,
  }
}

// Not the time of the last change of its names: that changes while an upload is published.
function markOf({ dev, ino, size, mtimeMs }: Stats): BlobMark {
  return `${dev}:${ino}:${size}:${mtimeMs}`
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory'
  if (stats.isSymbolicLink()) return 'a symbolic link'
  return 'a special file'
}

function statsOf(path: string): Promise<Stats> {
  return fileCall<Stats>((settle) => lstat(path, settle))
}

function prefixNames(): readonly string[] {
  const count = 16 ** prefixLength
  return Array.from({ length: count }, (_, i) => i.toString(16).padStart(prefixLength, '0'))
}

function folderOf(algorithm: DigestAlgorithm): (name: string) => Folder {
  return (name) => ({
    algorithm,
    name,
    digestPrefix: `${algorithm}:${name}`,
    place: `${algorithmKey(algorithm)}/${name}`,
  })
}

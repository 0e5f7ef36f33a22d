// An OCI layout that is written to: new, or one that is added to. Every file is whole or not there.

import { lstat, mkdir, readdir, realpath, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import type { Digest } from '../../oci/digest.ts'
import type { CopyPlace } from '../backup/copy-blob.ts'
import { NewNames, writeWhole } from '../backup/durable-files.ts'
import { systemCode } from '../backup/error.ts'
import {
  checkLayoutVersion,
  layoutKey,
  layoutVersion,
  readLayoutIndex,
  refNameAnnotation,
} from './source/oci-layout.ts'
import { SourceTree } from './source/tree.ts'

/** One line of index.json. */
export interface LayoutEntry {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly refName?: string
}

const temporaryName = '.keelson-tmp'
const fileMode = 0o644

export class LayoutTarget implements CopyPlace {
  readonly root: string
  readonly fileMode: number = fileMode
  readonly names: NewNames = new NewNames()
  readonly #index: Readonly<Record<string, unknown>>
  readonly #entries: readonly unknown[]

  private constructor(
    root: string,
    index: Readonly<Record<string, unknown>>,
    entries: readonly unknown[],
  ) {
    this.root = root
    this.#index = index
    this.#entries = entries
  }

  /**
   * Make it, or open what is there. With `dryRun` it only looks. `store` is where it must not lie.
   * Errors: Error with a message for the operator where something else is there.
   */
  static async open(
    path: string,
    options: { readonly dryRun: boolean; readonly store: string | undefined },
  ): Promise<LayoutTarget> {
    const found = await contentsOf(path)
    const root = found === undefined ? await realPlace(resolve(path)) : await realpath(path)
    if (options.store !== undefined && `${root}${sep}`.startsWith(`${options.store}${sep}`)) {
      throw new Error(`${path} lies in the store itself`)
    }
    if (found !== undefined && found.length > 0)
      return LayoutTarget.#openThere(root, options.dryRun)
    const target = new LayoutTarget(root, { schemaVersion: 2 }, [])
    if (!options.dryRun) await target.#make()
    return target
  }

  static async #openThere(root: string, dryRun: boolean): Promise<LayoutTarget> {
    const tree = await SourceTree.open(root)
    await checkLayoutVersion(tree, root)
    const { index, manifests } = await readLayoutIndex(tree, root)
    const target = new LayoutTarget(root, index, manifests)
    if (!dryRun) await target.#make()
    return target
  }

  get temporary(): string {
    return join(this.root, temporaryName)
  }

  blob(digest: Digest): string {
    return join(this.root, layoutKey(digest))
  }

  /** Size in bytes of what is there under this digest; it may be anything. */
  async size(digest: Digest): Promise<number | undefined> {
    try {
      const stats = await lstat(this.blob(digest))
      return stats.isFile() ? stats.size : undefined
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined
      throw error
    }
  }

  async write(path: string, bytes: Uint8Array, id: string): Promise<void> {
    const temporary = join(this.temporary, id)
    await writeWhole(path, bytes, { temporary, names: this.names, fileMode })
  }

  /** Name what was brought: an entry takes the place of one with its name, or of itself. */
  async finish(entries: readonly LayoutEntry[], id: string): Promise<void> {
    const names = new Set(entries.flatMap(({ refName }) => refName ?? []))
    const unnamed = new Set<string>(
      entries.flatMap((each) => (each.refName === undefined ? each.digest : [])),
    )
    const kept = this.#entries.filter((entry) => {
      const { digest, annotations } = { ...(entry as Record<string, unknown>) }
      const name = { ...(annotations as Record<string, unknown>) }[refNameAnnotation]
      return typeof name === 'string' ? !names.has(name) : !unnamed.has(String(digest))
    })
    const manifests = [...kept, ...entries.map(shownEntry)]
    // What it names is durable before it is.
    await this.names.sync()
    const index = { ...this.#index, manifests }
    await this.write(join(this.root, 'index.json'), jsonBytes(index), id)
    await this.names.sync()
    await rm(this.temporary, { recursive: true, force: true })
  }

  async #make(): Promise<void> {
    const directories = ['.', 'blobs', 'blobs/sha256', 'blobs/sha512', temporaryName]
    // What a kill has left.
    await rm(this.temporary, { recursive: true, force: true })
    for (const directory of directories) {
      const path = join(this.root, directory)
      await mkdir(path).catch((error: unknown) => {
        if (systemCode(error) !== 'EEXIST') throw error
      })
      if (!(await lstat(path)).isDirectory()) throw new Error(`${path} is not a directory`)
      this.names.addDirectory(path)
    }
    const version = { imageLayoutVersion: layoutVersion }
    await this.write(join(this.root, 'oci-layout'), jsonBytes(version), 'oci-layout')
  }
}

/** Of what is not there yet: no link leads elsewhere on the way to it. */
async function realPlace(path: string): Promise<string> {
  try {
    return join(await realpath(dirname(path)), basename(path))
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
    throw new Error(`${dirname(path)} is not there: make it first`)
  }
}

/** Undefined where there is nothing. */
async function contentsOf(path: string): Promise<readonly string[] | undefined> {
  try {
    return (await readdir(path)).filter((name) => name !== temporaryName)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    if (systemCode(error) === 'ENOTDIR') throw new Error(`${path} is not a directory`)
    throw error
  }
}

function shownEntry({ mediaType, digest, size, refName }: LayoutEntry): object {
  const annotations = refName === undefined ? {} : { annotations: { [refNameAnnotation]: refName } }
  return { mediaType, digest, size, ...annotations }
}

function jsonBytes(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

// Files of a store with keys: encrypted, or as they are from before. One that begins like an encrypted file without being
// one was pushed so.

import type { Stats } from 'node:fs'
import { type Digest, digestAlgorithm, digestHex } from '../../../oci/digest.ts'
import { SealingFault } from '../../../sealing/fault.ts'
import { openKey, readSeal, wrapIdAt } from '../../../sealing/header.ts'
import { findKey, type SealingKeys } from '../../../sealing/keys.ts'
import { blobLength, headerBytes, isSealed } from '../../../sealing/layout.ts'
import { StorageError } from '../../error.ts'
import type { BlobReader } from '../contract.ts'
import type { FileForm, OpenFile } from './file-form.ts'
import { readHeader, readHeaderNow } from './header-file.ts'
import { readKeyList } from './key-list.ts'
import { PlainVerdicts } from './plain-verdicts.ts'
import type { FsSealing } from './sealed-files.ts'
import { openSealed, type SealedReading } from './sealed-reader.ts'

/** Opens a file as it lies there; undefined where it is gone. Errors: StorageError. */
export type OpenRaw = (path: string) => Promise<OpenFile | undefined>

export class SealedForm implements FileForm {
  readonly #root: string
  readonly #keys: SealingKeys
  readonly #sealing: FsSealing
  readonly #openRaw: OpenRaw
  readonly #verdicts = new PlainVerdicts()

  constructor(root: string, keys: SealingKeys, sealing: FsSealing, openRaw: OpenRaw) {
    this.#root = root
    this.#keys = keys
    this.#sealing = sealing
    this.#openRaw = openRaw
  }

  terms(digest?: Digest): ReturnType<FileForm['terms']> {
    return { sealing: this.#sealing.terms(digest) }
  }

  async read(opened: OpenFile): Promise<BlobReader> {
    const { file, digest } = opened
    const header = Buffer.alloc(headerBytes)
    await file.read(0, header)
    if (!isSealed(header)) return file
    const reading = this.#sealing.reading(digest)
    try {
      return await openSealedSteady(opened, header, reading)
    } catch (error) {
      if (digest !== undefined && (await this.#isPlain(opened, digest, header))) return file
      if (error instanceof StorageError && error.kind === 'corrupt') reading.onForged()
      throw error
    }
  }

  async sizeOf(path: string, size: number, digest: Digest): Promise<number | undefined> {
    const header = await readHeader(path)
    if (header === undefined) return undefined
    if (!isSealed(header)) return size
    if (this.#isOf(header, digest)) return Math.ceil(blobLength(size))
    const opened = await this.#openRaw(path)
    if (opened === undefined) return undefined
    try {
      const isPlain = await this.#isPlain(opened, digest, header)
      return isPlain ? opened.file.size : Math.ceil(blobLength(size))
    } finally {
      opened.file.close()
    }
  }

  stagedSizeNow(path: string, size: number): number | undefined {
    const header = readHeaderNow(path)
    return header && (isSealed(header) ? blobLength(size) : size)
  }

  /** Of a blob that looks encrypted. Reads all of it, once. Errors: StorageError. */
  async isPlainAt(path: string, digest: Digest): Promise<boolean> {
    const header = await readHeader(path)
    const opened = await this.#openRaw(path)
    try {
      return (
        header !== undefined &&
        opened !== undefined &&
        (await this.#isPlain(opened, digest, header))
      )
    } finally {
      opened?.file.close()
    }
  }

  /** One of a key that is needed and not there is left for whoever has it. */
  async #isPlain(opened: OpenFile, digest: Digest, header: Uint8Array): Promise<boolean> {
    if (this.#isOf(header, digest)) return false
    const needed = await readKeyList(this.#root)
    const wraps = ([0, 1] as const).flatMap((slot) => wrapIdAt(header, slot) ?? [])
    const isAway = (id: string): boolean => findKey(this.#keys, id) === undefined
    if (wraps.some((id) => isAway(id) && needed.includes(id))) return false
    return this.#verdicts.isPlain(digest, markOf(opened.stats), opened.file)
  }

  /** Whether the header says with authority that its file is that of the blob. */
  #isOf(header: Uint8Array, digest: Digest): boolean {
    try {
      const { key } = openKey(header, this.#keys)
      return readSeal(header, key, digestAlgorithm(digest))?.hex === digestHex(digest)
    } catch (error) {
      if (!(error instanceof SealingFault)) throw error
      return false
    }
  }
}

/** A rewrap may have gone on while the header was read: the one key overwritten, the other not seen yet. */
async function openSealedSteady(
  { file, path }: OpenFile,
  header: Buffer,
  reading: SealedReading,
): Promise<BlobReader> {
  try {
    return openSealed(file, header, path, reading)
  } catch (error) {
    const again = Buffer.alloc(headerBytes)
    await file.read(0, again)
    if (again.equals(header)) throw error
    return openSealed(file, again, path, reading)
  }
}

function markOf({ dev, ino, size, mtimeMs, ctimeMs }: Stats): string {
  return `${dev}:${ino}:${size}:${mtimeMs}:${ctimeMs}`
}

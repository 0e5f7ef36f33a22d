// Files of a store without keys. Another process may have been given some meanwhile: what it encrypts is not taken for
// what it looks like here.

import { statSync } from 'node:fs'
import { join } from 'node:path'
import { isSealed, magic } from '../../../sealing/layout.ts'
import { StorageError } from '../../error.ts'
import type { BlobReader } from '../contract.ts'
import { encryptionKeysKey } from '../keys.ts'
import { storageError } from './file-call.ts'
import type { FileForm, OpenFile } from './file-form.ts'
import { readHeaderNow } from './header-file.ts'

export class KeylessForm implements FileForm {
  readonly #keyList: string
  #isListed = false

  constructor(root: string) {
    this.#keyList = join(root, encryptionKeysKey)
  }

  terms(): ReturnType<FileForm['terms']> {
    return { keyList: this.#keyList }
  }

  read({ file, path }: OpenFile): BlobReader | Promise<BlobReader> {
    return this.#mayBeSealed() && file.size >= magic.length ? plainAlone(file, path) : file
  }

  async sizeOf(path: string, size: number): Promise<number | undefined> {
    return this.stagedSizeNow(path, size)
  }

  stagedSizeNow(path: string, size: number): number | undefined {
    if (!this.#mayBeSealed() || size < magic.length) return size
    const beginning = readHeaderNow(path, magic.length)
    if (beginning !== undefined && isSealed(beginning)) throw encrypted(path)
    return beginning && size
  }

  /**
   * The list is there before the first file is encrypted, so it is asked for after the file was found. It costs 1 µs,
   * beside the 40 of opening a file.
   */
  #mayBeSealed(): boolean {
    try {
      this.#isListed ||= statSync(this.#keyList, { throwIfNoEntry: false }) !== undefined
    } catch (error) {
      throw storageError(`look for ${this.#keyList}`, error)
    }
    return this.#isListed
  }
}

async function plainAlone(file: OpenFile['file'], path: string): Promise<BlobReader> {
  const beginning = Buffer.alloc(magic.length)
  await file.read(0, beginning)
  if (isSealed(beginning)) throw encrypted(path)
  return file
}

function encrypted(path: string): StorageError {
  const text = `${path} is encrypted, and this process was started without keys: restart it with those of the others`
  return new StorageError('unavailable', text)
}

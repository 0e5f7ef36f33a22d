// In which form a store has its blobs in files: as they are, or encrypted.

import type { Stats } from 'node:fs'
import type { Digest } from '../../../oci/digest.ts'
import type { BlobReader, StagingTarget } from '../contract.ts'
import type { RawFile } from './sealed-reader.ts'

/** A file that is open. */
export interface OpenFile {
  readonly file: RawFile
  readonly path: string
  readonly stats: Stats
  /** Of a blob at its final key; absent for what is staged. */
  readonly digest: Digest | undefined
}

/** Errors of all: StorageError 'unavailable' where nothing can be concluded of the file. */
export interface FileForm {
  /** What an ingest thread is told beside the path. */
  terms(digest?: Digest): Omit<Extract<StagingTarget, { kind: 'fs' }>, 'kind' | 'path'>
  /** Errors: 'corrupt', too. The file is closed by whoever opened it where this throws. */
  read(opened: OpenFile): BlobReader | Promise<BlobReader>
  /** Of the blob in a file of `size` bytes; undefined where it is gone. Units: bytes. */
  sizeOf(path: string, size: number, digest: Digest): Promise<number | undefined>
  /**
   * The same of what is staged, at once: rises with the size of the file, and is a whole number where that is the length
   * of the file of so many bytes.
   */
  stagedSizeNow(path: string, size: number): number | undefined
}

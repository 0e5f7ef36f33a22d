// What LMDB tells of a store's own file.

/** Units: bytes. */
export interface LmdbFigures {
  /** Of the address space that the store may fill before it is mapped anew. */
  readonly mapBytes: number
  /** Of the file, up to the last page that was ever written. */
  readonly fileBytes: number
  /** Of pages that hold something; the others of the file are used again. */
  readonly usedBytes: number
  readonly entries: number
  /** Snapshots that are open, of all processes. */
  readonly readers: number
  /** Of those, by processes that are gone: nothing that they could see is used again. */
  readonly staleReaders: number
}

// The only thing that storage throws. Absence is a value, never an error.

/**
 * - `unavailable`: nothing can be concluded; ask again later. Never read as absent.
 * - `full`: no room; the operation left no trace.
 * - `conflict`: another writer was first, or the record changed since it was read.
 * - `corrupt`: the bytes or the record are there and wrong.
 * - `frozen`: the store takes no writes for a while; the operation left no trace.
 */
export type StorageErrorKind = 'unavailable' | 'full' | 'conflict' | 'corrupt' | 'frozen'

/** Source: STYLE "errors: three kinds"; operation maps it to an OciError, once. */
export class StorageError extends Error {
  override readonly name = 'StorageError'
  readonly kind: StorageErrorKind

  constructor(kind: StorageErrorKind, message: string, cause?: unknown) {
    super(message, { cause })
    this.kind = kind
  }
}

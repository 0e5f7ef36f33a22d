// Looks at blobs where the backend offers no closer look: by their list and their sizes.

import type { Digest } from '../../oci/digest.ts'
import type { BlobAudit, BlobFolder, BlobMark, BlobSight } from '../../storage/blob/audit.ts'
import type { BlobStore } from '../../storage/blob/contract.ts'
import { StorageError } from '../../storage/error.ts'

const everything: BlobFolder = { digestPrefix: '', place: '' }

/** Memory: all digests at once. */
export class PlainBlobAudit implements BlobAudit {
  readonly folders: readonly BlobFolder[] = [everything]
  readonly #blobs: BlobStore

  constructor(blobs: BlobStore) {
    this.#blobs = blobs
  }

  async look(digest: Digest): Promise<BlobSight> {
    try {
      const seen = await this.#look(digest)
      if (seen === undefined) return { kind: 'absent' }
      const { size, mark } = seen
      return { kind: 'file', size, mode: 0o600, hasOtherName: false, changedAtMs: 0, mark }
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      if (error.kind === 'corrupt') return { kind: 'other', what: error.message, mark: '' }
      return { kind: 'unreadable', reason: error.message }
    }
  }

  async #look(
    digest: Digest,
  ): Promise<{ readonly size: number; readonly mark: BlobMark } | undefined> {
    if (this.#blobs.look !== undefined) return this.#blobs.look(digest)
    const size = await this.#blobs.size(digest)
    return size === undefined ? undefined : { size, mark: String(size) }
  }

  placeOf(digest: Digest): string {
    return digest
  }

  async list(): Promise<readonly Digest[]> {
    const digests: Digest[] = []
    for await (const { digest } of this.#blobs.list()) digests.push(digest)
    return digests.sort()
  }

  async isShared(): Promise<boolean> {
    return (await this.#blobs.isShared?.()) ?? false
  }

  async listBeside(): Promise<void> {}
}

// Looks at blobs where the backend offers no closer look: by their list and their sizes.

import type { Digest } from '../../oci/digest.ts'
import type { BlobAudit, BlobFolder, BlobSight } from '../../storage/blob/audit.ts'
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
      const size = await this.#blobs.size(digest)
      if (size === undefined) return { kind: 'absent' }
      const mark = String(size)
      return { kind: 'file', size, mode: 0o600, hasOtherName: false, changedAtMs: 0, mark }
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      if (error.kind === 'corrupt') return { kind: 'other', what: error.message, mark: '' }
      return { kind: 'unreadable', reason: error.message }
    }
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

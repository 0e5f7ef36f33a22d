// Another registry that may have what is broken here. Nothing that it sends is believed.

import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/name.ts'

export interface PeerBlob {
  /** In bytes, where it is announced. */
  readonly size?: number
  readonly body: AsyncIterable<Uint8Array>
  /** Idempotent; after it the body gives nothing. */
  cancel(): void
}

/** Undefined where it has none. Errors: Error whose message tells the operator why it cannot be asked. */
export interface Peer {
  readonly name: string
  fetchBlob(
    repository: RepositoryName,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<PeerBlob | undefined>
  fetchManifest(
    repository: RepositoryName,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined>
  close(): Promise<void>
}

/** A peer that is not asked before something is broken. */
export interface PeerSource {
  readonly name: string
  /** Errors: as those of its calls. */
  open(): Promise<Peer>
}

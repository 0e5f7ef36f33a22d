// What a scrub asks of a blob backend beside its contract: what really is there, known or not.

import type { Digest } from '../../oci/digest.ts'

/** What is at the final key of a blob, itself and not what it leads to. */
export type BlobSight =
  | { readonly kind: 'absent' }
  | {
      readonly kind: 'file'
      /** In bytes. */
      readonly size: number
      /** Permission bits. */
      readonly mode: number
      /** Whether the same file has another name, as that of an upload which is being published. */
      readonly hasOtherName: boolean
      /** Of its names or permissions. Milliseconds since 1970. */
      readonly changedAtMs: number
      readonly mark: BlobMark
    }
  /** `what` is for people: a directory, a symbolic link. */
  | { readonly kind: 'other'; readonly what: string; readonly mark: BlobMark }
  /** Nothing can be concluded of it. */
  | { readonly kind: 'unreadable'; readonly reason: string }

/** Changes when something else takes its place, or its bytes do. */
export type BlobMark = string

/** One of the folders that the blobs are spread over; they sort as the digests in them. */
export interface BlobFolder {
  /** What the digests in it begin with. */
  readonly digestPrefix: string
  /** For people, from the root of the store. */
  readonly place: string
}

export interface Stranger {
  readonly kind: 'unknown-file' | 'misplaced-blob' | 'unreadable-file' | 'wrong-mode'
  /** From the root of the store. */
  readonly place: string
  readonly reason?: string
}

/** Never changes anything, and answers faults of single files rather than throwing them. */
export interface BlobAudit {
  readonly folders: readonly BlobFolder[]
  look(digest: Digest): Promise<BlobSight>
  /** For people, from the root of the store. */
  placeOf(digest: Digest): string
  /**
   * Digests with anything at their final key, sorted; none where the folder cannot be listed, so that what is
   * not among them may be there all the same. `onStranger` is told of everything else in it.
   */
  list(folder: BlobFolder, onStranger: (stranger: Stranger) => void): Promise<readonly Digest[]>
  /** Whether another registry has records of its own beside the blobs, so that some may be known to it alone. */
  isShared(): Promise<boolean>
  /** What lies beside the folders. */
  listBeside(onStranger: (stranger: Stranger) => void): Promise<void>
}

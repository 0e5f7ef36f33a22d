// Where a tag has pointed: what `tag history` shows and `tag restore` goes back to.

import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import type { Tag } from '../../oci/tag.ts'
import type { MaybePromise } from './contract.ts'

export interface TagMove {
  /** Absent where the tag was new, or came back after a removal. */
  readonly from?: Digest
  /** Absent where the tag was removed, alone or with its manifest. */
  readonly to?: Digest
  /** Of an import: when the tag moved where it came from. */
  readonly atMs: number
  /** Id of the import that made it; absent where it happened here. */
  readonly run?: string
}

/**
 * Every change of a tag is one entry, written in the transaction that makes it; storing what is there
 * already is none. Entries outlive the tag. Contract: test/contract/metadata-store.ts.
 */
export interface TagHistory {
  /** The latest moves first, at most `limit`. Empty for a tag that never was. */
  readTagHistory(repository: RepositoryName, tag: Tag, limit: number): MaybePromise<TagMove[]>
}

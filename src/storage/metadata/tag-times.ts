// When tags were last pushed and pulled: what retention rules ask for.

import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import type { Tag } from '../../oci/tag.ts'
import type { MaybePromise } from './contract.ts'
import type { PassesOver, Removal } from './garbage.ts'
import type { IsImmutable } from './usage.ts'

/** A pull of a manifest. Units: `atMs` since 1970. */
export interface Pull {
  readonly repository: RepositoryName
  /** By which it was asked for. */
  readonly reference: Tag | Digest
  readonly atMs: number
}

export interface TagTimes {
  readonly tag: Tag
  readonly digest: Digest
  /** The last push of this tag, also one that changed nothing; absent where it is not known. */
  readonly pushedAtMs?: number
  /** The later of the last pulls of the tag and of its digest; absent where there was none. */
  readonly pulledAtMs?: number
}

/** Contract: test/contract/metadata/tag-times.ts. */
export interface TagTimesStore {
  /** Visible. One transaction; only ever later. What names nothing in its repository is dropped. */
  recordPulls(pulls: readonly Pull[]): Promise<void>
  /** Sorted by tag. */
  listTagTimes(
    repository: RepositoryName,
    page: { readonly after?: string; readonly limit: number } & PassesOver,
  ): MaybePromise<TagTimes[]>
  readPulledAt(
    repository: RepositoryName,
    reference: Tag | Digest,
  ): MaybePromise<number | undefined>
}

export interface FreedTags {
  /** Those that went. The others have been pushed, pulled, moved or removed since they were seen. */
  readonly tags: readonly Tag[]
  /** 'used': a tag names it still, an index lists it, or its pusher may be about to have one do so. */
  readonly manifest: 'removed' | 'absent' | 'used'
}

/** Contract: test/contract/metadata/free-tags.ts. */
export interface TagRetention {
  /**
   * Durable. Tags that no rule keeps, each of which names the digest: those that are as they were seen go,
   * and so does the manifest, as by `removeUnused`, where nothing else uses it.
   */
  freeTags(
    repository: RepositoryName,
    digest: Digest,
    seen: readonly TagTimes[],
    by: Removal & { readonly isImmutable?: IsImmutable },
  ): Promise<FreedTags>
}

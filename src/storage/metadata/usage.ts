// How much is stored below a prefix of repository names, and the bounds that a write must keep.

import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/tag.ts'

/**
 * A bound on what is stored in the repository of this name and in those below it; '' stands for all.
 * Only a write that would add to what is bounded is refused, so that a bound below what is there already
 * keeps nobody from pulling, deleting or pushing the same again.
 */
export interface Quota {
  readonly prefix: string
  /** Absent for no bound. */
  readonly bytesMax?: number
  readonly tagsMax?: number
}

/**
 * In each repository every blob that is linked there counts once, every manifest with its bytes, and
 * every tag; what two repositories hold counts twice.
 */
export interface Usage {
  readonly bytes: number
  readonly tags: number
}

/** Nothing was changed, since this quota leaves no room for it. */
export interface OverQuota {
  readonly kind: 'over-quota'
  readonly prefix: string
  readonly what: 'bytes' | 'tags'
  readonly limit: number
  readonly used: number
  /** What the write would have added. */
  readonly added: number
}

/** Whether a tag, once it is there, names the same manifest for ever. */
export type IsImmutable = (tag: Tag) => boolean

/** Nothing was changed, since this tag may not be moved or removed. */
export interface ImmutableTag {
  readonly kind: 'immutable'
  readonly tag: Tag
  /** What it names. */
  readonly digest: Digest
}

/** A counter that is not what is stored amounts to. */
export interface UsageFault {
  readonly prefix: string
  readonly counted: Usage
  readonly actual: Usage
}

/**
 * What is used, counted in the transactions that change it; part of the same store and under the same
 * rules as `MetadataStore`. A store of a build that did not count is counted by its first write.
 * Contract: test/contract/metadata/usage.ts.
 */
export interface UsageStore {
  /** By whole components: `prod` stands for `prod` and `prod/app`, not for `production`; '' for all. */
  readUsage(prefix: string): Usage | Promise<Usage>
  /** Compare every counter with what is stored, in one snapshot; with `repair` the counters are put right. */
  recountUsage(options: { readonly repair: boolean }): Promise<readonly UsageFault[]>
}

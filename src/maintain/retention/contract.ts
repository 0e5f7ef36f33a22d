// What retention is given: rules as plain functions, what they may ask of a tag, and the settings of a run.

import type { RepositoryName } from '../../oci/name.ts'
import type { IsImmutable, Quota } from '../../storage/metadata/usage.ts'
import type { JobDeed, JobParts } from '../job/contract.ts'

/** A tag, as rules see it. Units: seconds since 1970. */
export interface RetainedTag {
  readonly tag: string
  readonly repository: string
  /** `now`, where it is not known. */
  readonly pushedAt: number
  /** 0 where it never was. */
  readonly pulledAt: number
  readonly now: number
  /** Whether it is among the so many last pushed tags of its repository. */
  isTopPushed(count: number): boolean
  isTopPulled(count: number): boolean
}

/** `error`: the rule could not be evaluated; then it keeps, too. */
export type RetentionAnswer =
  | { readonly keeps: boolean }
  | { readonly keeps: true; readonly error: string }

export interface RetentionRule {
  readonly text: string
  readonly place: { readonly file: string; readonly line: number }
  /** `global` or the repository prefix. */
  readonly policy: string
  /** The largest number that it asks `isTopPushed` for; 0: it does not ask. */
  readonly topPushedMax: number
  readonly topPulledMax: number
  judge(tag: RetainedTag): RetentionAnswer
}

/** As the configuration in force has it; asked once at the begin of a run. */
export interface PruneSettings {
  /** Every rule of the configuration; without one nothing is looked at. */
  readonly rules: readonly RetentionRule[]
  /** Those that may keep a tag there; without one, all tags stay. */
  readonly rulesFor: (repository: RepositoryName) => readonly RetentionRule[]
  /** Why the rules cannot be applied. */
  readonly refusal: string | undefined
  readonly isImmutable: (repository: RepositoryName) => IsImmutable
  readonly graceMs: number
  readonly restoreWindowMs: number
  readonly tagsPerSecond: number
}

/** What a run asks of its process. */
export interface PruneParts {
  readonly settings: () => PruneSettings
  /** Resolves when the store knows of every pull of this process. Errors: StorageError. */
  readonly flushPulls: () => Promise<void>
}

/** What the calls about one tag work on. */
export interface TagCallsSource {
  readonly parts: Pick<JobParts, 'metadata' | 'changing' | 'now' | 'shared'>
  /** As the configuration in force has it; asked each time. */
  readonly settings: () => {
    readonly graceMs: number
    readonly isImmutable: (repository: RepositoryName) => IsImmutable
    readonly quotas: (repository: RepositoryName) => readonly Quota[]
  }
  /** Once it is done. */
  readonly record: (deed: JobDeed) => void
}

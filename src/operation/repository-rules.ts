// What the configuration demands of a push to one repository: sizes, quotas, which tags are immutable,
// what names, types and annotations must be.

import type { ValidationConfig } from '../config/schema.ts'
import type { RepositoryName } from '../oci/name.ts'
import type { Tag } from '../oci/tag.ts'
import { compilePattern, type Pattern } from '../pattern/compile.ts'
import type { IsImmutable, Quota } from '../storage/metadata/usage.ts'
import { compileValidation, type Validation } from './push-validation.ts'

/** What holds in one repository. */
export interface RepositoryRule {
  /** These two: the smallest of all that hold. */
  readonly manifestBytesMax: number
  readonly blobBytesMax: number
  readonly isImmutable: IsImmutable
  /** These two: all that hold, the broadest first. */
  readonly quotas: readonly Quota[]
  readonly validations: readonly Validation[]
}

export interface RepositoryRules {
  /** Every one of the configuration, the broadest first. */
  readonly quotas: readonly Quota[]
  rulesFor(repository: RepositoryName): RepositoryRule
}

/** One `quota` table of the configuration. */
export interface QuotaLimits {
  readonly maxBytes: number | undefined
  readonly maxTags: number | undefined
}

/** The keys of `[global]` that rules are made of. */
export interface GlobalRules {
  readonly maxManifestSizeBytes: number
  readonly maxBlobSizeBytes: number
  readonly immutableTags: boolean
  readonly immutableTagsExclusions: readonly string[]
  readonly quota: QuotaLimits | undefined
  readonly validation?: ValidationConfig | undefined
}

/** The keys of `[repository."<prefix>"]` that rules are made of. */
export interface PrefixRules {
  readonly prefix: string
  readonly maxManifestSizeBytes: number | undefined
  readonly maxBlobSizeBytes: number | undefined
  readonly immutableTags: boolean | undefined
  /** Absent: those of the next shorter prefix. An empty list takes none out. */
  readonly immutableTagsExclusions: readonly string[] | undefined
  readonly quota: QuotaLimits | undefined
  readonly validation?: ValidationConfig | undefined
}

/** A rule on its way from the broadest prefix to the narrowest. */
interface Part {
  readonly manifestBytesMax: number
  readonly blobBytesMax: number
  readonly isImmutable: boolean
  readonly exclusions: readonly Pattern[]
  readonly quotas: readonly Quota[]
  readonly validations: readonly Validation[]
}

/**
 * One rule for each prefix of the configuration and one for all other names, so that what is kept does
 * not grow with the names that clients think of.
 * Errors: Error whose message names the key and what is wrong with its pattern.
 */
export function createRepositoryRules(
  global: GlobalRules,
  prefixes: readonly PrefixRules[],
): RepositoryRules {
  const broadestFirst = prefixes.toSorted((a, b) => a.prefix.length - b.prefix.length)
  const globalPart: Part = {
    manifestBytesMax: global.maxManifestSizeBytes,
    blobBytesMax: global.maxBlobSizeBytes,
    isImmutable: global.immutableTags,
    exclusions: compileAll('global.immutable_tags_exclusions', global.immutableTagsExclusions),
    quotas: quotasOf('', global.quota),
    validations: validationsOf('', global.validation),
  }
  const parts = new Map<string, Part>()
  const rules = new Map<string, RepositoryRule>()
  for (const each of broadestFirst) {
    const part = narrowed(closest(each.prefix, parts) ?? globalPart, each)
    parts.set(each.prefix, part)
    rules.set(each.prefix, ruleOf(part))
  }
  const globalRule = ruleOf(globalPart)
  return {
    quotas: [
      ...globalPart.quotas,
      ...broadestFirst.flatMap(({ prefix, quota }) => quotasOf(prefix, quota)),
    ],
    rulesFor: (repository) => closest(repository, rules) ?? globalRule,
  }
}

/** What is kept under the name itself, or under the longest of its prefixes that has something. */
function closest<T>(name: string, known: ReadonlyMap<string, T>): T | undefined {
  if (known.size === 0) return undefined
  for (let end = name.length; end > 0; end = name.lastIndexOf('/', end - 1)) {
    const found = known.get(name.slice(0, end))
    if (found !== undefined) return found
  }
  return undefined
}

function narrowed(outer: Part, inner: PrefixRules): Part {
  const { prefix, immutableTagsExclusions, quota, validation } = inner
  const key = `repository."${prefix}".immutable_tags_exclusions`
  return {
    manifestBytesMax: Math.min(
      outer.manifestBytesMax,
      inner.maxManifestSizeBytes ?? Number.POSITIVE_INFINITY,
    ),
    blobBytesMax: Math.min(outer.blobBytesMax, inner.maxBlobSizeBytes ?? Number.POSITIVE_INFINITY),
    isImmutable: outer.isImmutable || inner.immutableTags === true,
    exclusions:
      immutableTagsExclusions === undefined
        ? outer.exclusions
        : compileAll(key, immutableTagsExclusions),
    quotas: [...outer.quotas, ...quotasOf(prefix, quota)],
    validations: [...outer.validations, ...validationsOf(prefix, validation)],
  }
}

function ruleOf({ isImmutable, exclusions, ...part }: Part): RepositoryRule {
  return {
    ...part,
    isImmutable: isImmutable
      ? (tag: Tag) => !exclusions.some((pattern) => pattern.matches(tag))
      : () => false,
  }
}

function quotasOf(prefix: string, limits: QuotaLimits | undefined): Quota[] {
  const { maxBytes, maxTags } = limits ?? {}
  if (maxBytes === undefined && maxTags === undefined) return []
  return [
    {
      prefix,
      ...(maxBytes === undefined ? {} : { bytesMax: maxBytes }),
      ...(maxTags === undefined ? {} : { tagsMax: maxTags }),
    },
  ]
}

function validationsOf(prefix: string, config: ValidationConfig | undefined): Validation[] {
  if (config === undefined) return []
  const table = prefix === '' ? 'global' : `repository."${prefix}"`
  return [
    compileValidation(prefix, config, (key, text) => compile(`${table}.validation.${key}`, text)),
  ]
}

function compileAll(key: string, patterns: readonly string[]): Pattern[] {
  return patterns.map((text) => compile(key, text))
}

function compile(key: string, text: string): Pattern {
  try {
    return compilePattern(text)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`${key}: ${JSON.stringify(text)}: ${reason}`, { cause })
  }
}

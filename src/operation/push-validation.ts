// What a `validation` table demands of a push: of its names, its types and its annotations.

import type { ValidationConfig } from '../config/schema.ts'
import { OciError } from '../oci/error.ts'
import type { Manifest } from '../oci/manifest.ts'
import type { RepositoryName } from '../oci/name.ts'
import type { Tag } from '../oci/tag.ts'
import type { Pattern } from '../pattern/compile.ts'

/** One table, with its patterns compiled. Empty sets and absent patterns demand nothing. */
export interface Validation {
  /** The repository prefix that it stands below; '' for the one that is global. */
  readonly prefix: string
  readonly repository: NamePattern | undefined
  readonly tag: NamePattern | undefined
  readonly mediaTypes: ReadonlySet<string>
  readonly artifactTypes: ReadonlySet<string>
  readonly layerMediaTypes: ReadonlySet<string>
  readonly requiredAnnotations: readonly string[]
}

interface NamePattern {
  readonly text: string
  readonly pattern: Pattern
}

type Key =
  | 'repository_pattern'
  | 'tag_pattern'
  | 'media_types'
  | 'artifact_types'
  | 'layer_media_types'
  | 'required_annotations'

// What a message shows of a value that a client or an operator chose the length of, in characters.
const shownMax = 200
const shownItemsMax = 16

/** `compile` says in its errors which key the pattern is of. */
export function compileValidation(
  prefix: string,
  config: ValidationConfig,
  compile: (key: Key, pattern: string) => Pattern,
): Validation {
  const named = (key: Key, text: string | undefined): NamePattern | undefined =>
    text === undefined ? undefined : { text, pattern: compile(key, text) }
  return {
    prefix,
    repository: named('repository_pattern', config.repositoryPattern),
    tag: named('tag_pattern', config.tagPattern),
    mediaTypes: new Set(config.mediaTypes),
    artifactTypes: new Set(config.artifactTypes),
    layerMediaTypes: new Set(config.layerMediaTypes),
    requiredAnnotations: config.requiredAnnotations,
  }
}

/** Before anything is pushed to it. Errors: OciError DENIED. */
export function requireRepository(
  validations: readonly Validation[],
  repository: RepositoryName,
): void {
  for (const { prefix, repository: rule } of validations) {
    if (rule === undefined || rule.pattern.matches(repository)) continue
    throw refusal('repository_pattern', prefix, repository, [rule.text], (name, the) => {
      return `the repository name ${name} does not match ${the}`
    })
  }
}

/** Every tag that a push sets. Errors: OciError DENIED. */
export function requireTags(validations: readonly Validation[], tags: readonly Tag[]): void {
  for (const { prefix, tag: rule } of validations) {
    const wrong = tags.find((tag) => rule !== undefined && !rule.pattern.matches(tag))
    if (rule === undefined || wrong === undefined) continue
    throw refusal('tag_pattern', prefix, wrong, [rule.text], (tag, the) => {
      return `the tag ${tag} does not match ${the}`
    })
  }
}

/**
 * Annotations are asked of what gets a tag alone: those of a whole image are on its index, which is
 * pushed after manifests that have no tag, and signatures have none of their own.
 * Errors: OciError DENIED.
 */
export function requireManifest(
  validations: readonly Validation[],
  manifest: Manifest,
  isTagged: boolean,
): void {
  for (const validation of validations) {
    requireTypes(validation, manifest)
    if (isTagged) requireAnnotations(validation, manifest)
  }
}

function requireTypes(validation: Validation, manifest: Manifest): void {
  const { prefix, mediaTypes, artifactTypes, layerMediaTypes } = validation
  if (isOutside(mediaTypes, manifest.mediaType)) {
    throw refusal('media_types', prefix, manifest.mediaType, mediaTypes, (type, the) => {
      return `the media type ${type} of the manifest is not among ${the}`
    })
  }
  const { artifactType } = manifest
  // An index of manifests alone needs none: they were pushed before it, and have theirs.
  const needsNone = manifest.kind === 'index' && manifest.layerMediaTypes.length === 0
  if (!(needsNone && artifactType === undefined) && isOutside(artifactTypes, artifactType)) {
    throw refusal('artifact_types', prefix, artifactType, artifactTypes, (type, the) => {
      return `the artifact type ${type || '(none)'} is not among ${the}`
    })
  }
  const layer = manifest.layerMediaTypes.find((type) => isOutside(layerMediaTypes, type))
  if (layer !== undefined) {
    throw refusal('layer_media_types', prefix, layer, layerMediaTypes, (type, the) => {
      return `the layer media type ${type} is not among ${the}`
    })
  }
}

function isOutside(allowed: ReadonlySet<string>, type: string | undefined): boolean {
  return allowed.size > 0 && (type === undefined || !allowed.has(type))
}

function requireAnnotations({ prefix, requiredAnnotations }: Validation, manifest: Manifest): void {
  const { annotations = {} } = manifest
  const missing = requiredAnnotations.filter(
    (key) => !Object.hasOwn(annotations, key) || annotations[key] === '',
  )
  if (missing.length === 0) return
  throw new OciError('DENIED', {
    message: `the manifest lacks ${list(missing)}, of the required_annotations of ${whose(prefix)}`,
    detail: { rule: 'required_annotations', prefix, missing: missing.slice(0, shownItemsMax) },
  })
}

/**
 * 403 DENIED, as for quotas: with this code clients show the message and end at once, whereas some try
 * again after NAME_INVALID or MANIFEST_INVALID.
 */
function refusal(
  rule: Key,
  prefix: string,
  value: string | undefined,
  allowed: Iterable<string>,
  sentence: (found: string, theRule: string) => string,
): OciError {
  const found = shown(value ?? '')
  const values = [...allowed]
  return new OciError('DENIED', {
    message: `${sentence(found, `the ${rule} of ${whose(prefix)}`)}: ${list(values)}`,
    detail: {
      ...{ rule, prefix, allowed: values.slice(0, shownItemsMax).map(shown) },
      ...(value === undefined ? {} : { found }),
    },
  })
}

function whose(prefix: string): string {
  return prefix === '' ? 'the registry' : prefix
}

function list(values: readonly string[]): string {
  const some = values.slice(0, shownItemsMax).map(shown).join(', ')
  return values.length > shownItemsMax ? `${some}, …` : some
}

function shown(text: string): string {
  return text.length > shownMax ? `${text.slice(0, shownMax)}…` : text
}

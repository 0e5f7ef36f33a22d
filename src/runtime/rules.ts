// What is wrong with a configuration beyond its keys and values: rules for pushes and retention, and
// directories.

import { ldapProblems } from '../authenticate/ldap/check.ts'
import { compileRetention } from '../authorize/policy/retention.ts'
import { locateKey } from '../config/locate.ts'
import { ConfigError, type ConfigProblem } from '../config/problem.ts'
import type { Config, ValidationConfig } from '../config/schema.ts'
import { dottedName } from '../config/tables.ts'
import { isManifestMediaType, isSchema1MediaType, parseMediaType } from '../oci/media-type.ts'
import { compilePattern } from '../pattern/compile.ts'

/** One written value: the key, which item of its list, and what is wrong with it. */
interface Fault {
  readonly key: readonly string[]
  readonly item: number | undefined
  readonly message: string
}

/**
 * Patterns and retention rules that do not compile, types that nothing can have, directories that could not be asked or must
 * not. `files` are those of `config`.
 */
export function checkRules(config: Config, files: readonly string[]): readonly ConfigProblem[] {
  const faults = [
    ...patternFaults(
      ['global', 'immutable_tags_exclusions'],
      config.global.immutableTagsExclusions,
    ),
    ...validationFaults(['global', 'validation'], config.global.validation),
    ...config.repositories.flatMap(({ prefix, immutableTagsExclusions = [], validation }) => {
      const table = ['repository', prefix]
      return [
        ...patternFaults([...table, 'immutable_tags_exclusions'], immutableTagsExclusions),
        ...validationFaults([...table, 'validation'], validation),
      ]
    }),
    ...config.auth.ldap.flatMap((directory) =>
      ldapProblems(directory).map(({ key, message }) => {
        return { key: ['auth', 'ldap', directory.name, key], item: undefined, message }
      }),
    ),
  ]
  const located = faults.map(({ key, item, message }) => {
    return { ...locateKey(files, key, item), key: dottedName(key), message }
  })
  const retention = compileRetention(config.global.retentionPolicy, config.repositories)
  return [...located, ...retention.problems]
}

/** Errors: ConfigError. */
export function requireRules(config: Config, files: readonly string[]): void {
  const problems = checkRules(config, files)
  if (problems.length > 0) throw new ConfigError(problems)
}

function validationFaults(
  table: readonly string[],
  validation: ValidationConfig | undefined,
): readonly Fault[] {
  if (validation === undefined) return []
  const { repositoryPattern, tagPattern } = validation
  return [
    ...patternFaults([...table, 'repository_pattern'], repositoryPattern),
    ...patternFaults([...table, 'tag_pattern'], tagPattern),
    ...validation.mediaTypes.flatMap((type, item) =>
      isManifestMediaType(type) && !isSchema1MediaType(type)
        ? []
        : [fault([...table, 'media_types'], item, 'a media type of manifests', type)],
    ),
    ...typeFaults([...table, 'artifact_types'], validation.artifactTypes),
    ...typeFaults([...table, 'layer_media_types'], validation.layerMediaTypes),
  ]
}

function typeFaults(key: readonly string[], types: readonly string[]): readonly Fault[] {
  return types.flatMap((type, item) =>
    parseMediaType(type) === type ? [] : [fault(key, item, 'a media type', type)],
  )
}

function fault(key: readonly string[], item: number, expected: string, found: string): Fault {
  return { key, item, message: `expected ${expected}; found ${JSON.stringify(found)}` }
}

function patternFaults(
  key: readonly string[],
  patterns: string | readonly string[] | undefined,
): readonly Fault[] {
  const isList = typeof patterns === 'object'
  const texts = isList ? patterns : patterns === undefined ? [] : [patterns]
  return texts.flatMap((text, item) => {
    try {
      compilePattern(text)
      return []
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      const message = `${JSON.stringify(text)}: ${reason}`
      return [{ key, item: isList ? item : undefined, message }]
    }
  })
}

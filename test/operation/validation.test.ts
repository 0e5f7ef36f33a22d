// Goal: every rule of `validation` refuses what it is for and nothing else, whichever prefix it stands below,
// says which rule it was, where it stands and what it found, and takes linear time. Method: tables.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ValidationConfig } from '../../src/config/schema.ts'
import { OciError } from '../../src/oci/error.ts'
import { defaultManifestLimits, type Manifest, parseManifest } from '../../src/oci/manifest.ts'
import { mediaTypes } from '../../src/oci/media-type.ts'
import { parseRepositoryName, type RepositoryName } from '../../src/oci/name.ts'
import { parseTag, type Tag } from '../../src/oci/tag.ts'
import {
  requireManifest,
  requireRepository,
  requireTags,
  type Validation,
} from '../../src/operation/push-validation.ts'
import { createRepositoryRules } from '../../src/operation/repository-rules.ts'
import { describe as describeContent, type Json, sampleManifest } from '../oci/sample-manifests.ts'

type Rules = Partial<ValidationConfig>

function whole(rules: Rules): ValidationConfig {
  return {
    ...{ repositoryPattern: undefined, tagPattern: undefined, requiredAnnotations: [] },
    ...{ mediaTypes: [], artifactTypes: [], layerMediaTypes: [] },
    ...rules,
  }
}

/** The rules that hold in a repository; the key '' stands for the global table. */
function validations(
  tables: Readonly<Record<string, Rules>>,
  repository = 'team/app',
): readonly Validation[] {
  const { '': global, ...prefixes } = tables
  const rules = createRepositoryRules(
    {
      ...{ maxManifestSizeBytes: 1, maxBlobSizeBytes: 1, immutableTags: false },
      ...{ immutableTagsExclusions: [], quota: undefined },
      validation: global && whole(global),
    },
    Object.entries(prefixes).map(([prefix, table]) => ({
      ...{ prefix, maxManifestSizeBytes: undefined, maxBlobSizeBytes: undefined },
      ...{ immutableTags: undefined, immutableTagsExclusions: undefined, quota: undefined },
      validation: whole(table),
    })),
  )
  return rules.rulesFor(name(repository)).validations
}

function name(text: string): RepositoryName {
  const parsed = parseRepositoryName(text)
  assert.ok(parsed, text)
  return parsed
}

function tags(...texts: readonly string[]): readonly Tag[] {
  return texts.map((text) => parseTag(text)!)
}

function manifest(body: Json): Manifest {
  return parseManifest(Buffer.from(JSON.stringify(body)), undefined, defaultManifestLimits)
}

/** The refusal, whose status, code, rule and place must be these; undefined where there is none. */
function refusalOf(attempt: () => void): OciError | undefined {
  try {
    attempt()
  } catch (error) {
    assert.ok(error instanceof OciError, String(error))
    assert.deepEqual([error.code, error.status], ['DENIED', 403])
    return error
  }
  return undefined
}

function ruleOf(attempt: () => void): string {
  const detail = refusalOf(attempt)?.detail as { rule: string; prefix: string } | undefined
  return detail === undefined ? 'none' : `${detail.rule} ${detail.prefix}`.trimEnd()
}

const typeOf = (rules: Rules, body: Json, isTagged = true): string =>
  ruleOf(() => requireManifest(validations({ '': rules }), manifest(body), isTagged))

describe('names', () => {
  test('a repository must match each pattern that holds, as a whole', () => {
    const tables = {
      '': { repositoryPattern: '[a-z]+/.+' },
      team: { repositoryPattern: 'team/[a-z-]+' },
      'team/app': { repositoryPattern: '.*app' },
    }
    for (const [repository, rule] of [
      ['team/app', 'none'],
      ['team/application', 'none'],
      ['other/1', 'none'],
      ['other', 'repository_pattern'],
      ['team/app/x', 'repository_pattern team'],
      ['team/app1', 'repository_pattern team'],
      ['teams/app1', 'none'],
    ] as const) {
      const found = validations(tables, repository)
      assert.equal(
        ruleOf(() => requireRepository(found, name(repository))),
        rule,
        repository,
      )
    }
  })

  test('every tag of a push must match', () => {
    const found = validations({ '': { tagPattern: 'v[0-9]+|latest' } })
    assert.equal(
      ruleOf(() => requireTags(found, [])),
      'none',
    )
    assert.equal(
      ruleOf(() => requireTags(found, tags('v1', 'latest'))),
      'none',
    )
    for (const wrong of ['v', 'v1-rc', 'xlatest', 'latest-1', 'V1']) {
      const refused = refusalOf(() => requireTags(found, tags('v1', wrong, 'v2')))
      assert.match(refused?.message ?? '', new RegExp(`the tag ${wrong} does not match`))
    }
  })

  test('without rules everything is taken', () => {
    const found = validations({ '': {}, team: {} })
    requireRepository(found, name('team/app'))
    requireTags(found, tags('anything'))
    requireManifest(found, manifest(sampleManifest('image')), true)
  })
})

describe('types', () => {
  const only = (mediaType: string): Rules => ({ mediaTypes: [mediaType] })

  test('the media type of a manifest must be listed', () => {
    assert.equal(typeOf(only(mediaTypes.ociImage), sampleManifest('image')), 'none')
    assert.equal(typeOf(only(mediaTypes.ociImage), sampleManifest('index')), 'media_types')
    assert.equal(typeOf(only(mediaTypes.ociIndex), sampleManifest('index')), 'none')
    assert.equal(typeOf(only(mediaTypes.ociImage), sampleManifest('docker image')), 'media_types')
  })

  test('the artifact type is its own, else that of the config', () => {
    const image = sampleManifest('image')
    const rules = { artifactTypes: [mediaTypes.ociConfig, 'a/b'] }
    assert.equal(typeOf(rules, image), 'none')
    assert.equal(typeOf(rules, { ...image, artifactType: 'a/b' }), 'none')
    assert.equal(typeOf(rules, { ...image, artifactType: 'a/c' }), 'artifact_types')
    assert.equal(typeOf(rules, sampleManifest('docker image')), 'artifact_types')
  })

  test('a subject frees nothing from the rules', () => {
    const signature = {
      ...sampleManifest('image'),
      artifactType: 'application/vnd.cncf.notary.signature',
      subject: describeContent(mediaTypes.ociImage, 'subject'),
    }
    assert.equal(typeOf({ artifactTypes: [mediaTypes.ociConfig] }, signature), 'artifact_types')
    assert.equal(typeOf({ layerMediaTypes: ['a/b'] }, signature), 'layer_media_types')
  })

  test('an index of manifests needs no artifact type, but one that it has must be listed', () => {
    const rules = { artifactTypes: [mediaTypes.ociConfig] }
    const index = sampleManifest('index')
    assert.equal(typeOf(rules, index), 'none')
    assert.equal(typeOf(rules, { ...index, artifactType: 'a/b' }), 'artifact_types')
    assert.equal(typeOf(rules, sampleManifest('build cache')), 'artifact_types')
    const artifact = { ...sampleManifest('artifact manifest'), artifactType: undefined }
    assert.equal(typeOf(rules, artifact), 'artifact_types')
  })

  test('every layer must be of a listed type, also one whose bytes are those of the config', () => {
    const image = sampleManifest('image')
    const rules = { layerMediaTypes: [mediaTypes.ociLayerGzip] }
    const more = (type: string, content: string): Json => ({
      ...image,
      layers: [...(image['layers'] as Json[]), describeContent(type, content)],
    })
    assert.equal(typeOf(rules, image), 'none')
    assert.equal(typeOf(rules, more(mediaTypes.ociLayerGzip, 'config')), 'none')
    assert.equal(typeOf(rules, more('a/b', 'config')), 'layer_media_types')
    assert.equal(typeOf(rules, more('a/b', 'other')), 'layer_media_types')
    assert.equal(typeOf(rules, more(mediaTypes.ociForeignLayer, 'far')), 'layer_media_types')
    assert.equal(typeOf(rules, sampleManifest('index')), 'none')
    assert.equal(typeOf(rules, sampleManifest('artifact manifest')), 'layer_media_types')
  })

  test('what an index names that is no manifest is a layer', () => {
    const cache = sampleManifest('build cache')
    const types = manifest(cache).layerMediaTypes
    assert.ok(types.length >= 2)
    for (const type of types) {
      const others = types.filter((each) => each !== type)
      assert.equal(typeOf({ layerMediaTypes: others }, cache), 'layer_media_types', type)
    }
    assert.equal(typeOf({ layerMediaTypes: types }, cache), 'none')
  })
})

describe('annotations', () => {
  const rules = { requiredAnnotations: ['org.example.source', 'constructor'] }
  const annotated = (annotations: object): Json => ({ ...sampleManifest('index'), annotations })
  const good = { 'org.example.source': 'x', constructor: 'y', other: '' }

  test('each must be there, with a value', () => {
    assert.equal(typeOf(rules, annotated(good)), 'none')
    assert.equal(
      typeOf(rules, annotated({ ...good, 'org.example.source': '' })).split(' ')[0],
      'required_annotations',
    )
    for (const body of [sampleManifest('index'), annotated({}), annotated({ constructor: 'y' })]) {
      assert.equal(typeOf(rules, body), 'required_annotations')
    }
    // Not the one that every object inherits.
    assert.equal(typeOf(rules, annotated({ 'org.example.source': 'x' })), 'required_annotations')
  })

  test('they are asked of what gets a tag alone', () => {
    assert.equal(typeOf(rules, sampleManifest('image'), false), 'none')
    assert.equal(
      typeOf({ ...rules, mediaTypes: ['a/b'] }, sampleManifest('image'), false),
      'media_types',
    )
  })
})

describe('a refusal', () => {
  const image = manifest(sampleManifest('image'))

  test('names the rule, its place and what was found', () => {
    for (const [prefix, place] of [
      ['', 'the registry'],
      ['team', 'team'],
    ] as const) {
      const told = (rules: Rules): string | undefined => {
        const found = validations({ [prefix]: rules })
        return refusalOf(() => {
          requireRepository(found, name('team/app'))
          requireTags(found, tags('dev'))
          requireManifest(found, image, true)
        })?.message
      }
      assert.equal(
        told({ repositoryPattern: 'x' }),
        `the repository name team/app does not match the repository_pattern of ${place}: x`,
      )
      assert.equal(
        told({ tagPattern: 'v.*' }),
        `the tag dev does not match the tag_pattern of ${place}: v.*`,
      )
      assert.equal(
        told({ mediaTypes: [mediaTypes.ociIndex] }),
        `the media type ${mediaTypes.ociImage} of the manifest is not among the media_types of ${place}: ${mediaTypes.ociIndex}`,
      )
      assert.equal(
        told({ artifactTypes: ['a/b', 'c/d'] }),
        `the artifact type ${mediaTypes.ociConfig} is not among the artifact_types of ${place}: a/b, c/d`,
      )
      assert.equal(
        told({ layerMediaTypes: ['a/b'] }),
        `the layer media type ${mediaTypes.ociLayerGzip} is not among the layer_media_types of ${place}: a/b`,
      )
      assert.equal(
        told({ requiredAnnotations: ['a', 'b'] }),
        `the manifest lacks a, b, of the required_annotations of ${place}`,
      )
    }
  })

  test('is short, however long the rule and the name are', () => {
    const repository = `a${'/b'.repeat(127)}`
    const many = Array.from({ length: 1000 }, (_, i) => `a/${'x'.repeat(120)}${i}`)
    const long = validations({ '': { repositoryPattern: 'y'.repeat(700) } }, repository)
    const named = refusalOf(() => requireRepository(long, name(repository)))
    const typed = refusalOf(() => {
      requireManifest(validations({ '': { artifactTypes: many } }), image, true)
    })
    for (const refused of [named, typed]) {
      assert.ok(refused && refused.message.length < 4000, refused?.message)
      assert.ok(JSON.stringify(refused.detail).length < 4000)
    }
  })
})

test('hostile patterns take linear time with the longest names', () => {
  const repository = 'a'.repeat(255)
  const tag = 'a'.repeat(128)
  for (const pattern of ['(a+)+b', '(a|aa)+b', '(a*)*b', '(.*.*.*.*.*)x', '(a?){100}a{300}']) {
    const found = validations(
      { '': { repositoryPattern: pattern, tagPattern: pattern } },
      repository,
    )
    const startedAt = performance.now()
    assert.equal(
      ruleOf(() => requireRepository(found, name(repository))),
      'repository_pattern',
    )
    assert.equal(
      ruleOf(() => requireTags(found, Array(64).fill(tags(tag)[0]))),
      'tag_pattern',
    )
    const tookMs = performance.now() - startedAt
    assert.ok(tookMs < 500, `${pattern}: ${tookMs} ms`)
  }
})

test('a pattern that does not compile is told with its key', () => {
  for (const [rules, message] of [
    [{ repositoryPattern: '(' }, /^repository\."team"\.validation\.repository_pattern: "\(": /],
    [{ tagPattern: '(?=a)' }, /^repository\."team"\.validation\.tag_pattern: "\(\?=a\)": /],
  ] as const) {
    assert.throws(() => validations({ team: rules }), { message })
  }
  assert.throws(() => validations({ '': { tagPattern: '*' } }), {
    message: /^global\.validation\.tag_pattern: /,
  })
})

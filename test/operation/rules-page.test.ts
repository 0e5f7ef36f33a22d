// Goal: the examples of docs/rules.md load, and let in what the page says. Method: the page's own blocks.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import { defaultManifestLimits, parseManifest } from '../../src/oci/manifest.ts'
import { mediaTypes } from '../../src/oci/media-type.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'
import { parseTag } from '../../src/oci/tag.ts'
import {
  requireManifest,
  requireRepository,
  requireTags,
} from '../../src/operation/push-validation.ts'
import { createRepositoryRules, type RepositoryRule } from '../../src/operation/repository-rules.ts'
import { checkRules } from '../../src/runtime/rules.ts'
import { describe, type Json, sampleManifest } from '../oci/sample-manifests.ts'

const page = readFileSync('docs/rules.md', 'utf8')
const [rules = '', signatures = '', ...others] = [...page.matchAll(/^```toml\n(.*?)^```/gms)].map(
  ([, block = '']) => block,
)
const bundle = 'application/vnd.dev.sigstore.bundle.v0.3+json'

function ruleOf(block: string, repository: string): RepositoryRule {
  const text = `${block}\n[blob_store.memory]\n[metadata_store.memory]\n`
  const config = parseConfig([{ file: '/etc/keelson/config.toml', text }])
  assert.deepEqual(checkRules(config, []), [])
  return createRepositoryRules(config.global, config.repositories).rulesFor(
    parseRepositoryName(repository)!,
  )
}

/** Whether it may be pushed; without a tag by its digest. */
function isTaken(rule: RepositoryRule, body: Json, tag?: string): boolean {
  const manifest = parseManifest(
    Buffer.from(JSON.stringify(body)),
    undefined,
    defaultManifestLimits,
  )
  try {
    requireTags(rule.validations, tag === undefined ? [] : [parseTag(tag)!])
    requireManifest(rule.validations, manifest, tag !== undefined)
    return true
  } catch {
    return false
  }
}

function referrer(type: string, layerType: string): Json {
  return {
    ...sampleManifest('image'),
    artifactType: type,
    config: describe(mediaTypes.ociEmpty, '{}'),
    layers: [describe(layerType, 'signature')],
    subject: describe(mediaTypes.ociImage, 'subject'),
  }
}

test('the page has the two examples', () => {
  assert.deepEqual(others, [])
})

test('the first example demands names, tags, layers and annotations', () => {
  const prod = ruleOf(rules, 'prod/app')
  const { validations } = prod
  requireRepository(validations, parseRepositoryName('prod/app')!)
  assert.throws(() => requireRepository(validations, parseRepositoryName('app')!))
  const image = sampleManifest('image')
  const annotations = { 'org.opencontainers.image.source': 'https://git.example.com/app' }
  assert.equal(isTaken(prod, { ...image, annotations }, 'v1.2'), true)
  assert.equal(isTaken(prod, { ...image, annotations }, 'dev'), false)
  assert.equal(isTaken(prod, image, 'v1.2'), false)
  assert.equal(isTaken(prod, image), true)
  assert.equal(isTaken(ruleOf(rules, 'production/app'), image, 'dev'), true)
  assert.equal(isTaken(prod, { ...image, layers: [describe('a/b', 'x')] }), false)
})

test('the second lets in images and signatures, and nothing else', () => {
  const prod = ruleOf(signatures, 'prod/app')
  assert.equal(isTaken(prod, sampleManifest('image'), 'v1'), true)
  assert.equal(isTaken(prod, sampleManifest('index'), 'v1'), true)
  assert.equal(isTaken(prod, referrer(bundle, bundle)), true)
  assert.equal(
    isTaken(prod, referrer('application/vnd.cncf.notary.signature', 'application/jose+json')),
    true,
  )
  assert.equal(isTaken(prod, referrer('application/vnd.cncf.helm', bundle)), false)
  assert.equal(isTaken(prod, referrer(bundle, 'text/plain')), false)
  const attested = {
    ...sampleManifest('image'),
    layers: [describe('application/vnd.in-toto+json', 'x')],
  }
  assert.equal(isTaken(prod, attested), true)
  const cosign = 'application/vnd.dev.cosign.simplesigning.v1+json'
  const old = { ...sampleManifest('image'), layers: [describe(cosign, 'x')] }
  assert.equal(isTaken(prod, old, `sha256-${'a'.repeat(64)}.sig`), false)
})

test('the refusal is the one that is shown', () => {
  const [, shown = ''] = /^```json\n(.*?)\n```/ms.exec(page) ?? []
  const { errors } = JSON.parse(shown) as { errors: [{ message: string; detail: object }] }
  const prod = ruleOf('[repository.prod.validation]\ntag_pattern = "v[0-9]+"\n', 'prod')
  assert.throws(() => requireTags(prod.validations, [parseTag('dev')!]), {
    message: errors[0].message,
    detail: errors[0].detail,
    code: 'DENIED',
  })
})

// Goal: every prefix that stands for a repository counts, by whole components; sizes and quotas only become
// smaller, immutability only more, and exclusions are those of the narrowest that has a list.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRepositoryName, type RepositoryName } from '../../src/oci/name.ts'
import { parseTag } from '../../src/oci/tag.ts'
import {
  createRepositoryRules,
  type GlobalRules,
  type PrefixRules,
} from '../../src/operation/repository-rules.ts'

const global: GlobalRules = {
  maxManifestSizeBytes: 100,
  maxBlobSizeBytes: 1000,
  immutableTags: false,
  immutableTagsExclusions: ['latest'],
  quota: undefined,
}

function rule(prefix: string, parts: Partial<PrefixRules> = {}): PrefixRules {
  return {
    prefix,
    maxManifestSizeBytes: undefined,
    maxBlobSizeBytes: undefined,
    immutableTags: undefined,
    immutableTagsExclusions: undefined,
    quota: undefined,
    ...parts,
  }
}

function name(text: string): RepositoryName {
  return parseRepositoryName(text)!
}

test('sizes are the smallest of all that hold, in whatever order they are written', () => {
  const rules = createRepositoryRules(global, [
    rule('a/b/c', { maxBlobSizeBytes: 900, maxManifestSizeBytes: 5000 }),
    rule('a', { maxBlobSizeBytes: 500 }),
    rule('a/b', { maxManifestSizeBytes: 50, maxBlobSizeBytes: 700 }),
  ])
  const sizes = (text: string): readonly number[] => {
    const { blobBytesMax, manifestBytesMax } = rules.rulesFor(name(text))
    return [blobBytesMax, manifestBytesMax]
  }
  assert.deepEqual(sizes('a'), [500, 100])
  assert.deepEqual(sizes('a/x/y'), [500, 100])
  assert.deepEqual(sizes('a/b'), [500, 50])
  assert.deepEqual(sizes('a/b/c/d'), [500, 50])
  for (const other of ['ab', 'b', 'x/a', 'a-b/c']) assert.deepEqual(sizes(other), [1000, 100])
})

test('all quotas hold, the broadest first, and those without bounds are none', () => {
  const quota = (maxBytes?: number, maxTags?: number): PrefixRules['quota'] => ({
    maxBytes,
    maxTags,
  })
  const rules = createRepositoryRules({ ...global, quota: quota(9) }, [
    rule('prod/app', { quota: quota(undefined, 3) }),
    rule('prod', { quota: quota(5, 0) }),
    rule('prod/app/x', { quota: quota() }),
    rule('production', { quota: quota(1) }),
  ])
  const all = { prefix: '', bytesMax: 9 }
  const prod = { prefix: 'prod', bytesMax: 5, tagsMax: 0 }
  const app = { prefix: 'prod/app', tagsMax: 3 }
  const production = { prefix: 'production', bytesMax: 1 }
  assert.deepEqual(rules.rulesFor(name('prod/app/x/y')).quotas, [all, prod, app])
  assert.deepEqual(rules.rulesFor(name('prod/other')).quotas, [all, prod])
  assert.deepEqual(rules.rulesFor(name('production/app')).quotas, [all, production])
  assert.deepEqual(rules.rulesFor(name('other')).quotas, [all])
  assert.deepEqual(rules.quotas, [all, prod, app, production])
})

test('a tag is immutable where any prefix says so, but for the exclusions of the narrowest', () => {
  const tags = ['latest', 'v1', 'dev-1', 'dev-1-x']
  const movable = (text: string, rules = createRepositoryRules(global, prefixes)): string =>
    tags.filter((tag) => !rules.rulesFor(name(text)).isImmutable(parseTag(tag)!)).join()
  const prefixes = [
    rule('prod', { immutableTags: true }),
    rule('prod/own', { immutableTagsExclusions: ['dev-[0-9]', 'x'] }),
    rule('prod/own/inner', { immutableTags: false }),
    rule('prod/strict', { immutableTags: false, immutableTagsExclusions: [] }),
    rule('free', { immutableTagsExclusions: ['never-asked'] }),
  ]
  assert.equal(movable('prod/app'), 'latest')
  assert.equal(movable('prod/own'), 'dev-1')
  assert.equal(movable('prod/own/inner/x'), 'dev-1')
  assert.equal(movable('prod/strict'), '')
  assert.equal(movable('production'), tags.join())
  assert.equal(movable('free'), tags.join())
  const everywhere = createRepositoryRules({ ...global, immutableTags: true }, prefixes)
  assert.equal(movable('other', everywhere), 'latest')
  assert.equal(movable('free', everywhere), '')
})

test('a pattern that is none is refused by the name of its key', () => {
  const exclusions = { immutableTagsExclusions: ['fine', '('] }
  assert.throws(
    () => createRepositoryRules(global, [rule('a/b', exclusions)]),
    /^Error: repository\."a\/b"\.immutable_tags_exclusions: "\(": error parsing regexp/,
  )
  assert.throws(
    () => createRepositoryRules({ ...global, ...exclusions }, []),
    /^Error: global\.immutable_tags_exclusions: "\(": /,
  )
})

test('nothing is kept for names that clients think of', () => {
  const rules = createRepositoryRules(global, [rule('a')])
  assert.equal(rules.rulesFor(name('a/b')), rules.rulesFor(name('a/c/d')))
  assert.equal(rules.rulesFor(name('x')), rules.rulesFor(name('y/z')))
})

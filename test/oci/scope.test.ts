// Goal: a scope says what it says, and nothing is read into one that is malformed. Method: tables.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRepositoryName } from '../../src/oci/name.ts'
import { parseScope, parseScopes, scopesMax, scopeText, targetHolds } from '../../src/oci/scope.ts'

test('scopes read back as they are written', () => {
  for (const text of [
    'repository:app:pull',
    'repository:team/app:pull,push',
    'repository:a/b/c:pull,push,delete',
    'registry:catalog:*',
    'registry:metrics:*',
  ]) {
    for (const patterns of ['names', 'patterns'] as const) {
      const scope = parseScope(text, patterns)
      assert.ok(scope, text)
      assert.equal(scopeText(scope), text)
    }
  }
})

test('actions are sorted, each once, unknown ones left out, and * is all', () => {
  for (const [text, expected] of [
    ['repository:a:push,pull', 'repository:a:pull,push'],
    ['repository:a:pull,pull', 'repository:a:pull'],
    ['repository:a:pull,frob', 'repository:a:pull'],
    ['repository:a:*', 'repository:a:pull,push,delete'],
    ['repository(plugin):a:pull', 'repository:a:pull'],
  ] as const) {
    const scope = parseScope(text, 'names')
    assert.equal(scope && scopeText(scope), expected, text)
  }
})

test('what this registry does not know is no scope', () => {
  for (const text of [
    ...['', ':', '::', 'repository', 'repository:a', 'repository::pull', 'repository:a:'],
    ...['repository:a:frob', 'repository:A:pull', 'repository:a/../b:pull', 'repository:a//b:pull'],
    ...['registry:catalog:pull', 'registry:other:*', 'registry:catalog:', 'plugin:a:pull'],
    ...['repository:host:5000/a:pull', 'repository: a:pull', `repository:${'a'.repeat(600)}:pull`],
    ...['repository(:a:pull', 'repository(a b):a:pull', 'REPOSITORY:a:pull'],
  ]) {
    for (const patterns of ['names', 'patterns'] as const) {
      assert.equal(parseScope(text, patterns), undefined, text)
    }
  }
})

test('patterns are for API keys alone, and hold whole components', () => {
  const hold = (text: string, name: string): boolean | undefined => {
    const scope = parseScope(text, 'patterns')
    const repository = parseRepositoryName(name)
    assert.ok(repository)
    return scope?.type === 'repository' ? targetHolds(scope.target, repository) : undefined
  }
  for (const [pattern, name, expected] of [
    ['team/*', 'team/x', true],
    ['team/*', 'team/x/y', true],
    ['team/*', 'team', false],
    ['team/*', 'teamwork/x', false],
    ['team/*', 'a/team/x', false],
    ['team', 'team', true],
    ['team', 'team/x', false],
    ['*', 'anything/at/all', true],
  ] as const) {
    assert.equal(hold(`repository:${pattern}:pull`, name), expected, `${pattern} ${name}`)
    const isName = !pattern.includes('*')
    assert.equal(parseScope(`repository:${pattern}:pull`, 'names') !== undefined, isName)
  }
  for (const pattern of ['team/**', 'te*', '*/app', 'team/*/x', '/*', '**', 'team/']) {
    assert.equal(parseScope(`repository:${pattern}:pull`, 'patterns'), undefined, pattern)
  }
})

test('several scopes come apart at blanks, each once, and too many are refused', () => {
  const texts = ['repository:a:pull repository:b:pull', 'repository:a:pull', '  ', 'odd']
  assert.deepEqual(parseScopes(texts, 'names')?.map(scopeText), [
    ...['repository:a:pull', 'repository:b:pull'],
  ])
  const many = Array.from({ length: 10_000 }, (_, i) => `repository:r${i}:pull`)
  assert.equal(parseScopes([many.join(' ')], 'names'), undefined)
  assert.equal(parseScopes(many.slice(0, scopesMax + 1), 'names'), undefined)
  assert.equal(parseScopes(many.slice(0, scopesMax), 'names')?.length, scopesMax)
})

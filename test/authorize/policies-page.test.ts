// Goal: docs/policies.md is true. Method: load its blocks, ask its recipes, and compare its tables with the
// program's own.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { anonymous, type Identity } from '../../src/authenticate/identity.ts'
import { compilePolicies } from '../../src/authorize/policy/compile.ts'
import type { Subject } from '../../src/authorize/policy/frame.ts'
import { functionNames } from '../../src/authorize/policy/functions.ts'
import { limits } from '../../src/authorize/policy/limits.ts'
import type { PolicyAction } from '../../src/authorize/policy/variables.ts'
import { knownActions, servedActions, variables } from '../../src/authorize/policy/variables.ts'
import { isRecord, type RecordOf } from '../../src/authorize/policy/vocabulary.ts'
import { loadConfig, parseConfig } from '../../src/config/load.ts'
import { act, authorizer, bearer, certified, type PolicyStage, requested, user } from './scene.ts'

const page = readFileSync('docs/policies.md', 'utf8')
const blocks = [...page.matchAll(/```toml\n(.*?)```/gs)].map(([, toml = '']) => toml)

function load(toml: string): PolicyStage {
  const text = `[blob_store.memory]\n[metadata_store.memory]\n${toml}`
  const config = parseConfig([{ file: '/etc/keelson/config.toml', text }])
  const { policies, problems } = compilePolicies(config.global.accessPolicy, config.repositories)
  assert.deepEqual(problems, [])
  assert.ok(policies)
  return authorizer(policies, { onRuleError: () => {} })
}

/** The recipe after the sentence that starts so. */
function recipe(start: string): PolicyStage {
  const at = page.indexOf(start)
  assert.notEqual(at, -1, start)
  const [, toml = ''] = /```toml\n(.*?)```/s.exec(page.slice(at)) ?? []
  return load(toml)
}

test('every block loads', () => {
  assert.ok(blocks.length >= 9)
  for (const toml of blocks) load(toml)
})

test('the example configuration has policies that compile', () => {
  const config = loadConfig(['config.example.toml'])
  assert.deepEqual(compilePolicies(config.global.accessPolicy, config.repositories).problems, [])
})

test('the variables are those of the program, in their order and with their types', () => {
  const typeWords = { timestamp: 'timestamp', string: 'string', int: 'int' }
  const rows = (prefix: string, { fields }: RecordOf<Subject>): readonly string[] =>
    Object.entries(fields).flatMap(([name, field]) => {
      const path = `${prefix}.${name}`
      if (isRecord(field)) return rows(path, field)
      const type =
        field.type === 'list<string>'
          ? 'list of strings'
          : field.type === 'map<string, dyn>'
            ? 'map'
            : typeWords[field.type]
      return [`| \`${path}\` | ${type} | ${field.doc} |`]
    })
  const expected = Object.entries(variables).flatMap(([name, record]) => rows(name, record))
  const [, rest = ''] = page.split('## Variables\n')
  const [section = ''] = rest.split('\n## ')
  assert.deepEqual(
    section.split('\n').filter((line) => /^\| `(request|identity)\./.test(line)),
    expected,
  )
})

test('the actions are those of the program', () => {
  const [, section = ''] = page.split('## Actions\n')
  const [actions = ''] = section.split('\n## ')
  const rows = [...actions.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, name = '']) => name)
  assert.deepEqual(rows, servedActions)
  for (const name of knownActions) assert.ok(actions.includes(`\`${name}\``), name)
})

test('the functions and the bounds are those of the program', () => {
  const [, language = ''] = page.split('## Language\n')
  for (const name of functionNames) assert.match(language, new RegExp(`\`${name}[(\`]`))
  for (const [name, bound] of Object.entries(limits)) {
    assert.ok(page.includes(bound.toLocaleString('en-US')), name)
  }
})

const platform = certified({ organizations: ['Platform'] })
const other = certified({ organizations: ['Other'] })
const spiffe = certified({ sans: { dns: [], uri: ['spiffe://example.com/ci/a'], email: [] } })
const ci = user('runner', 'ci')
const bob = user('bob')
const ops = user('olga', 'ops')

function table(
  start: string,
  rows: readonly (readonly [
    who: Identity,
    kind: PolicyAction,
    repository: string,
    allowed: boolean,
  ])[],
): void {
  test(start, () => {
    const authorize = recipe(start)
    for (const [who, kind, repository, allowed] of rows) {
      const found = authorize.isAllowed(who, act(kind, repository), () => '10.20.0.1')
      assert.equal(found, allowed, `${who.username}: ${kind} ${repository}`)
    }
  })
}

describe('the recipes', () => {
  table('Somebody who has logged in may pull', [
    [anonymous, 'get-manifest', 'a', false],
    [anonymous, 'get-api-version', 'a', false],
    [bob, 'get-api-version', 'a', true],
    [bob, 'get-blob', 'a', true],
    [bob, 'list-catalog', 'a', true],
    [bob, 'put-manifest', 'a', false],
    [ci, 'put-manifest', 'a', true],
    [ci, 'mount-blob', 'a', true],
    [ci, 'delete-manifest', 'a', false],
  ])
  table('Everybody may pull from `public`', [
    [anonymous, 'get-manifest', 'public/a', true],
    [anonymous, 'get-manifest', 'publican/a', false],
    [anonymous, 'put-manifest', 'public/a', false],
    [anonymous, 'list-catalog', 'public/a', false],
    [bob, 'delete-blob', 'a', true],
  ])
  table('Certificates of one organization', [
    [anonymous, 'get-blob', 'prod/a', false],
    [bob, 'get-blob', 'prod/a', false],
    [other, 'get-blob', 'prod/a', true],
    [other, 'put-manifest', 'prod/a', false],
    [other, 'put-manifest', 'dev/a', true],
    [platform, 'put-manifest', 'prod/a', true],
  ])
  table('A workload by its SPIFFE id', [
    [spiffe, 'put-manifest', 'a', true],
    [platform, 'put-manifest', 'a', false],
    [anonymous, 'get-blob', 'a', false],
  ])
  table('Each user has a namespace', [
    [bob, 'put-manifest', 'bob/a', true],
    [bob, 'get-api-version', 'a', true],
    [bob, 'put-manifest', 'bobby/a', false],
    [bob, 'list-catalog', 'a', false],
    [anonymous, 'get-manifest', 'bob/a', false],
    [anonymous, 'get-api-version', 'a', false],
  ])
  table('Nobody deletes in `prod`', [
    [ops, 'put-manifest', 'prod/a', true],
    [ops, 'delete-manifest', 'prod/a', false],
    [ops, 'delete-manifest', 'dev/a', true],
    [bob, 'get-manifest', 'prod/a', false],
  ])
  table('An open registry', [
    [anonymous, 'put-manifest', 'a', true],
    [anonymous, 'delete-manifest', 'a', false],
    [bob, 'delete-blob', 'a', false],
  ])

  test('latest is not moved in prod', () => {
    const authorize = recipe('Nobody deletes in `prod`')
    const push = requested('PUT', '/v2/prod/a/manifests/latest')
    assert.equal(
      authorize.isAllowed(ops, push, () => ''),
      false,
    )
  })

  test('Release tags only', () => {
    const authorize = recipe('Release tags only')
    const releaser = bearer({ role: 'releaser' })
    for (const [who, tag, address, allowed] of [
      [releaser, 'v1.2.3', '10.20.0.1', true],
      [releaser, 'v1.2', '10.20.0.1', false],
      [releaser, 'v1.2.3', '10.21.0.1', false],
      [bearer({ role: 'reader' }), 'v1.2.3', '10.20.0.1', false],
      [bearer({}), 'v1.2.3', '10.20.0.1', false],
      [bob, 'v1.2.3', '10.20.0.1', false],
    ] as const) {
      const push = requested('PUT', `/v2/release/app/manifests/${tag}`)
      assert.equal(
        authorize.isAllowed(who, push, () => address),
        allowed,
        `${tag} ${address}`,
      )
    }
    assert.equal(
      authorize.isAllowed(bob, act('get-blob', 'release/app'), () => ''),
      true,
    )
  })
})

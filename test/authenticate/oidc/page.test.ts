// Goal: the recipes of docs/oidc.md let in whom they say, and nobody else. Method: load each block, make
// identities of claims as each provider writes them, and ask the rules.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { anonymous, type Identity } from '../../../src/authenticate/identity.ts'
import { claimsProblem, identityOf } from '../../../src/authenticate/oidc/claims.ts'
import type { OidcConfig } from '../../../src/authenticate/oidc/contract.ts'
import { compilePolicies } from '../../../src/authorize/policy/compile.ts'
import type { PolicyAction } from '../../../src/authorize/policy/variables.ts'
import { act, authorizer, clientIp, compiled, user } from '../../authorize/scene.ts'
import { parseIn, store } from '../../config/parse.ts'

type Claims = Readonly<Record<string, unknown>>

const nowMs = Date.parse('2026-01-01T00:00:00Z')
const page = readFileSync('docs/oidc.md', 'utf8')
const env = { CREDENTIALS_DIRECTORY: credentials('keycloak-secret') }
const recipes = [...page.matchAll(/^```toml\n(.*?)^```/gms)].map(([, toml = '']) => recipe(toml))

/** A folder as systemd makes it, with a credential of each name. */
function credentials(...names: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-oidc-page-'))
  after(() => rmSync(folder, { recursive: true }))
  for (const name of names) writeFileSync(join(folder, name), 'hush', { mode: 0o600 })
  return folder
}

interface Recipe {
  readonly provider: OidcConfig
  identity(claims: Claims): Identity
  can(identity: Identity, action: PolicyAction, repository?: string): boolean
}

function recipe(toml: string): Recipe {
  const { auth, global, repositories } = parseIn(env, store, toml)
  const [provider] = auth.oidc
  assert.ok(provider)
  assert.deepEqual(compilePolicies(global.accessPolicy, repositories).problems, [])
  const authorize = authorizer(compiled(global.accessPolicy))
  return {
    provider,
    identity: (claims) => {
      const { issuer: iss, requiredAudience: aud } = provider
      const all = { iss, aud, exp: nowMs / 1000 + 300, ...claims }
      assert.equal(claimsProblem(all, provider, nowMs), undefined)
      return identityOf(all, provider)
    },
    can: (identity, action, repository) =>
      authorize.isAllowed(identity, act(action, repository), clientIp),
  }
}

function recipeAt(index: number, name: string): Recipe {
  const found = recipes[index]
  assert.equal(found?.provider.name, name)
  return found
}

const pushes = ['start-upload', 'update-upload', 'complete-upload', 'put-manifest'] as const
const pulls = ['get-manifest', 'get-blob', 'list-tags', 'get-referrers'] as const

function allowed(
  { can }: Recipe,
  identity: Identity,
  actions: readonly PolicyAction[],
  repository: string,
): boolean {
  const answers = new Set(actions.map((action) => can(identity, action, repository)))
  assert.equal(answers.size, 1, `the actions ${actions.join()} differ`)
  return answers.has(true)
}

describe('a recipe of docs/oidc.md', () => {
  test('for each provider there is one', () => {
    const names = recipes.map(({ provider }) => provider.name)
    assert.deepEqual(names, [
      ...['github', 'gitlab', 'cluster', 'cluster', 'keycloak'],
      // Of the sections on shared issuers and on introspection.
      ...['builds', 'keycloak'],
    ])
  })

  test('lets in neither the anonymous nor users with a password', () => {
    for (const one of recipes) {
      for (const identity of [anonymous, user('ci', 'developers', 'release-managers')]) {
        assert.equal(allowed(one, identity, [...pulls, ...pushes], 'acme/app'), false)
      }
      assert.equal(one.can(anonymous, 'get-api-version'), false)
    }
  })

  test('of GitHub: the organisation pulls, and main pushes its own', () => {
    const github = recipeAt(0, 'github')
    const claims = {
      sub: 'repo:acme/app:ref:refs/heads/main',
      repository: 'acme/app',
      repository_owner: 'acme',
      repository_owner_id: '1234567',
      ref: 'refs/heads/main',
      actor: 'ada',
    }
    const main = github.identity(claims)
    assert.equal(main.username, 'github:acme/app')
    assert.ok(github.can(main, 'get-api-version'))
    assert.ok(allowed(github, main, pulls, 'other/image'))
    assert.ok(allowed(github, main, pushes, 'acme/app'))
    assert.ok(allowed(github, main, pushes, 'acme/app/cache'))
    assert.ok(!allowed(github, main, pushes, 'acme/application'))
    const branch = github.identity({ ...claims, ref: 'refs/pull/1/merge' })
    assert.ok(allowed(github, branch, pulls, 'acme/app'))
    assert.ok(!allowed(github, branch, pushes, 'acme/app'))
    const stranger = github.identity({ ...claims, repository_owner_id: '666' })
    assert.ok(!allowed(github, stranger, [...pulls, ...pushes], 'acme/app'))
  })

  test('of GitLab: jobs pull, and protected branches push their own', () => {
    const gitlab = recipeAt(1, 'gitlab')
    const claims = {
      sub: 'project_path:acme/tools/app:ref_type:branch:ref:main',
      project_path: 'acme/tools/app',
      namespace_id: '72',
      ref: 'main',
      ref_protected: 'true',
    }
    const main = gitlab.identity(claims)
    assert.equal(main.username, 'gitlab:acme/tools/app')
    assert.ok(allowed(gitlab, main, pushes, 'acme/tools/app/web'))
    assert.ok(!allowed(gitlab, main, pushes, 'acme/tools'))
    const branch = gitlab.identity({ ...claims, ref_protected: 'false' })
    assert.ok(allowed(gitlab, branch, pulls, 'acme/tools/app'))
    assert.ok(!allowed(gitlab, branch, pushes, 'acme/tools/app'))
  })

  test('of Kubernetes: one account builds, the others pull what is of their namespace', () => {
    const cluster = recipeAt(2, 'cluster')
    const account = (namespace: string, name: string): Claims => ({
      sub: `system:serviceaccount:${namespace}:${name}`,
      'kubernetes.io': { namespace, serviceaccount: { name, uid: 'a' } },
    })
    const builder = cluster.identity(account('ci', 'builder'))
    assert.ok(allowed(cluster, builder, [...pulls, ...pushes], 'shop/web'))
    const pod = cluster.identity(account('shop', 'default'))
    assert.ok(cluster.can(pod, 'get-api-version'))
    assert.ok(allowed(cluster, pod, pulls, 'shop/web'))
    assert.ok(!allowed(cluster, pod, pulls, 'shopping/web'))
    assert.ok(!allowed(cluster, pod, pushes, 'shop/web'))
    const outside = recipeAt(3, 'cluster')
    assert.ok(allowed(outside, outside.identity(account('ci', 'builder')), pushes, 'shop/web'))
    assert.ok(!allowed(outside, outside.identity(account('shop', 'default')), pulls, 'shop/web'))
  })

  test('of Keycloak: groups say who pulls and who pushes', () => {
    const keycloak = recipeAt(4, 'keycloak')
    const claims = { sub: '2f0c', preferred_username: 'ada', groups: ['developers'] }
    const developer = keycloak.identity(claims)
    assert.equal(developer.username, 'keycloak:ada')
    assert.ok(allowed(keycloak, developer, pulls, 'acme/app'))
    assert.ok(!allowed(keycloak, developer, pushes, 'acme/app'))
    const manager = keycloak.identity({ ...claims, groups: ['release-managers'] })
    assert.ok(allowed(keycloak, manager, [...pulls, ...pushes], 'acme/app'))
    const guest = keycloak.identity({ ...claims, groups: undefined })
    assert.ok(!allowed(keycloak, guest, pulls, 'acme/app'))
  })

  test('of a shared issuer: each table has its own tokens', () => {
    const builds = recipeAt(5, 'builds')
    const job = builds.identity({ sub: '1', azp: 'ci' })
    assert.equal(job.username, 'builds:ci')
    assert.ok(allowed(builds, job, [...pulls, ...pushes], 'acme/app'))
    const other = builds.identity({ sub: '2', azp: 'other', groups: ['developers'] })
    assert.ok(!allowed(builds, other, [...pulls, ...pushes], 'acme/app'))
  })

  test('with introspection says how long an answer holds, and whom to ask as', () => {
    const { provider } = recipeAt(6, 'keycloak')
    assert.equal(provider.introspectionTtlMs, 60_000)
    assert.equal(provider.introspectionClientSecret?.reveal(), 'hush')
  })
})

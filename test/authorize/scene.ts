// Identities, actions and policies for the tests of authorization.

import assert from 'node:assert/strict'
import { anonymous, type Identity } from '../../src/authenticate/identity.ts'
import { type AuthorizeOptions, createAuthorize } from '../../src/authorize/authorize.ts'
import type { Asked } from '../../src/authorize/guard.ts'
import { checkRule } from '../../src/authorize/policy/check.ts'
import {
  type CompiledPolicies,
  type CompiledRule,
  compilePolicies,
} from '../../src/authorize/policy/compile.ts'
import { evaluate, type RuleStep } from '../../src/authorize/policy/decide.ts'
import { Frame, type Subject } from '../../src/authorize/policy/frame.ts'
import type { PolicyAction } from '../../src/authorize/policy/variables.ts'
import type { AccessPolicy } from '../../src/config/schema.ts'
import type { ClientCertificate } from '../../src/http/client-certificate.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'
import type { Action } from '../../src/route/action.ts'
import { route } from '../../src/route/route.ts'

export const digest: string = `sha256:${'a'.repeat(64)}`
const session = '123e4567-e89b-42d3-a456-426614174000'
export const clientIp = (): string => '192.0.2.7'

/** A user whom a password identified. */
export function user(username: string, ...groups: readonly string[]): Identity {
  return { ...anonymous, id: `id-${username}`, username, groups, authMethod: 'basic' }
}

/** A client that showed a certificate. */
export function certified(
  subject: Partial<ClientCertificate>,
  base: Identity = anonymous,
): Identity {
  const certificate: ClientCertificate = {
    commonNames: [],
    organizations: [],
    sans: { dns: [], uri: [], email: [] },
    serial: '1F',
    fingerprintSha256: 'f'.repeat(64),
    notAfterMs: Date.parse('2030-01-01T00:00:00Z'),
    ...subject,
  }
  return { ...base, certificate, authMethod: base === anonymous ? 'mtls' : base.authMethod }
}

/** A token's bearer. */
export function bearer(claims: Readonly<Record<string, unknown>>): Identity {
  return { ...user('token'), oidc: { providerName: 'ci', claims } }
}

/** The action of a request, by the router itself. */
export function requested(method: string, target: string): Action {
  const [path = '', query = ''] = target.split('?')
  return route({ method, path, query })
}

const requests: Readonly<Record<PolicyAction, (repository: string) => Action>> = {
  'get-api-version': () => requested('GET', '/v2/'),
  'list-catalog': () => requested('GET', '/v2/_catalog?n=10&last=b'),
  'list-tags': (name) => requested('GET', `/v2/${name}/tags/list`),
  'get-referrers': (name) => requested('GET', `/v2/${name}/referrers/${digest}?artifactType=a/b`),
  'get-manifest': (name) => requested('GET', `/v2/${name}/manifests/v1`),
  'put-manifest': (name) => requested('PUT', `/v2/${name}/manifests/v1`),
  'delete-manifest': (name) => requested('DELETE', `/v2/${name}/manifests/v1`),
  'get-blob': (name) => requested('GET', `/v2/${name}/blobs/${digest}`),
  'delete-blob': (name) => requested('DELETE', `/v2/${name}/blobs/${digest}`),
  'start-upload': (name) => requested('POST', `/v2/${name}/blobs/uploads/`),
  'mount-blob': (name) => requested('POST', `/v2/${name}/blobs/uploads/?mount=${digest}&from=base`),
  'get-upload': (name) => requested('GET', `/v2/${name}/blobs/uploads/${session}`),
  'update-upload': (name) => requested('PATCH', `/v2/${name}/blobs/uploads/${session}`),
  'complete-upload': (name) =>
    requested('PUT', `/v2/${name}/blobs/uploads/${session}?digest=${digest}`),
  'cancel-upload': (name) => requested('DELETE', `/v2/${name}/blobs/uploads/${session}`),
  metrics: () => requested('GET', '/metrics'),
  healthz: () => requested('GET', '/healthz'),
  readyz: () => requested('GET', '/readyz'),
}

export const actionKinds: readonly PolicyAction[] = Object.keys(requests) as PolicyAction[]

/** A request of which only the client's address matters. */
export function from(address: () => string): Asked {
  return {
    ...{ method: 'GET', path: '/v2/', query: '', isSecure: false },
    header: () => '',
    clientIp: address,
  }
}

export function act(kind: PolicyAction, repository = 'team/app'): Action {
  assert.ok(parseRepositoryName(repository))
  return requests[kind](repository)
}

/** A policy as the configuration has it; `rules[0]` stands in line 1. */
export function policy(
  rules: readonly string[],
  decision: AccessPolicy['default'] = 'deny',
): AccessPolicy {
  const placed = rules.map((text, index) => {
    return { text, place: { file: 'config.toml', line: index + 1 } }
  })
  return { default: decision, rules: placed }
}

/** Compiled policies; they must have no problems. */
export function compiled(
  global: AccessPolicy | undefined,
  repositories: Readonly<Record<string, AccessPolicy>> = {},
): CompiledPolicies {
  const { policies, problems } = compilePolicies(global, repositoryList(repositories))
  assert.deepEqual(problems, [])
  assert.ok(policies)
  return policies
}

export function repositoryList(
  repositories: Readonly<Record<string, AccessPolicy>>,
): readonly { readonly prefix: string; readonly accessPolicy: AccessPolicy }[] {
  return Object.entries(repositories).map(([prefix, accessPolicy]) => ({ prefix, accessPolicy }))
}

/** The stage where no guard is asked, so that it answers at once. */
export interface PolicyStage {
  (identity: Identity, action: Action, address: () => string): void
  isAllowed(identity: Identity, action: Action, address: () => string): boolean
}

/** The stage, with what it reports thrown away unless the test asks for it. */
export function authorizer(
  policies: CompiledPolicies,
  options: Partial<AuthorizeOptions> = {},
): PolicyStage {
  const authorize = createAuthorize(policies, {
    onRuleError: () => {},
    randomUuid: () => 'decision-1',
    ...options,
  })
  return Object.assign(
    (identity: Identity, action: Action, address: () => string) => {
      assert.equal(authorize(identity, action, from(address)), undefined)
    },
    {
      isAllowed(identity: Identity, action: Action, address: () => string) {
        const answer = authorize.isAllowed(identity, action, from(address))
        assert.equal(typeof answer, 'boolean')
        return answer === true
      },
    },
  )
}

/** One rule alone. */
export function compiledRule(text: string): CompiledRule {
  return { text, place: { file: 'config.toml', line: 1 }, ...checkRule(text) }
}

/** What one rule comes to for one request, and the work that it took. */
export function runRule(
  text: string,
  subject: Partial<Subject> = {},
): RuleStep & { readonly work: number } {
  const frame = new Frame({
    identity: user('alice', 'dev', 'ops'),
    action: act('get-manifest'),
    clientIp,
    ...subject,
  })
  const step = evaluate(compiledRule(text), frame)
  return { ...step, work: frame.work }
}

// Goal: an OPA only narrows: one more never allows what was denied, and what it allows it has said to.
// Method: random policies × identities × actions × answers, with the OPA and without.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { anonymous } from '../../../src/authenticate/identity.ts'
import { type Authorize, createAuthorize } from '../../../src/authorize/authorize.ts'
import { createGuards } from '../../../src/authorize/guards.ts'
import { createOpa } from '../../../src/authorize/opa/opa.ts'
import { OciError } from '../../../src/oci/error.ts'
import type { CallResult } from '../../../src/outbound/contract.ts'
import { GuardCounts } from '../../../src/telemetry/guard-counts.ts'
import { act, actionKinds, bearer, certified, compiled, from, policy, user } from '../scene.ts'

const identities = [
  anonymous,
  user('alice', 'dev'),
  certified({ organizations: ['Infrastructure'] }),
  bearer({ role: 'admin' }),
]
const rules = [
  'true',
  'true',
  'false',
  'identity.username != null',
  "request.action == 'get-manifest'",
  "identity.oidc.claims.role == 'admin'",
  "identity.certificate.organizations.contains('Infrastructure')",
]

const anyPolicy = fc
  .record({
    rules: fc.array(fc.constantFrom(...rules), { maxLength: 2 }),
    decision: fc.constantFrom('allow', 'deny'),
  })
  .map(({ rules: texts, decision }) => policy(texts, decision as 'allow' | 'deny'))

const sensible = ['true', '{"allow":true}', '{"allow":true,"reason":"r"}', 'false', '"true"']
const anyBody = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...sensible).map((result) => `{"result":${result}}`) },
  fc.json().map((json) => `{"result":${json}}`),
  fc.json(),
  fc.string(),
)
const anyStatus = fc.constantFrom(...Array.from({ length: 12 }, () => 200), 201, 302, 403, 500)
const problems = ['timeout', 'transport', 'tls', 'busy', 'open', 'too-long'] as const
const answered = fc.record({ status: anyStatus, text: anyBody }).map(({ status, text }) => {
  return { kind: 'answer', status, headers: {}, body: Buffer.from(text) } as const
})
const lost = fc.constantFrom(...problems).map((problem) => {
  return { kind: 'failed', problem, detail: 'x' } as const
})
const anyAnswer: fc.Arbitrary<CallResult> = fc.oneof({ weight: 5, arbitrary: answered }, lost)

/** What it says in so many words. */
function saysYes(answer: CallResult): boolean {
  if (answer.kind !== 'answer' || answer.status !== 200) return false
  try {
    const { result } = JSON.parse(answer.body.toString()) as { result?: { allow?: unknown } }
    return (result as unknown) === true || result?.allow === true
  } catch {
    return false
  }
}

async function isLetIn(authorize: Authorize, ...asked: Parameters<Authorize>): Promise<boolean> {
  const agrees = await authorize.isAllowed(...asked)
  const passes = await Promise.resolve()
    .then(() => authorize(...asked))
    .then(
      () => true,
      (error: unknown) => {
        assert.ok(error instanceof OciError, String(error))
        return false
      },
    )
  assert.equal(agrees, passes)
  return passes
}

test('an OPA never turns a denial into a permission, globally or for a repository', async () => {
  let allowed = 0
  const check = fc.asyncProperty(
    ...[fc.option(anyPolicy, { nil: undefined }), fc.option(anyPolicy, { nil: undefined })],
    ...[fc.constantFrom(...identities), fc.constantFrom(...actionKinds), anyAnswer],
    fc.constantFrom(0, 60_000),
    fc.boolean(),
    async (global, repository, identity, kind, answer, cacheTtlMs, isGlobal) => {
      const policies = compiled(global, repository && { team: repository })
      const opa = createOpa({
        ...{ name: 'x', path: '/v1/data/x', document: 'x', cacheTtlMs, elapsed: () => 0 },
        caller: { call: async () => answer },
        counts: new GuardCounts('opa'),
      })
      const guards = createGuards({
        global: isGlobal ? { opa: 'x' } : {},
        repositories: isGlobal ? [] : [{ prefix: 'team', opa: 'x' }],
        ...{ webhooks: new Map(), opas: new Map([['x', opa]]) },
      })
      assert.ok(guards)
      const options = { onRuleError: () => {}, randomUuid: () => 'id' }
      const bare = createAuthorize(policies, options)
      const guarded = createAuthorize(policies, { ...options, guards })
      const action = act(kind)
      const asked = from(() => '192.0.2.7')
      const isGuarded = guards.guardsFor(action).length > 0
      const isAllowed = await isLetIn(bare, identity, action, asked)
      // Twice, so that the second may be a remembered one.
      for (let i = 0; i < 2; i++) {
        const isStill = await isLetIn(guarded, identity, action, asked)
        if (isStill) assert.ok(isAllowed, 'a denial became a permission')
        if (isStill && isGuarded) assert.ok(saysYes(answer), 'allowed without a word')
        if (isAllowed && !isGuarded) assert.ok(isStill)
        if (isStill && isGuarded) allowed += 1
      }
    },
  )
  await fc.assert(check, { numRuns: 2000 })
  // Against a test that shows nothing; how many there are is a matter of chance.
  assert.ok(allowed > 40, `only ${allowed} were allowed, so that little was shown`)
})

// Goal: every 401 and 403 has an id, and the id leads to its reason; nothing else is touched. Method:
// refusals of each kind, and what the audit log is told of them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Refusal } from '../../src/audit/decision-facts.ts'
import { TokenRefusal } from '../../src/authenticate/oidc/contract.ts'
import { RegistryTokenRefusal } from '../../src/authenticate/token/contract.ts'
import { scopeRefusal } from '../../src/authenticate/token/scope.ts'
import type { Asked } from '../../src/authorize/guard.ts'
import { OciError } from '../../src/oci/error.ts'
import { tracedRefusal } from '../../src/server/traced-refusal.ts'
import { act, from, user } from '../authorize/scene.ts'

const identity = user('alice')
const action = act('put-manifest')
const bare = from(() => '192.0.2.7')
const asked: Asked = {
  ...bare,
  header: (name: string) => (name === 'authorization' ? 'Basic YTpi' : ''),
}
const request = { action, identity, asked }

function traced(error: OciError, parts: Partial<typeof request> = {}) {
  const told: Refusal[] = []
  const refusal = (refused: Refusal): string => {
    told.push(refused)
    return 'id-1'
  }
  return { answer: tracedRefusal(error, { ...request, ...parts }, { refusal }), told }
}

for (const [name, error, reason, message] of [
  ['a wrong password', new OciError('UNAUTHORIZED'), 'wrong-credentials', null],
  [
    'an ended token',
    new OciError('UNAUTHORIZED', { cause: new RegistryTokenRefusal('expired') }),
    'expired',
    null,
  ],
  [
    "a provider's token",
    new OciError('UNAUTHORIZED', { cause: new TokenRefusal('expired', 'ci') }),
    'expired',
    null,
  ],
  [
    'a scope',
    scopeRefusal({ ...identity, authMethod: 'basic' }, action),
    'insufficient-scope',
    null,
  ],
  [
    'the scope of an API key',
    scopeRefusal({ ...identity, authMethod: 'api-key' }, action),
    'denied',
    'the API key has no scope for this',
  ],
  [
    'a quota',
    new OciError('DENIED', { message: 'the quota is used up' }),
    'denied',
    'the quota is used up',
  ],
] as const) {
  test(`${name} is told as ${reason}, and has an id`, () => {
    const { answer, told } = traced(error)
    assert.deepEqual(told, [{ ...request, reason, message }])
    assert.deepEqual(answer.detail, { action: 'put-manifest', decisionId: 'id-1' })
    const { code, status, message: words, headers, cause } = answer
    assert.deepEqual(
      [code, status, words, headers, cause],
      [error.code, error.status, error.message, error.headers, error.cause],
    )
    // One refusal may be the answer to many requests.
    assert.notEqual(answer, error)
  })
}

test('who shows nothing is told apart', () => {
  const { told } = traced(new OciError('UNAUTHORIZED'), { asked: bare })
  assert.equal(told[0]?.reason, 'no-credentials')
})

test('details of other kinds stay', () => {
  const list = traced(new OciError('DENIED', { detail: ['a'] }), {})
  assert.deepEqual(list.answer.detail, {
    ...{ action: 'put-manifest', detail: ['a'], decisionId: 'id-1' },
  })
  const more = traced(new OciError('DENIED', { detail: { quota: 'a' } }))
  assert.deepEqual(more.answer.detail, {
    ...{ action: 'put-manifest', quota: 'a', decisionId: 'id-1' },
  })
})

test('what has an id, and what is no refusal, stays as it is', () => {
  for (const error of [
    new OciError('DENIED', { detail: { decisionId: 'id-0' } }),
    new OciError('MANIFEST_UNKNOWN'),
    new OciError('TOOMANYREQUESTS'),
    new OciError('UNAVAILABLE'),
  ]) {
    const { answer, told } = traced(error)
    assert.equal(answer, error)
    assert.deepEqual(told, [])
  }
})

test('what cannot be recorded is answered 503', () => {
  const unavailable = new OciError('UNAVAILABLE')
  const refusal = (): string => {
    throw unavailable
  }
  assert.equal(tracedRefusal(new OciError('DENIED'), request, { refusal }), unavailable)
})

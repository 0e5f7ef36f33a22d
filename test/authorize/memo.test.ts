// Goal: a decision is made once for the same question, and never outlives what it depends on. Method:
// count the evaluations of a rule that always fails and so reports each of them.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  act,
  authorizer,
  clientIp,
  compiled,
  digest,
  type PolicyStage,
  policy,
  requested,
  user,
} from './scene.ts'

interface Counted {
  readonly authorize: PolicyStage
  evaluations: number
}

function counted(...rules: readonly string[]): Counted {
  const found: Counted = {
    authorize: authorizer(compiled(policy(['identity.oidc.claims.a == 1', ...rules, 'true'])), {
      onRuleError: () => {
        found.evaluations += 1
      },
    }),
    evaluations: 0,
  }
  return found
}

const alice = user('alice')

describe('what is remembered', () => {
  test('rules that read the repository at most: one decision for each action of it', () => {
    const found = counted("request.repository == 'x'")
    for (let round = 0; round < 3; round += 1) {
      for (const target of ['/v2/a/manifests/v1', '/v2/a/manifests/v2', '/v2/b/manifests/v1']) {
        found.authorize(alice, requested('GET', target), clientIp)
      }
      found.authorize(alice, requested('PUT', '/v2/a/manifests/v1'), clientIp)
    }
    assert.equal(found.evaluations, 3)
  })

  test('rules that read more: one decision for each action object', () => {
    const found = counted("request.reference == 'x'")
    const [one, other] = [act('get-manifest'), act('get-manifest')]
    for (let round = 0; round < 3; round += 1) {
      found.authorize(alice, one, clientIp)
      found.authorize(alice, other, clientIp)
    }
    assert.equal(found.evaluations, 2)
  })

  test('rules that read more, for an action that is made anew for each request: nothing', () => {
    const found = counted("request.tags.contains('x')")
    const push = act('put-manifest')
    for (let round = 0; round < 3; round += 1) found.authorize(alice, push, clientIp)
    assert.equal(found.evaluations, 3)
  })

  test('rules that read more, for a question beside that of the request: nothing', () => {
    const found = counted("request.reference == 'x'")
    const pull = act('get-manifest')
    for (let round = 0; round < 3; round += 1) found.authorize.isAllowed(alice, pull, clientIp)
    assert.equal(found.evaluations, 3)
    found.authorize(alice, pull, clientIp)
    found.authorize.isAllowed(alice, pull, clientIp)
    assert.equal(found.evaluations, 4)
  })

  test('rules that read the address of the client: nothing', () => {
    const found = counted("identity.client_ip == 'x'")
    const pull = act('get-manifest')
    for (let round = 0; round < 3; round += 1) found.authorize(alice, pull, clientIp)
    assert.equal(found.evaluations, 3)
  })

  test('rules that read more, for long texts of a client: nothing', () => {
    const found = counted("request.last == 'x'")
    const text = 'x'.repeat(300)
    for (const target of [`/v2/_catalog?last=${text}`, `/v2/a/tags/list?last=${text}`]) {
      const list = requested('GET', target)
      for (let round = 0; round < 3; round += 1) found.authorize(alice, list, clientIp)
    }
    const referrers = requested('GET', `/v2/a/referrers/${digest}?last=b&artifactType=${text}`)
    for (let round = 0; round < 3; round += 1) found.authorize(alice, referrers, clientIp)
    assert.equal(found.evaluations, 9)
  })

  test('identities are told apart by object, not by name', () => {
    const found = counted()
    const pull = act('get-manifest')
    for (const identity of [alice, user('alice'), alice]) found.authorize(identity, pull, clientIp)
    assert.equal(found.evaluations, 2)
  })

  test('only the policies that were asked count: another repository’s may read the address', () => {
    let asked = 0
    const address = (): string => {
      asked += 1
      return '::1'
    }
    const authorize = authorizer(
      compiled(policy(['true']), { guarded: policy(["identity.client_ip == '::1'"]) }),
    )
    for (let round = 0; round < 3; round += 1) {
      authorize(alice, act('get-blob', 'free/app'), address)
      authorize(alice, act('get-blob', 'guarded/app'), address)
    }
    assert.equal(asked, 3)
  })

  test('it is bounded: after 16,384 decisions it begins anew', () => {
    const found = counted()
    for (let index = 0; index < 16_384; index += 1) {
      found.authorize(alice, act('list-tags', `a/r${index}`), clientIp)
    }
    found.authorize(alice, act('list-tags', 'a/r0'), clientIp)
    assert.equal(found.evaluations, 16_384)
    found.authorize(alice, act('list-tags', 'a/new'), clientIp)
    found.authorize(alice, act('list-tags', 'a/r0'), clientIp)
    assert.equal(found.evaluations, 16_386)
  })
})

describe('the open policy', () => {
  test('it evaluates nothing and asks for nothing', () => {
    const authorize = authorizer(compiled(policy([], 'allow')))
    const never = (): string => assert.fail('asked')
    authorize(alice, act('delete-blob'), never)
    assert.equal(authorize.isAllowed(alice, act('delete-blob'), never), true)
  })
})

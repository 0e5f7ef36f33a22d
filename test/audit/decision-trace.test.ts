// Goal: the operator finds every step behind a decision id, of the last denials and within bounds.
// Method: decisions added to a trace, and what it answers.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type DecisionFacts, factsOf } from '../../src/audit/decision-facts.ts'
import { DecisionTrace } from '../../src/audit/decision-trace.ts'
import { anonymous, type Identity } from '../../src/authenticate/identity.ts'
import type { DecisionRecord } from '../../src/authorize/authorize.ts'
import { act, authorizer, compiled, policy, user } from '../authorize/scene.ts'

const alice = user('alice', 'dev')

function idOf(n: number): string {
  return `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`
}

function denialOf(identity: Identity, id: string): DecisionFacts {
  const records: DecisionRecord[] = []
  const rules = ["identity.oidc.claims.a == 'x'", "identity.username == 'root'"]
  const narrow = policy(["request.action == 'put-manifest'"], 'allow')
  const authorize = authorizer(compiled(policy([...rules, 'true', 'false']), { team: narrow }), {
    onDecision: (record) => records.push(record),
    randomUuid: () => id,
  })
  assert.throws(() => authorize(identity, act('put-manifest'), () => '192.0.2.7'))
  const [record] = records
  assert.ok(record)
  return factsOf(record, Date.UTC(2026, 0, 2))
}

describe('the trace', () => {
  test('has every rule with what it came to, and the one that decided', () => {
    const trace = new DecisionTrace()
    trace.add(denialOf(alice, idOf(1)))
    const { status, body } = trace.answer(idOf(1))
    assert.equal(status, 200)
    // As the admin interface sends it.
    const { policies, ...rest } = JSON.parse(JSON.stringify(body)) as {
      policies: readonly { policy: string; rules: readonly Record<string, unknown>[] }[]
    }
    const error = policies[0]?.rules[0]?.['error']
    assert.equal(typeof error, 'string')
    const place = { file: 'config.toml', error: null }
    const rule = (line: number, text: string, outcome: string, decides = false): object => {
      return { ...place, line, text, outcome, decides }
    }
    assert.deepEqual(policies, [
      {
        ...{ policy: 'global', default: 'deny', allowed: true },
        rules: [
          { ...rule(1, "identity.oidc.claims.a == 'x'", 'error'), error },
          rule(2, "identity.username == 'root'", 'false'),
          rule(3, 'true', 'true', true),
          rule(4, 'false', 'unreached'),
        ],
      },
      {
        ...{ policy: 'team', default: 'allow', allowed: false },
        rules: [rule(1, "request.action == 'put-manifest'", 'true', true)],
      },
    ])
    assert.deepEqual(rest, {
      ...{ decision_id: idOf(1), time: '2026-01-02T00:00:00.000Z', allowed: false },
      ...{ action: 'put-manifest', repository: 'team/app', reference: 'v1', tags: ['v1'] },
      identity: {
        ...{ id: 'id-alice', username: 'alice', groups: ['dev'], auth_method: 'basic' },
        ...{ token_id: null, certificate: null, oidc_provider: null },
      },
      ...{ client_ip: '192.0.2.7', method: 'GET', path: '/v2/', user_agent: '' },
      ...{ guards: [], reason: null, message: null },
    })
  })

  test('says what it does not know', () => {
    const trace = new DecisionTrace()
    assert.equal(trace.answer(idOf(1)).status, 404)
    assert.match(JSON.stringify(trace.answer(idOf(1)).body), /last 4,096 denials/)
    for (const odd of [null, '', 'abc', `${idOf(1)}0`, '../x']) {
      assert.equal(trace.answer(odd).status, 400, String(odd))
    }
  })

  test('keeps the last 4,096, and who shows nothing pushes nobody else out', () => {
    const trace = new DecisionTrace()
    const known = denialOf(alice, idOf(0))
    const bare = denialOf(anonymous, idOf(0))
    const knows = (n: number): boolean => trace.answer(idOf(n)).status === 200
    for (let n = 0; n < 4_097; n += 1) trace.add({ ...known, decisionId: idOf(n) })
    assert.deepEqual([knows(0), knows(1), knows(4_096)], [false, true, true])
    for (let n = 10_000; n < 15_000; n += 1) trace.add({ ...bare, decisionId: idOf(n) })
    assert.ok(knows(1))
    assert.deepEqual([knows(13_975), knows(13_976), knows(14_999)], [false, true, true])
  })

  test('keeps fewer where they are long', () => {
    const trace = new DecisionTrace()
    const facts = { ...denialOf(alice, idOf(0)), path: 'x'.repeat(64 * 1024) }
    for (let n = 0; n < 1_000; n += 1) trace.add({ ...facts, decisionId: idOf(n) })
    const kept = Array.from({ length: 1_000 }, (_, n) => trace.answer(idOf(n)).status === 200)
    const count = kept.filter(Boolean).length
    assert.ok(count > 100 && count < 16 * 16, String(count))
    assert.ok(kept.at(-1))
  })
})

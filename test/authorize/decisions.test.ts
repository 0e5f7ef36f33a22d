// Goal: who is let in is what the policies say, and whatever is missing or goes wrong lets nobody in.
// Method: tables of policies × requests, and properties over random policies.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { anonymous, type Identity } from '../../src/authenticate/identity.ts'
import type { DecisionRecord } from '../../src/authorize/authorize.ts'
import { OciError } from '../../src/oci/error.ts'
import {
  act,
  actionKinds,
  authorizer,
  bearer,
  certified,
  clientIp,
  compiled,
  policy,
  user,
} from './scene.ts'

const alice = user('alice', 'dev')

function isAllowed(
  global: ReturnType<typeof policy> | undefined,
  repositories: Readonly<Record<string, ReturnType<typeof policy>>> = {},
  { identity = alice, repository = 'team/app' }: { identity?: Identity; repository?: string } = {},
): boolean {
  const authorize = authorizer(compiled(global, repositories))
  return authorize.isAllowed(identity, act('get-manifest', repository), clientIp)
}

const failing = "identity.oidc.claims.role == 'x'"

describe('one policy', () => {
  for (const [decision, rules, expected] of [
    ['deny', [], false],
    ['deny', ['true'], true],
    ['deny', ['false'], false],
    ['deny', ['false', 'true'], true],
    ['deny', ['true', 'false'], true],
    ['deny', [failing], false],
    ['deny', [failing, 'true'], true],
    ['deny', [failing, 'false'], false],
    ['allow', [], true],
    ['allow', ['true'], false],
    ['allow', ['false'], true],
    ['allow', ['false', 'true'], false],
    ['allow', ['true', 'false'], false],
    ['allow', [failing], false],
    ['allow', [failing, 'false'], false],
    ['allow', ['false', failing], false],
  ] as const) {
    test(`default ${decision}, rules ${JSON.stringify(rules)}: ${expected ? 'allowed' : 'denied'}`, () => {
      assert.equal(isAllowed(policy(rules, decision)), expected)
    })
  }

  test('none denies everything to everybody', () => {
    const authorize = authorizer(compiled(undefined, { team: policy([], 'allow') }))
    for (const kind of actionKinds) {
      for (const identity of [anonymous, alice, certified({}), bearer({})]) {
        assert.equal(authorize.isAllowed(identity, act(kind), clientIp), false, kind)
      }
    }
  })
})

describe('repository policies', () => {
  const open = policy([], 'allow')
  const shut = policy([], 'deny')

  for (const [repository, prefixes, expected] of [
    ['prod', ['prod'], false],
    ['prod/app', ['prod'], false],
    ['prod/a/b/c', ['prod/a'], false],
    ['production', ['prod'], true],
    ['production/app', ['prod'], true],
    ['team/prod', ['prod'], true],
    ['prod.a/app', ['prod'], true],
    ['prod', ['prod/app'], true],
    ['prod/app2', ['prod/app'], true],
  ] as const) {
    test(`${repository} is ${expected ? 'not ' : ''}below ${prefixes}`, () => {
      const repositories = Object.fromEntries(prefixes.map((prefix) => [prefix, shut]))
      assert.equal(isAllowed(open, repositories, { repository }), expected)
    })
  }

  test('every prefix that holds the repository must allow, and so must the global policy', () => {
    const policies = (...defaults: readonly ('allow' | 'deny')[]) =>
      defaults.map((decision) => policy([], decision))
    for (const bits of Array(16).keys()) {
      const decisions = [1, 2, 4, 8].map((bit) => ((bits & bit) === 0 ? 'allow' : 'deny'))
      const [global, a, ab, abc] = policies(...decisions)
      assert.ok(global && a && ab && abc)
      const found = isAllowed(global, { a, 'a/b': ab, 'a/b/c': abc }, { repository: 'a/b/c' })
      assert.equal(found, bits === 0, decisions.join())
    }
  })

  test('actions without a repository ask the global policy alone', () => {
    const authorize = authorizer(compiled(open, { team: shut }))
    assert.equal(authorize.isAllowed(alice, act('list-catalog'), clientIp), true)
    assert.equal(authorize.isAllowed(alice, act('get-api-version'), clientIp), true)
    assert.equal(authorize.isAllowed(alice, act('list-tags'), clientIp), false)
  })
})

describe('a refusal', () => {
  const denials: DecisionRecord[] = []
  let ids = 0
  const authorize = authorizer(compiled(policy(["identity.username == 'root'", 'false'])), {
    onDecision: (denial) => denials.push(denial),
    randomUuid: () => {
      ids += 1
      return `id-${ids}`
    },
  })

  function refusalOf(identity: Identity): OciError {
    try {
      authorize(identity, act('put-manifest'), clientIp)
    } catch (error) {
      assert.ok(error instanceof OciError)
      return error
    }
    return assert.fail('it was allowed')
  }

  test('it is 401 with one challenge for the anonymous, and 403 for the others', () => {
    const refusal = refusalOf(anonymous)
    assert.deepEqual([refusal.code, refusal.status], ['UNAUTHORIZED', 401])
    assert.deepEqual(refusal.headers, [['WWW-Authenticate', 'Basic realm="keelson"']])
    for (const identity of [alice, certified({}), bearer({})]) {
      const { code, status, headers } = refusalOf(identity)
      assert.deepEqual([code, status, headers], ['DENIED', 403, []])
    }
  })

  test('its reasons are told to the operator under an id, and the id alone to the client', () => {
    denials.length = 0
    const { detail } = refusalOf(alice)
    const [denial] = denials
    assert.ok(denial)
    assert.deepEqual(detail, { action: 'put-manifest', decisionId: denial.decisionId })
    assert.equal(denial.identity, alice)
    assert.deepEqual(
      denial.steps.map((step) => [step.policy, step.allowed, step.rules.map((r) => r.outcome)]),
      [['global', false, ['false', 'false']]],
    )
  })

  test('each has an id of its own, also where the decision was remembered', () => {
    assert.notDeepEqual(refusalOf(alice).detail, refusalOf(alice).detail)
  })

  test('an allowed request costs no id', () => {
    const before = ids
    authorize(user('root'), act('put-manifest'), clientIp)
    assert.equal(ids, before)
  })
})

describe('rules that fail', () => {
  test('each is reported every time that it is evaluated, and marked as new once', () => {
    const reports: (readonly [text: string, error: string, isFirst: boolean])[] = []
    const authorize = authorizer(compiled(policy([failing, `true || ${failing}`])), {
      onRuleError: ({ text }, error, isFirst) => reports.push([text, error, isFirst]),
    })
    for (const name of ['alice', 'bob']) {
      assert.equal(authorize.isAllowed(user(name), act('get-blob'), clientIp), true)
    }
    assert.deepEqual(reports, [
      [failing, 'absent has no fields', true],
      [failing, 'absent has no fields', false],
    ])
  })

  for (const [what, identity, rule] of [
    ['a claim is missing', bearer({}), "identity.oidc.claims.a == 'b'"],
    ['a claim has another type', bearer({ a: 1 }), "identity.oidc.claims.a.startsWith('b')"],
    ['the result is no bool', bearer({ a: 'true' }), 'identity.oidc.claims.a'],
    ['claims are too long', bearer({ a: 'x'.repeat(16_400) }), "identity.oidc.claims.a != 'b'"],
    ['a list is too long', user('a', ...Array(257).fill('g')), "'g' in identity.groups"],
    [
      'a claim is nested too deep',
      bearer(deeplyNested()),
      'identity.oidc.claims.a == identity.oidc.claims.a',
    ],
    ['the address is unknown', alice, "identity.client_ip != 'x'"],
  ] as const) {
    test(`where ${what}, a deny policy goes on and an allow policy denies`, () => {
      const unknownIp = (): string => {
        throw new Error('no address')
      }
      for (const [decision, rules, expected] of [
        ['deny', [rule], false],
        ['deny', [rule, 'true'], true],
        ['allow', [rule], false],
        ['allow', [rule, 'false'], false],
      ] as const) {
        const authorize = authorizer(compiled(policy(rules, decision)))
        assert.equal(authorize.isAllowed(identity, act('get-blob'), unknownIp), expected)
      }
    })
  }
})

function deeplyNested(): Readonly<Record<string, unknown>> {
  return { a: JSON.parse(`${'['.repeat(5000)}${']'.repeat(5000)}`) }
}

const rule = fc.constantFrom(
  'true',
  'false',
  failing,
  "identity.username == 'alice'",
  "identity.groups.contains('dev')",
  "request.action.startsWith('get-')",
  "request.repository.startsWith('a/')",
  "identity.certificate.organizations.contains('Platform')",
  "identity.client_ip.startsWith('192.')",
  "has(request.tags) && request.tags.contains('v1')",
)
const anyPolicy = fc
  .tuple(fc.array(rule, { maxLength: 3 }), fc.constantFrom('allow', 'deny'))
  .map(([rules, decision]) => policy(rules, decision))
const prefix = fc.constantFrom('a', 'a/b', 'a/b/c', 'b', 'ab')
const anyRepositories = fc.dictionary(prefix, anyPolicy, { maxKeys: 4 })
const anyIdentity = fc.constantFrom(
  anonymous,
  alice,
  certified({ organizations: ['Platform'] }),
  bearer({ role: 'x' }),
)
const anyAction = fc
  .tuple(fc.constantFrom(...actionKinds), fc.constantFrom('a', 'a/b', 'a/b/c', 'ab', 'b/a'))
  .map(([kind, repository]) => act(kind, repository))

describe('whatever the policies', () => {
  test('one more repository policy never turns a denial into an allowance', () => {
    fc.assert(
      fc.property(
        fc.option(anyPolicy, { nil: undefined }),
        anyRepositories,
        prefix,
        anyPolicy,
        anyIdentity,
        anyAction,
        (global, repositories, added, more, identity, action) => {
          const before = authorizer(compiled(global, without(repositories, added)))
          const after = authorizer(compiled(global, { ...repositories, [added]: more }))
          const wasAllowed = before.isAllowed(identity, action, clientIp)
          assert.ok(wasAllowed || !after.isAllowed(identity, action, clientIp))
        },
      ),
      { numRuns: 500 },
    )
  })

  test('a remembered decision is the one that is made anew', () => {
    fc.assert(
      fc.property(
        anyPolicy,
        anyRepositories,
        fc.array(fc.tuple(anyIdentity, anyAction, fc.constantFrom('192.0.2.1', '::1')), {
          minLength: 2,
          maxLength: 30,
        }),
        (global, repositories, asked) => {
          const policies = compiled(global, repositories)
          const remembering = authorizer(policies)
          for (const [identity, action, address] of [...asked, ...asked]) {
            const anew = authorizer(policies).isAllowed(identity, action, () => address)
            assert.equal(
              remembering.isAllowed(identity, action, () => address),
              anew,
            )
          }
        },
      ),
      { numRuns: 200 },
    )
  })
})

function without<T>(record: Readonly<Record<string, T>>, key: string): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => name !== key))
}

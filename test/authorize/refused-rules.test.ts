// Goal: a rule that could never do what it was meant to is refused when the configuration loads, with its
// place and what was probably meant. Method: a table of rule → problem.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { compilePolicies } from '../../src/authorize/policy/compile.ts'
import { policy, repositoryList } from './scene.ts'

const rows: readonly (readonly [rule: string, problem: string])[] = [
  [
    'identity.usernme == "a"',
    "identity has no field 'usernme'; did you mean 'username'?: at character 10",
  ],
  ["identity['usernme'] == 'a'", "identity has no field 'usernme'; did you mean 'username'?"],
  ["request.actoin == 'get-blob'", "request has no field 'actoin'; did you mean 'action'?"],
  [
    'identity.certificate.comon_names == []',
    "identity.certificate has no field 'comon_names'; did you mean 'common_names'?",
  ],
  ["idntity.username == 'a'", "there is no variable 'idntity'; did you mean 'identity'?"],
  [
    "identity.username.startWith('a')",
    "there is no function 'startWith'; did you mean 'startsWith'?",
  ],
  [
    "request.action == 'get-manifst'",
    "there is no action 'get-manifst'; did you mean 'get-manifest'?",
  ],
  ["'pull-manifest' != request.action", "there is no action 'pull-manifest'"],
  [
    "request.action in ['get-blob', 'gt-blob']",
    "there is no action 'gt-blob'; did you mean 'get-blob'?",
  ],
  [
    "['put_manifest'].contains(request.action)",
    "there is no action 'put_manifest'; did you mean 'put-manifest'?",
  ],
  ["identity.groups.exists(g, g == 'a' && request['action'] == 'x')", "there is no action 'x'"],
  ['size(identity.groups)', 'a rule must be a bool, and this is of type int'],
  ['identity.username', 'a rule must be a bool, and this is of type string'],
  ['identity.certificate', 'a rule must be a bool, and this is of type Certificate'],
  ['identity.username == 3', 'no such overload: string == int'],
  ['identity.groups.contains(3)', "found no matching overload for 'list.contains(int)'"],
  ['identity.username in identity.oidc', 'no such overload: string in Oidc'],
  [
    '[identity.oidc] == [identity.oidc]',
    'identity.oidc has fields: name one of them, or compare it with null',
  ],
  ["identity[request.action] == 'x'", 'identity[…] needs a field name in quotes'],
  ['', 'the rule is empty'],
  ['  \n ', 'the rule is empty'],
  ['identity.username ==', 'unexpected token: EOF: at character 21'],
  ['true ? false', 'expected COLON, got EOF'],
  ["identity.username == 'a", 'unterminated string'],
  ['for == 1', 'reserved identifier: for'],
  ["cel.bind(a, 'x', a == 'x')", 'the method bind() is not available'],
  ['type(identity.username) == string', 'the function type() is not available'],
  ["b'a' == b'a'", 'bytes and unsigned numbers are not available in rules'],
  ['1u == 1u', 'bytes and unsigned numbers are not available in rules'],
  ["bytes('a') == bytes('b')", 'the function bytes() is not available'],
  ["timestamp(0).getHours('Europe/Paris') == 0", 'the method getHours() is not available'],
  ["identity.username.matches('(')", 'missing closing ): `(`'],
  ["identity.username.matches('(?=a)')", 'error parsing regexp'],
  ["identity.username.matches('(a)\\\\1')", 'error parsing regexp'],
  ['identity.username.matches(identity.id)', 'matches() needs its pattern as a string in quotes'],
  ["identity.username.matches('a' + 'b')", 'matches() needs its pattern as a string in quotes'],
  ["identity.username.matches(dyn('a'))", 'matches() needs its pattern as a string in quotes'],
  [
    'identity.groups.exists(1, true)',
    'exists(var, predicate) invalid predicate iteration variable',
  ],
]

function problemsOf(...rules: readonly string[]): readonly string[] {
  return compilePolicies(policy(rules), []).problems.map(({ message }) => message)
}

describe('rules that are refused', () => {
  for (const [rule, problem] of rows) {
    test(JSON.stringify(rule), () => {
      const [message = '', ...more] = problemsOf(rule)
      assert.deepEqual(more, [])
      assert.ok(message.toLowerCase().includes(problem.toLowerCase()), message)
    })
  }
})

describe('the problems of a configuration', () => {
  test('every bad rule of every policy is named with its place', () => {
    const { policies, problems } = compilePolicies(
      policy(['true', 'size(identity.groups)']),
      repositoryList({ 'team/app': policy(['identity.usernme == null']) }),
    )
    assert.equal(policies, undefined)
    assert.deepEqual(
      problems.map(({ file, line, key }) => [file, line, key]),
      [
        ['config.toml', 2, 'global.access_policy.rules'],
        ['config.toml', 1, 'repository."team/app".access_policy.rules'],
      ],
    )
  })

  test('in a rule of several lines the right one is shown', () => {
    const [message = ''] = problemsOf("identity.username != null\n  && identity.nme == 'a'\n")
    assert.ok(message.endsWith("at character 15 of   && identity.nme == 'a'"), message)
  })

  test('a long line is cut around the place', () => {
    const [message = ''] = problemsOf(`'${'x'.repeat(500)}' == 'y' || identity.nme == 'a'`)
    assert.ok(message.length < 250, message)
    assert.ok(message.includes('…') && message.endsWith("identity.nme == 'a'"), message)
  })

  for (const prefix of ['prod/', '/prod', 'Prod', 'a//b', '*', '']) {
    test(`a policy for ${JSON.stringify(prefix)}, which no repository is below, is refused`, () => {
      const { problems } = compilePolicies(
        undefined,
        repositoryList({ [prefix]: policy(['true']) }),
      )
      assert.match(problems[0]?.message ?? '', /expected a repository name/)
    })
  }
})

describe('rules that are too large', () => {
  const username = "identity.username == 'a'"
  const nested = (depth: number): string =>
    depth === 0 ? 'true' : `identity.groups.exists(g${depth}, ${nested(depth - 1)})`
  for (const [name, rule, problem] of [
    ['characters', `'${'x'.repeat(8200)}' == 'y'`, /characters, more than 8192/],
    ['nodes', Array(300).fill(username).join('||'), /Exceeded maxAstNodes/i],
    ['depth', `${'('.repeat(60)}true${')'.repeat(60)}`, /Exceeded maxDepth/i],
    ['selections', `identity.oidc.claims${'.a'.repeat(60)} == 1`, /Exceeded maxDepth/i],
    ['negations', `${'!'.repeat(1100)}true`, /Exceeded maxAstNodes/i],
    ['elements', `1 in [${Array(257).fill('1').join()}]`, /Exceeded maxListElements/i],
    ['comprehensions', nested(3), /may be nested 2 deep/],
    ['instructions', "identity.username.matches('a{1000}')", /instructions, more than 192/],
    ['repetitions', "identity.username.matches('((a{100}){100}){100}')", /invalid repeat count/],
  ] as const) {
    test(name, () => {
      const [message = ''] = problemsOf(rule)
      assert.match(message, problem)
    })
  }

  test('the largest that are legal load', () => {
    assert.deepEqual(problemsOf(nested(2)), [])
    assert.deepEqual(problemsOf(`${'('.repeat(40)}true${')'.repeat(40)}`), [])
    assert.deepEqual(problemsOf(`identity.id in [${Array(256).fill("'a'").join()}]`), [])
    assert.deepEqual(problemsOf(Array(190).fill(username).join('||')), [])
  })

  test('so does a policy of 256 rules, and 257 are refused', () => {
    assert.deepEqual(problemsOf(...Array(256).fill('true')), [])
    assert.match(problemsOf(...Array(257).fill('true'))[0] ?? '', /at most 256 rules; found 257/)
  })
})

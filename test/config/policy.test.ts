// Goal: what the policy tables say reaches the policy engine, rule by rule with its line, and nothing
// that could let somebody in is guessed. Method: texts in, values or problems out.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parse, problemsOf, store } from './parse.ts'

describe('access policy', () => {
  for (const [written, expected] of [
    ['default = "allow"', 'allow'],
    ['default = "deny"', 'deny'],
    ['default_allow = true', 'allow'],
    ['default_allow = false', 'deny'],
    ['default = "allow"\ndefault_allow = true', 'allow'],
    ['rules = []', 'deny'],
    ['', 'deny'],
  ] as const) {
    test(`${JSON.stringify(written)} decides ${expected}`, () => {
      const config = parse(`${store}[global.access_policy]\n${written}`)
      assert.deepEqual(config.global.accessPolicy, { default: expected, rules: [] })
    })
  }

  test('without the table there is no policy', () => {
    assert.equal(parse(store).global.accessPolicy, undefined)
  })

  test('default and default_allow that contradict each other are refused', () => {
    const contradiction = 'default = "deny"\ndefault_allow = true'
    assert.deepEqual(
      problemsOf(
        `${store}[global.access_policy]\n${contradiction}\n[repository.a.access_policy]\n${contradiction}`,
      ),
      [
        '0.toml:5: global.access_policy.default_allow: expected what default = "deny" says; found true',
        '0.toml:8: repository.a.access_policy.default_allow: expected what default = "deny" says; found true',
      ],
    )
  })

  test('each rule keeps the line on which it begins', () => {
    const config = parse(
      store,
      '[global.access_policy]\nrules = [\n  # a comment, "with this"\n  "true", "false",\n\n  """\n1 == 1""",\n]\n',
    )
    const file = '/etc/keelson/1.toml'
    assert.deepEqual(config.global.accessPolicy?.rules, [
      { text: 'true', place: { file, line: 4 } },
      { text: 'false', place: { file, line: 4 } },
      { text: '1 == 1', place: { file, line: 6 } },
    ])
  })

  test('a rule in an inline table has the line of that table', () => {
    const config = parse(`${store}\n[global]\naccess_policy = { rules = ["true"] }`)
    assert.equal(config.global.accessPolicy?.rules[0]?.place.line, 5)
  })

  test('the rules of a later file replace those of an earlier one', () => {
    const policy = (rule: string) => `[global.access_policy]\nrules = ["${rule}"]\n`
    const config = parse(store + policy('1 == 1'), policy('2 == 2'))
    assert.deepEqual(config.global.accessPolicy?.rules, [
      { text: '2 == 2', place: { file: '/etc/keelson/1.toml', line: 2 } },
    ])
  })

  test('what is not a string is told with its own line', () => {
    assert.deepEqual(problemsOf(`${store}[global.access_policy]\nrules = [\n"true",\n1,\n]`), [
      '0.toml:6: global.access_policy.rules: expected an array of strings; found 1',
    ])
  })
})

describe('repositories', () => {
  test('each has its prefix and its policy, in the order of the file', () => {
    const config = parse(
      `${store}[repository."team/app".access_policy]\ndefault = "allow"\nrules = ["false"]\n[repository.dev]\n`,
    )
    const place = { file: '/etc/keelson/0.toml', line: 5 }
    const found = config.repositories.map(({ prefix, accessPolicy }) => ({ prefix, accessPolicy }))
    assert.deepEqual(found, [
      {
        prefix: 'team/app',
        accessPolicy: { default: 'allow', rules: [{ text: 'false', place }] },
      },
      { prefix: 'dev', accessPolicy: undefined },
    ])
  })

  for (const prefix of ['Prod', 'a/', '/a', 'a//b', '', 'a b', '*', '__proto__']) {
    test(`the prefix ${JSON.stringify(prefix)} is refused`, () => {
      const problems = problemsOf(`${store}\n[repository."${prefix}".access_policy]`)
      assert.equal(problems.length, 1)
      assert.match(problems[0] ?? '', /^0\.toml:4: repository\..*: expected a repository name/)
      assert.ok(problems[0]?.endsWith(`; found ${JSON.stringify(prefix)}`), problems[0])
    })
  }

  test('an unknown key gets its hint', () => {
    assert.deepEqual(
      problemsOf(
        `${store}[repository."prod/x"]\npolicy = 1\n[repository."prod/x".access_policy]\ndefalt = "deny"`,
      ),
      [
        '0.toml:4: repository."prod/x".policy: is not a known key: did you mean repository."prod/x".access_policy?',
        '0.toml:6: repository."prod/x".access_policy.defalt: is not a known key: did you mean repository."prod/x".access_policy.default?',
      ],
    )
  })

  test('a prefix that is no table is refused', () => {
    assert.deepEqual(problemsOf(`${store}[repository]\ndev = "allow"`), [
      '0.toml:4: repository.dev: expected a table; found "allow"',
    ])
  })
})

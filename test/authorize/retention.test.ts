// Goal: a retention rule keeps what it says, keeps when it fails, and is refused when it could never do
// what it was meant to. Method: tables of rule and tag → answer, of rule → problem, and of policies → lint.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { lintRetention, retentionRefusal } from '../../src/authorize/policy/lint-retention.ts'
import {
  compileRetention,
  type RetainedTag,
  type RetentionRule,
  type RetentionRules,
} from '../../src/authorize/policy/retention.ts'
import type { RetentionPolicy } from '../../src/config/schema.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'

const now = 1_800_000_000
const day = 86_400

function policy(...rules: readonly string[]): RetentionPolicy {
  return {
    rules: rules.map((text, index) => ({ text, place: { file: 'c.toml', line: index + 1 } })),
  }
}

function listed(repositories: Readonly<Record<string, RetentionPolicy>>) {
  return Object.entries(repositories).map(([prefix, retentionPolicy]) => {
    return { prefix, retentionPolicy }
  })
}

function compiled(
  global: RetentionPolicy | undefined,
  repositories: Readonly<Record<string, RetentionPolicy>> = {},
): RetentionRules {
  const { rules, problems } = compileRetention(global, listed(repositories))
  assert.deepEqual(problems, [])
  assert.ok(rules)
  return rules
}

function ruleOf(text: string): RetentionRule {
  const [rule] = compiled(policy(text)).all
  assert.ok(rule)
  return rule
}

/** The fifth last pushed and the second last pulled tag of its repository. */
function tag(part: Partial<RetainedTag> = {}): RetainedTag {
  return {
    ...{ tag: 'v1.2.3', repository: 'team/app', now },
    ...{ pushedAt: now - 40 * day, pulledAt: now - 2 * day },
    isTopPushed: (count) => count >= 5,
    isTopPulled: (count) => count >= 2,
    ...part,
  }
}

const never = tag({ pulledAt: 0, isTopPulled: () => false })

describe('what a rule comes to', () => {
  for (const [text, about, expected] of [
    ['true', tag(), true],
    ['false', tag(), false],
    ["image.tag == 'v1.2.3'", tag(), true],
    ["image.repository.startsWith('team/')", tag(), true],
    ["image.tag.matches('^v[0-9]+\\\\.[0-9]+\\\\.[0-9]+$')", tag(), true],
    ["image.tag.matches('^v[0-9]+\\\\.[0-9]+\\\\.[0-9]+$')", tag({ tag: 'v1.2' }), false],
    ["image.tag in ['latest', 'main']", tag({ tag: 'main' }), true],
    ['now() == 1800000000', tag(), true],
    ['days(2) == hours(48) && hours(1) == minutes(60) && minutes(1) == 60', tag(), true],
    ['image.pushed_at > now() - days(41)', tag(), true],
    ['image.pushed_at > now() - days(40)', tag(), false],
    ['image.pushed_at >= now() - days(40)', tag(), true],
    ['image.last_pulled_at > now() - days(30)', tag(), true],
    ['image.last_pulled_at > now() - days(30)', never, false],
    ['image.last_pulled_at == 0', never, true],
    ['top_pushed(4)', tag(), false],
    ['top_pushed(5)', tag(), true],
    ['top_pulled(1)', tag(), false],
    ['top_pulled(2)', tag(), true],
    ['top_pulled(1000000)', never, false],
    ['top_pushed(4) || top_pulled(2)', tag(), true],
    ['has(image.tag)', tag(), true],
  ] as const) {
    test(`${text} is ${expected} for ${about.tag}`, () => {
      assert.deepEqual(ruleOf(text).judge(about), { keeps: expected })
    })
  }
})

describe('a rule that fails keeps', () => {
  for (const [text, error] of [
    ['1 / (image.pushed_at - image.pushed_at) == 1', 'division by zero'],
    ['image.pushed_at > days(9223372036854775807)', 'integer overflow'],
    ['dyn(image.pushed_at)', 'expected a bool, not int'],
    ["int(image.tag) > 3 && image.tag != ''", 'int() cannot convert this string'],
    [
      `[${Array(250).fill('1')}].all(a, [${Array(250).fill('1')}].all(b, image.pushed_at > a))`,
      'the rule is too much work and was cut off',
    ],
  ] as const) {
    test(text.slice(0, 60), () => {
      assert.deepEqual(ruleOf(text).judge(tag()), { keeps: true, error })
    })
  }
})

describe('rules that are refused', () => {
  for (const [text, problem] of [
    ["image.tagg == 'x'", "image has no field 'tagg'; did you mean 'tag'?: at character 7"],
    ['image.pulled_at > 0', "image has no field 'pulled_at'; did you mean 'last_pulled_at'?"],
    ["imag.tag == 'x'", "there is no variable 'imag'; did you mean 'image'?"],
    ["identity.username == 'x'", "there is no variable 'identity'"],
    ['top_pushd(3)', "there is no function 'top_pushd'; did you mean 'top_pushed'?"],
    ['top_pushed()', 'no matching overload'],
    ["top_pushed('3')", 'no matching overload'],
    ['top_pushed(0)', 'top_pushed() needs its number written out, from 1 to 1000000'],
    ['top_pushed(-1)', 'top_pushed() needs its number written out'],
    ['top_pulled(1000001)', 'top_pulled() needs its number written out'],
    ['top_pushed(2 + 3)', 'top_pushed() needs its number written out'],
    ['days(3)', 'a rule must be a bool, and this is of type int'],
    ["days('3') > 1", 'no matching overload'],
    ['image', 'a rule must be a bool, and this is of type Image'],
    ["image.pushed_at > '3'", 'no such overload: int > string'],
    ["image.tag.matches('(')", 'missing closing )'],
    ['[1].all(a, [1].all(b, [1].all(c, true)))', 'comprehensions may be nested 2 deep'],
    [`image.tag == '${'x'.repeat(8200)}'`, 'characters, more than 8192'],
    ['', 'the rule is empty'],
  ] as const) {
    test(JSON.stringify(text.slice(0, 60)), () => {
      const { rules, problems } = compileRetention(policy('true', text), [])
      assert.equal(rules, undefined)
      const [only, ...more] = problems
      assert.deepEqual(more, [])
      assert.ok(only)
      assert.deepEqual(
        [only.file, only.line, only.key],
        ['c.toml', 2, 'global.retention_policy.rules'],
      )
      assert.ok(only.message.includes(problem), only.message)
    })
  }

  test('and so are 257 of them, and those of a prefix that no repository has', () => {
    const { problems } = compileRetention(
      policy(...Array(257).fill('true')),
      listed({ 'prod/': policy('true'), 'team/app': policy('image.tga == 1') }),
    )
    assert.deepEqual(
      problems.map(({ key, message }) => `${key}: ${message.slice(0, 42)}`),
      [
        'global.retention_policy.rules: expected at most 256 rules; found 257',
        'repository."prod/": expected a repository name, such as prod o',
        "repository.\"team/app\".retention_policy.rules: image has no field 'tga'; did you mean 'ta",
      ],
    )
  })
})

test('the rules of a repository are the global ones and those of whole components above it', () => {
  const rules = compiled(policy('true'), {
    prod: policy('1 == 1'),
    'prod/app': policy('2 == 2', '3 == 3'),
    production: policy('4 == 4'),
  })
  const named = (name: string) => {
    const parsed = parseRepositoryName(name)
    assert.ok(parsed)
    return rules.rulesFor(parsed).map((rule) => `${rule.policy}: ${rule.text}`)
  }
  const prod = ['global: true', 'prod: 1 == 1']
  assert.deepEqual(named('prod/app/x'), [...prod, 'prod/app: 2 == 2', 'prod/app: 3 == 3'])
  assert.deepEqual(named('prod/apple'), prod)
  assert.deepEqual(named('production'), ['global: true', 'production: 4 == 4'])
  assert.deepEqual(named('dev'), ['global: true'])
})

test('a rule tells what it asks for, and not what its text merely contains', () => {
  const facts = (text: string) => {
    const { usesPullTimes, topPushedMax, topPulledMax, usesNames } = ruleOf(text)
    return { usesPullTimes, topPushedMax, topPulledMax, usesNames }
  }
  const none = { usesPullTimes: false, topPushedMax: 0, topPulledMax: 0, usesNames: false }
  assert.deepEqual(facts('top_pushed(3) || top_pushed(12)'), { ...none, topPushedMax: 12 })
  assert.deepEqual(facts('1 == 2 && top_pulled(7)'), {
    ...{ ...none, usesPullTimes: true },
    topPulledMax: 7,
  })
  assert.deepEqual(facts("image['last_pulled_at'] > 0"), { ...none, usesPullTimes: true })
  assert.deepEqual(facts('has(image.last_pulled_at)'), { ...none, usesPullTimes: true })
  assert.deepEqual(facts("image.tag == 'image.last_pulled_at top_pulled(3)'"), {
    ...{ ...none, usesNames: true },
  })
})

test('rules that ask for pull times cannot be applied where nobody notes them', () => {
  const asking = compiled(policy('true', 'top_pulled(3)'))
  assert.equal(retentionRefusal(asking, { pullTimes: true }), undefined)
  assert.equal(
    retentionRefusal(asking, { pullTimes: false }),
    'c.toml:2: the rule asks for pull times, and retention.pull_times is false',
  )
  const other = compiled(policy("image.tag == 'top_pulled(3)'"))
  assert.equal(retentionRefusal(other, { pullTimes: false }), undefined)
})

describe('what lint says of', () => {
  const fresh = 'no rule keeps a tag that was just pushed, before somebody has pulled it'
  for (const [name, global, repositories, pullTimes, expected] of [
    ['good policies', policy('top_pushed(10)', 'image.last_pulled_at > now() - days(30)'), {}],
    ['names, of which nothing is known', policy("image.tag.startsWith('v')"), {}],
    [
      'constant rules',
      policy('true', '1 == 2', '1 / 0 == 1', 'top_pushed(1)'),
      {},
      true,
      [
        'global:1: is always true: it keeps every tag',
        'global:2: is always false: it keeps nothing',
        'global:3: always fails: it keeps every tag',
      ],
    ],
    [
      'repeated rules',
      policy('top_pushed(1)', ' top_pushed(1)'),
      {},
      true,
      ['global:2: repeats the rule of line 1'],
    ],
    ['a lone top_pulled', policy('top_pulled(10)'), {}, true, [`global: ${fresh}`]],
    [
      'pull times that nobody notes',
      policy('top_pulled(10) || top_pushed(2)'),
      {},
      false,
      ['global:1: asks for pull times, and retention.pull_times is false: prune refuses'],
    ],
    [
      'a table without rules',
      policy(),
      { dev: policy('top_pushed(3)') },
      true,
      ['global: has no rules: it neither keeps nor frees anything'],
    ],
    [
      'a prefix that the global policy saves',
      policy('top_pushed(3)'),
      { dev: policy('top_pulled(3)') },
    ],
    [
      'a prefix that nothing saves',
      undefined,
      { dev: policy('top_pulled(3)') },
      true,
      [`dev: ${fresh}`],
    ],
  ] as readonly (readonly [
    string,
    RetentionPolicy | undefined,
    Readonly<Record<string, RetentionPolicy>>,
    boolean?,
    (readonly string[])?,
  ])[]) {
    test(name, () => {
      const found = lintRetention(compiled(global, repositories), {
        global: { retentionPolicy: global },
        repositories: listed(repositories),
        retention: { pullTimes: pullTimes ?? true },
      })
      const lines = found.map(({ policy, place, message }) => {
        return `${policy}${place === undefined ? '' : `:${place.line}`}: ${message}`
      })
      assert.deepEqual(lines, expected ?? [])
    })
  }
})

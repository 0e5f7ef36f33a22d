// Goal: rules mean what the parser's own evaluator makes of them, failures included. Method: random
// expressions of the language's common part, evaluated by both.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Environment } from '@marcbachmann/cel-js'
import fc from 'fast-check'
import type { Identity } from '../../src/authenticate/identity.ts'
import { Refusal } from '../../src/authorize/policy/refusal.ts'
import { bearer, runRule } from './scene.ts'

const claims = { role: 'ab', level: 2, list: ['a', 'b'], nested: { a: 'b' } }
const identity: Identity = { ...bearer(claims), username: 'ab', groups: ['a', 'b', 'abc'] }

const reference = new Environment()
  .registerType('Oidc', { fields: { claims: 'map<string, dyn>' } })
  .registerType('Identity', {
    fields: { username: 'string', groups: 'list<string>', oidc: 'Oidc' },
  })
  .registerVariable('identity', 'Identity')
  .registerFunction('list<V>.contains(V): bool', (list: readonly unknown[], item: unknown) =>
    list.includes(item),
  )

function expected(text: string): 'true' | 'false' | 'error' {
  try {
    const { username, groups } = identity
    const value: unknown = reference.evaluate(text, {
      identity: { username, groups, oidc: { claims } },
    })
    return typeof value === 'boolean' ? `${value}` : 'error'
  } catch {
    return 'error'
  }
}

function outcomeOf(text: string): string {
  try {
    return runRule(text, { identity }).outcome
  } catch (error) {
    assert.ok(error instanceof Refusal)
    return /nested|exceeded/.test(error.message) ? 'too large' : 'error'
  }
}

type Text = fc.Arbitrary<string>

function form(parts: TemplateStringsArray, ...holes: readonly Text[]): Text {
  return fc
    .tuple(...holes)
    .map((values) => parts.map((part, index) => part + (values[index] ?? '')).join(''))
}

const { bool } = fc.letrec<Record<'bool' | 'int' | 'text' | 'list', string>>((tie) => {
  const [bool, int, text, list] = [tie('bool'), tie('int'), tie('text'), tie('list')]
  const comparison = fc.constantFrom('==', '!=', '<', '<=', '>', '>=')
  const equality = fc.constantFrom('==', '!=')
  const quantifier = fc.constantFrom('exists', 'all', 'exists_one')
  const depth = { maxDepth: 3, depthSize: 'small' as const }
  return {
    bool: fc.oneof(
      depth,
      fc.constantFrom('true', 'false', 'identity.oidc.claims.missing == 1', '1 / 0 == 1'),
      form`(${int} ${comparison} ${int})`,
      form`(${text} ${comparison} ${text})`,
      form`(${list} ${equality} ${list})`,
      form`(${bool} && ${bool})`,
      form`(${bool} || ${bool})`,
      form`!${bool}`,
      form`(${bool} ? ${bool} : ${bool})`,
      form`(${text} in ${list})`,
      form`${list}.contains(${text})`,
      form`${text}.${fc.constantFrom('contains', 'startsWith', 'endsWith')}(${text})`,
      form`${list}.${quantifier}(x, ${bool} && x == ${text})`,
      form`${list}.${quantifier}(y, identity.groups[size(y)] == y || ${bool})`,
      form`has(identity.oidc.claims.${fc.constantFrom('role', 'missing')})`,
      form`(identity.oidc.claims.level ${comparison} ${int})`,
      form`(identity.oidc.claims.role == ${text})`,
      form`${text}.matches('${fc.constantFrom('a', '^a', 'b$', '^[ab]*$', 'a|b', '(ab)+')}')`,
      form`(${text} in identity.oidc.claims)`,
      form`(${text} in {${text}: ${int}})`,
      form`({${text}: ${bool}}[${text}])`,
    ),
    int: fc.oneof(
      depth,
      fc.constantFrom('0', '1', '2', '-3', '9223372036854775807', 'int("7")', 'int("x")'),
      form`(${int} ${fc.constantFrom('+', '-', '*', '/', '%')} ${int})`,
      form`size(${text})`,
      form`${list}.size()`,
      form`${text}.indexOf(${text})`,
    ),
    text: fc.oneof(
      depth,
      fc.constantFrom("''", "'a'", "'ab'", "'B a'", 'identity.username', 'string(4)'),
      form`(${text} + ${text})`,
      form`${text}.substring(${fc.constantFrom('0', '1', '3')})`,
      form`${list}.join('-')`,
      form`${list}[${fc.constantFrom('0', '2')}]`,
      form`${text}.${fc.constantFrom('lowerAscii', 'upperAscii', 'trim')}()`,
    ),
    list: fc.oneof(
      depth,
      fc.constantFrom('identity.groups', "['a']", "['b', 'a']"),
      form`[${text}, ${text}]`,
      form`${list}.filter(z, z != ${text})`,
      form`${list}.map(z, z + ${text})`,
      form`${text}.split('a')`,
      form`(${list} + ${list})`,
    ),
  }
})

test('an expression comes to the same as in the reference', () => {
  const seen = { true: 0, false: 0, error: 0 }
  fc.assert(
    fc.property(bool, (text) => {
      const found = outcomeOf(text)
      fc.pre(found !== 'too large')
      const wanted = expected(text)
      seen[wanted] += 1
      assert.equal(found, wanted)
    }),
    { numRuns: 3000 },
  )
  // Otherwise the expressions would show little.
  for (const [outcome, count] of Object.entries(seen)) assert.ok(count > 200, outcome)
})

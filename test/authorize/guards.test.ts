// Goal: all guards that apply are asked, in order, and one more never allows more. Method: guards of the
// test's own that say what they are told to, and random configurations.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { anonymous } from '../../src/authenticate/identity.ts'
import { createAuthorize } from '../../src/authorize/authorize.ts'
import type { Guard, VerdictResult } from '../../src/authorize/guard.ts'
import { createGuards, type GuardsOptions } from '../../src/authorize/guards.ts'
import type { Action } from '../../src/route/action.ts'
import { around } from './guard-contract.ts'
import { act, actionKinds, certified, compiled, policy, requested, user } from './scene.ts'

function guard(name: string, result: VerdictResult = 'allow', isLater = false): Guard {
  const verdict = { result, isCached: false, reason: null, decisionId: null }
  return { name, ask: () => (isLater ? Promise.resolve(verdict) : verdict) }
}

function named(...names: readonly string[]): ReadonlyMap<string, Guard> {
  return new Map(names.map((name) => [name, guard(name)]))
}

const all: GuardsOptions = {
  global: { webhook: 'everywhere', opa: 'everywhere' },
  repositories: [
    { prefix: 'team/app', webhook: 'app' },
    { prefix: 'team', opa: 'team', webhook: 'team' },
    { prefix: 'team/app/deep', webhook: 'everywhere', opa: 'deep' },
    { prefix: 'tea', webhook: 'tea' },
  ],
  webhooks: named('everywhere', 'team', 'app', 'tea'),
  opas: new Map(
    [...named('everywhere', 'team', 'deep')].map(([name]) => [name, guard(`${name}!`)]),
  ),
}

function namesFor(options: GuardsOptions, action: Action): readonly string[] {
  return (createGuards(options)?.guardsFor(action) ?? []).map(({ name }) => name)
}

test('global guards come first, then those of each prefix from short to long, each once', () => {
  const cases: Readonly<Record<string, readonly string[]>> = {
    other: [],
    teams: [],
    'team-x/app': [],
    tea: ['tea'],
    'tea/m': ['tea'],
    team: ['team', 'team!'],
    'team/ap': ['team', 'team!'],
    'team/app': ['team', 'team!', 'app'],
    'team/app/deep/er': ['team', 'team!', 'app', 'deep!'],
  }
  for (const [repository, names] of Object.entries(cases)) {
    for (const kind of actionKinds) {
      const action = act(kind, repository)
      const expected = 'repository' in action ? names : []
      assert.deepEqual(
        namesFor(all, action),
        ['everywhere', 'everywhere!', ...expected],
        repository,
      )
    }
  }
})

test('the same repository has the same array, and thousands of others do not change it', () => {
  const guards = createGuards(all)
  assert.ok(guards)
  const first = guards.guardsFor(act('get-manifest', 'team/app'))
  assert.equal(guards.guardsFor(act('put-manifest', 'team/app')), first)
  for (let i = 0; i < 10_000; i += 1) {
    const action = requested('GET', `/v2/team/r${i}/tags/list`)
    assert.equal(guards.guardsFor(action).length, 4)
  }
  assert.deepEqual(guards.guardsFor(act('get-manifest', 'team/app')), first)
})

test('without guards there is nothing to ask', () => {
  const none = { webhooks: named('a'), opas: named('a') }
  assert.equal(createGuards({ ...none, global: {}, repositories: [{ prefix: 'team' }] }), undefined)
})

test('a name that is not there is refused, not left out', () => {
  const none = { webhooks: named('a'), opas: named('b') }
  for (const options of [
    { global: { webhook: 'b' }, repositories: [] },
    { global: { opa: 'a' }, repositories: [] },
    { global: {}, repositories: [{ prefix: 'team', webhook: '' }] },
    { global: {}, repositories: [{ prefix: 'team', webhook: '__proto__' }] },
  ]) {
    assert.throws(
      () => createGuards({ ...none, ...options }),
      /^Error: there is no (webhook|OPA) "/,
    )
  }
})

const repositories = ['team', 'team/app', 'team/app/deep', 'other', 'teams']
const choice = fc.record({
  webhook: fc.option(fc.constantFrom('w0', 'w1', 'w2'), { nil: undefined }),
  opa: fc.option(fc.constantFrom('o0', 'o1'), { nil: undefined }),
})
const behaviour = fc.record({
  result: fc.constantFrom<VerdictResult>('allow', 'allow', 'deny', 'unavailable'),
  isLater: fc.boolean(),
})
const names = ['w0', 'w1', 'w2', 'o0', 'o1', 'extra']

const scene = fc.record({
  isOpen: fc.boolean(),
  global: choice,
  levels: fc.uniqueArray(fc.record({ prefix: fc.constantFrom(...repositories), chosen: choice }), {
    selector: ({ prefix }) => prefix,
    maxLength: 3,
  }),
  behaviours: fc.array(behaviour, { minLength: names.length, maxLength: names.length }),
  /** Where one more is added; '' for the whole registry. */
  place: fc.constantFrom('', ...repositories),
  kind: fc.constantFrom('webhook' as const, 'opa' as const),
})

type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never

const identities = [anonymous, user('alice', 'dev'), certified({ commonNames: ['build'] })]
const policies = {
  open: compiled(policy([], 'allow')),
  members: compiled(policy(["identity.username != ''"])),
}

function guardsOf({ global, levels, behaviours }: Scene): GuardsOptions {
  const made = names.map((name, index): readonly [string, Guard] => {
    const { result, isLater } = behaviours[index] ?? { result: 'deny', isLater: false }
    return [name, guard(name, result, isLater)]
  })
  const every = new Map(made)
  const flat = levels.map(({ prefix, chosen }) => ({ prefix, ...chosen }))
  return { global, repositories: flat, webhooks: every, opas: every }
}

/** The same with `extra` at one place, if none of its kind is there. */
function withExtra(options: GuardsOptions, { place, kind }: Scene): GuardsOptions {
  const extra = { [kind]: 'extra' }
  if (place === '') {
    return options.global[kind] === undefined
      ? { ...options, global: { ...options.global, ...extra } }
      : options
  }
  const before = options.repositories.find(({ prefix }) => prefix === place)
  if (before?.[kind] !== undefined) return options
  const others = options.repositories.filter(({ prefix }) => prefix !== place)
  return { ...options, repositories: [...others, { prefix: place, ...before, ...extra }] }
}

async function isAllowed(
  options: GuardsOptions,
  { isOpen }: Scene,
  identity: (typeof identities)[number],
  action: Action,
): Promise<boolean> {
  const guards = createGuards(options)
  const authorize = createAuthorize(isOpen ? policies.open : policies.members, {
    onRuleError: () => undefined,
    randomUuid: () => 'decision',
    ...(guards === undefined ? {} : { guards }),
  })
  const asked = around()
  const byRefusal = await (async () => authorize(identity, action, asked))().then(
    () => true,
    () => false,
  )
  assert.equal(await authorize.isAllowed(identity, action, asked), byRefusal)
  return byRefusal
}

test('one more guard, wherever it is, never turns a denial into an allowance', async () => {
  await fc.assert(
    fc.asyncProperty(scene, async (made) => {
      const before = guardsOf(made)
      const after = withExtra(before, made)
      for (const identity of identities) {
        for (const repository of repositories) {
          const action = act('get-manifest', repository)
          const [was, is] = [
            await isAllowed(before, made, identity, action),
            await isAllowed(after, made, identity, action),
          ]
          assert.ok(was || !is, `${repository}: denied without it, allowed with it`)
        }
      }
    }),
    { numRuns: 100 },
  )
})

test('allowed is what the policy and every guard that applies allow, and nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(scene, async (made) => {
      const options = guardsOf(made)
      const { global, levels, behaviours } = made
      for (const repository of repositories) {
        const applying = levels.filter(
          ({ prefix }) => repository === prefix || repository.startsWith(`${prefix}/`),
        )
        const chosen = [global, ...applying.map((level) => level.chosen)]
        const asked = chosen.flatMap(({ webhook, opa }) => [webhook, opa])
        const allow = asked.every((name) => {
          return name === undefined || behaviours[names.indexOf(name)]?.result === 'allow'
        })
        for (const identity of identities) {
          const policyAllows = made.isOpen || identity.username !== null
          const action = act('get-manifest', repository)
          const is = await isAllowed(options, made, identity, action)
          assert.equal(is, policyAllows && allow)
        }
      }
    }),
    { numRuns: 100 },
  )
})

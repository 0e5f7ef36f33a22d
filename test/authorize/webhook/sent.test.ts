// Goal: a webhook hears all that matters of a request, and nothing that a client put in between. Method:
// the headers as they arrive on the wire, and random identities and requests whose texts must differ.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { anonymous, type Identity } from '../../../src/authenticate/identity.ts'
import type { Asked, Question } from '../../../src/authorize/guard.ts'
import {
  questionText,
  sentHeaders,
  Unsendable,
} from '../../../src/authorize/webhook/sent-question.ts'
import { openRudeService } from '../../support/rude-service.ts'
import { around } from '../guard-contract.ts'
import { act, actionKinds, bearer, certified, digest, requested, user } from '../scene.ts'
import { openWebhook, webhookConfig } from './scene.ts'

function sent(question: Partial<Question>, forwarded: readonly string[] = []) {
  const whole = { identity: anonymous, action: act('get-manifest'), asked: around(), ...question }
  return sentHeaders(questionText(whole, whole.asked.clientIp(), forwarded))
}

/** With headers of the request's own. */
function withHeaders(headers: Readonly<Record<string, string>>): Asked {
  return { ...around(), header: (name) => headers[name] ?? '' }
}

test('the anonymous asking for a manifest: what a webhook hears', () => {
  assert.deepEqual(sent({}), {
    'x-forwarded-method': 'GET',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'registry.test',
    'x-forwarded-uri': '/v2/team/app/manifests/v1',
    'x-forwarded-for': '192.0.2.7',
    'x-registry-action': 'get-manifest',
    'x-registry-namespace': 'team/app',
    'x-registry-reference': 'v1',
  })
})

test('every part of a request, an action and an identity that there is', () => {
  const asked = around({
    ...{ method: 'PUT', path: '/v2/team/app/manifests/x', query: 'tag=v1&tag=v2' },
    ...{ isSecure: false, host: 'registry.test:5000', clientIp: () => '2001:db8::1' },
  })
  const action = requested('PUT', `/v2/team/app/manifests/${digest}?tag=v1&tag=v2`)
  const identity: Identity = {
    ...bearer({ sub: 'repo:org/app' }),
    ...{ id: 'ci:repo:org/app', username: 'build bot', groups: ['dev', 'ops'] },
    certificate: certified({ commonNames: ['a', 'b'], organizations: ['X, Inc.'] }).certificate,
  }
  assert.deepEqual(sent({ identity, action, asked }), {
    'x-forwarded-method': 'PUT',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'registry.test:5000',
    'x-forwarded-uri': '/v2/team/app/manifests/x?tag=v1&tag=v2',
    'x-forwarded-for': '2001:db8::1',
    'x-registry-action': 'put-manifest',
    'x-registry-namespace': 'team/app',
    'x-registry-reference': digest,
    'x-registry-tags': 'v1,v2',
    'x-registry-username': 'build bot',
    'x-registry-identity-id': 'ci:repo:org/app',
    'x-registry-groups': 'dev,ops',
    'x-registry-certificate-cn': 'a,b',
    'x-registry-certificate-o': 'X%2C Inc.',
    'x-registry-oidc-provider': 'ci',
    'x-registry-oidc-subject': 'repo:org/app',
  })
  const mount = sent({ action: act('mount-blob') })
  assert.equal(mount['x-registry-digest'], digest)
  assert.equal(mount['x-registry-from'], 'base')
  assert.equal(sent({ action: act('get-api-version') })['x-registry-namespace'], undefined)
})

test('odd characters travel percent-encoded, so that a list is cut at its commas alone', () => {
  const cases: ReadonlyArray<readonly [plain: string, encoded: string]> = [
    ['build server', 'build server'],
    [' edges ', '%20edges%20'],
    [' ', '%20'],
    ['100%', '100%25'],
    ['a,b', 'a%2Cb'],
    ['größe', 'gr%C3%B6%C3%9Fe'],
    ['a\r\nx-registry-username: root', 'a%0D%0Ax-registry-username: root'],
    ['\0\x7f\t', '%00%7F%09'],
    ['🙂', '%F0%9F%99%82'],
    ["it's (fine)!*", "it's (fine)!*"],
  ]
  const plain = cases.map(([text]) => text)
  const identity = certified({ commonNames: plain }, user('x', ...plain))
  const headers = sent({ identity })
  const expected = cases.map(([, encoded]) => encoded).join(',')
  assert.equal(headers['x-registry-groups'], expected)
  assert.equal(headers['x-registry-certificate-cn'], expected)
  for (const [name, encoded] of cases) {
    const username = sent({ identity: user(name) })['x-registry-username']
    assert.equal(username, encoded.replaceAll('%2C', ','))
    assert.equal(decodeURIComponent(username ?? ''), name)
  }
  const asked = around({ path: '/v2/größe/x', query: 'a=\n', host: 'a\r\nb' })
  const wild = sent({ asked })
  assert.equal(wild['x-forwarded-uri'], '/v2/gr%C3%B6%C3%9Fe/x?a=%0A')
  assert.equal(wild['x-forwarded-host'], 'a%0D%0Ab')
})

test('what cannot be sent whole is not sent at all, and denied', async (t) => {
  const service = await openRudeService({ status: 200 })
  t.after(() => service.close())
  const config = webhookConfig(service.url, { forwardHeaders: ['X-Tenant'] })
  const { guard, counts } = await openWebhook(t, config)
  const asked = withHeaders({ 'x-tenant': 'a\nb' })
  const long = Array.from({ length: 5000 }, (_, index) => `group-${index}`)
  const questions: readonly Partial<Question>[] = [
    { asked },
    { identity: user('half \ud83d') },
    { identity: user('alice', ...long) },
    { asked: around({ query: 'x'.repeat(40_000) }) },
  ]
  for (const question of questions) {
    const whole = { identity: anonymous, action: act('get-manifest'), asked: around(), ...question }
    const verdict = await guard.ask(whole)
    assert.equal(verdict.result, 'deny')
    assert.match(verdict.reason ?? '', /^the question cannot be sent: /)
  }
  assert.equal(service.requests.length, 0)
  assert.equal(counts.tally('scanner').deny, questions.length)
})

test('on the wire each header comes once, and credentials of the client do not come', async (t) => {
  const service = await openRudeService({ status: 204 })
  t.after(() => service.close())
  const forwardHeaders = ['X-Tenant', 'Accept-Language', 'User-Agent']
  const { guard } = await openWebhook(
    t,
    webhookConfig(`${service.url}/hook?a=1`, { forwardHeaders }),
  )
  const asked = withHeaders({
    ...{ host: 'registry.test', 'x-tenant': 'blue', authorization: 'Basic c2VjcmV0' },
    ...{
      cookie: 'session=secret',
      'user-agent': 'docker',
      'x-forwarded-for': '203.0.113.9',
      'x-registry-username': 'root',
    },
  })
  const question = { identity: user('alice'), action: act('get-manifest'), asked }
  assert.equal((await guard.ask(question)).result, 'allow')
  const [request] = service.requests
  assert.equal(request?.method, 'GET')
  assert.equal(request?.target, '/hook?a=1')
  const names = request?.headers.map(([name]) => name) ?? []
  assert.deepEqual(names, [...new Set(names)])
  const headers = new Map(request?.headers)
  assert.equal(headers.get('host'), service.url.slice('http://'.length))
  assert.equal(headers.get('x-tenant'), 'blue')
  assert.equal(headers.get('user-agent'), 'docker')
  assert.equal(headers.get('x-forwarded-for'), '192.0.2.7')
  assert.equal(headers.get('x-registry-username'), 'alice')
  assert.deepEqual(
    ['authorization', 'cookie', 'accept-language'].map((name) => headers.get(name)),
    [undefined, undefined, undefined],
  )
})

const text = fc.string({ unit: 'binary', maxLength: 6 })
const odd = fc.oneof(text, fc.constantFrom('', ' ', ',', '%', '%2C', 'a,b', '\n', 'a\nb:c', ':'))
const names = fc.array(odd, { maxLength: 3 })
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary)

/** What decides, as plain data, and the question that it makes. */
const parts = fc.record({
  username: maybe(odd),
  id: maybe(odd),
  groups: names,
  commonNames: names,
  organizations: names,
  subject: maybe(odd),
  kind: fc.constantFrom(...actionKinds),
  repository: fc.constantFrom('team/app', 'team/ap', 'prod'),
  method: fc.constantFrom('GET', 'HEAD', 'PUT'),
  path: fc.constantFrom('/v2/a', '/v2/a?b', '/v2/b'),
  query: fc.constantFrom('', 'b', 'tag=v1'),
  isSecure: fc.boolean(),
  host: fc.constantFrom('', 'a', 'a:1'),
  address: fc.constantFrom('', '192.0.2.1', '2001:db8::1'),
  tenant: fc.constantFrom('', 'a', 'b'),
})

type Parts = typeof parts extends fc.Arbitrary<infer T> ? T : never

function questionOf(made: Parts): Question {
  const { username, id, groups, commonNames, organizations, subject } = made
  const base: Identity =
    subject === null
      ? anonymous
      : { ...anonymous, oidc: { providerName: 'ci', claims: { sub: subject } } }
  const identity = { ...certified({ commonNames, organizations }, base), username, id, groups }
  const { kind, repository, method, path, query, isSecure, host, address, tenant } = made
  const asked: Asked = {
    ...{ method, path, query, isSecure, clientIp: () => address },
    header: (name) => ({ host, 'x-tenant': tenant })[name] ?? '',
  }
  return { identity, action: act(kind, repository), asked }
}

function textFor(made: Parts): string | undefined {
  try {
    const question = questionOf(made)
    return questionText(question, question.asked.clientIp(), ['x-tenant'])
  } catch (error) {
    assert.ok(error instanceof Unsendable)
    return undefined
  }
}

/** Differences that are none to anybody: the same target, and an action that knows no repository. */
function meaningOf(made: Parts): string {
  const { path, query, kind, repository, ...others } = made
  const target = query === '' ? path : `${path}?${query}`
  const { action } = questionOf(made)
  return JSON.stringify([others, target, kind, 'repository' in action ? repository : ''])
}

test('two questions that differ in anything are never sent alike', () => {
  const one = parts
  const change = fc.record({ from: parts, keys: fc.subarray(Object.keys({ ...sampleOf(parts) })) })
  fc.assert(
    fc.property(one, change, (before, { from, keys }) => {
      const after = { ...before }
      for (const key of keys) Object.assign(after, { [key]: from[key as keyof Parts] })
      const texts = [textFor(before), textFor(after)]
      if (texts.includes(undefined)) return
      const isSame = meaningOf(before) === meaningOf(after)
      assert.equal(texts[0] === texts[1], isSame)
    }),
    { numRuns: 2000 },
  )
})

test('no part of a question makes a header that is none, or one more', () => {
  fc.assert(
    fc.property(parts, (made) => {
      let headers: Readonly<Record<string, string>>
      try {
        const question = questionOf(made)
        headers = sentHeaders(questionText(question, question.asked.clientIp(), ['x-tenant']))
      } catch (error) {
        assert.ok(error instanceof Unsendable)
        return
      }
      for (const [name, value] of Object.entries(headers)) {
        assert.match(name, /^x-[a-z-]+$/)
        assert.match(value, /^[\x20-\x7e]*$/)
        assert.equal(value, value.trim())
      }
    }),
    { numRuns: 1000 },
  )
})

function sampleOf<T>(arbitrary: fc.Arbitrary<T>): T {
  const [sample] = fc.sample(arbitrary, { numRuns: 1, seed: 1 })
  if (sample === undefined) throw new Error('no sample')
  return sample
}

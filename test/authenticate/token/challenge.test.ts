// Goal: clients understand where to get a token, and nobody can write into the challenge. Method: the
// text itself, and the parsers of clients as they are.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anonymous } from '../../../src/authenticate/identity.ts'
import {
  challengeErrorOf,
  createChallenges,
  originOf,
} from '../../../src/authenticate/token/challenge.ts'
import { RegistryTokenRefusal } from '../../../src/authenticate/token/contract.ts'
import { scopeRefusal } from '../../../src/authenticate/token/scope.ts'
import { OciError } from '../../../src/oci/error.ts'
import { route } from '../../../src/route/route.ts'

const service = 'registry.example.com'
const realm = 'https://registry.example.com/token'
const pull = route({ method: 'GET', path: '/v2/a/b/manifests/v1', query: '' })
const ping = route({ method: 'GET', path: '/v2/', query: '' })
const unasked = (): never => assert.fail('the origin is not asked for')

test('the challenge has realm, service, scope and error, in quotes', () => {
  const { challengeFor, areForTokens } = createChallenges({ realm, service })
  assert.equal(areForTokens, true)
  const start = `Bearer realm="${realm}",service="${service}"`
  assert.equal(challengeFor(ping, unasked), start)
  assert.equal(challengeFor(undefined, unasked), start)
  assert.equal(challengeFor(pull, unasked), `${start},scope="repository:a/b:pull"`)
  assert.equal(
    challengeFor(pull, unasked, 'insufficient_scope'),
    `${start},scope="repository:a/b:pull",error="insufficient_scope"`,
  )
  assert.equal(challengeFor(ping, unasked, 'invalid_token'), `${start},error="invalid_token"`)
})

test('the conformance suite reads the last scheme in it, which is the first one', () => {
  const value = createChallenges({ realm, service }).challengeFor(pull, unasked, 'invalid_token')
  const [, scheme, rest = ''] = /^.*\b(basic|bearer)\b\s+(.*)$/i.exec(value) ?? []
  assert.equal(scheme, 'Bearer')
  const pairs = [...rest.matchAll(/([a-z]+)="([^"]*)"/g)].map(([, name, text]) => [name, text])
  assert.deepEqual(Object.fromEntries(pairs), {
    ...{ realm, service, scope: 'repository:a/b:pull', error: 'invalid_token' },
  })
})

test('without a realm it is at the host that the client asked', () => {
  const { challengeFor } = createChallenges({ realm: undefined, service })
  const value = challengeFor(ping, () => 'http://[::1]:5000')
  assert.equal(value, `Bearer realm="http://[::1]:5000/token",service="${service}"`)
  assert.equal(
    challengeFor(ping, () => undefined),
    'Basic realm="keelson"',
  )
})

test('at the token service itself, and where there is none, a password is asked for', () => {
  const token = route({ method: 'GET', path: '/token', query: '' })
  assert.equal(
    createChallenges({ realm, service }).challengeFor(token, unasked),
    'Basic realm="keelson"',
  )
  const none = createChallenges(undefined)
  assert.equal(none.challengeFor(pull, unasked, 'invalid_token'), 'Basic realm="keelson"')
  assert.equal(none.areForTokens, false)
})

test('a Host header names a host, or nothing', () => {
  assert.equal(originOf('registry.example.com', true), 'https://registry.example.com')
  assert.equal(originOf('localhost:5000', false), 'http://localhost:5000')
  assert.equal(originOf('[2001:db8::1]:443', true), 'https://[2001:db8::1]:443')
  for (const host of [
    ...['', 'a b', 'a"b', 'evil.example/x?', 'user@evil.example', 'a\\b', 'a,b', 'a:b', 'a:123456'],
    ...['[zz]', '[::1', 'a\nb', 'a'.repeat(300), 'höst'],
  ]) {
    assert.equal(originOf(host, true), undefined, host)
  }
})

test('the error tells a token that is not good from one that is for less', () => {
  const invalid = new OciError('UNAUTHORIZED', { cause: new RegistryTokenRefusal('expired') })
  assert.equal(challengeErrorOf(invalid), 'invalid_token')
  assert.equal(
    challengeErrorOf(scopeRefusal({ ...anonymous, scopes: [] }, pull)),
    'insufficient_scope',
  )
  assert.equal(challengeErrorOf(new OciError('UNAUTHORIZED')), undefined)
})

// Goal: a rule means what CEL and docs/policies.md say. Method: rules against one request each, as a
// table of rule → outcome.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { anonymous } from '../../src/authenticate/identity.ts'
import type { Subject } from '../../src/authorize/policy/frame.ts'
import { act, bearer, certified, digest, requested, runRule, user } from './scene.ts'

type Expected = 'true' | 'false' | RegExp

function table(
  title: string,
  subject: Partial<Subject>,
  rows: readonly (readonly [rule: string, expected: Expected])[],
): void {
  describe(title, () => {
    for (const [rule, expected] of rows) {
      test(`${rule} → ${expected}`, () => {
        const { outcome, error } = runRule(rule, subject)
        if (expected instanceof RegExp) assert.match(error ?? outcome, expected)
        else assert.equal(error ?? outcome, expected)
      })
    }
  })
}

table(
  'what is absent equals null and the empty string, and nothing else',
  { identity: anonymous },
  [
    ['identity.username == null', 'true'],
    ['null == identity.username', 'true'],
    ['identity.username != null', 'false'],
    ["identity.username == ''", 'true'],
    ["'' == identity.username", 'true'],
    ["identity.username != ''", 'false'],
    ["identity.username == 'admin'", 'false'],
    ["identity.username != 'admin'", 'true'],
    ["identity['username'] == ''", 'true'],
    ['identity.username == identity.id', 'true'],
    ["identity.username in ['']", 'true'],
    ["identity.username in ['admin']", 'false'],
    ["[''].contains(identity.username)", 'true'],
    ["[identity.username] == ['']", 'true'],
    ["['', 'a'].exists(name, name == identity.username)", 'true'],
    ['dyn(identity.username) == null', 'true'],
    ["dyn(identity.username) == ''", 'true'],
    ['has(identity.username)', 'false'],
    ['identity.oidc == null', 'true'],
    ['has(identity.oidc)', 'false'],
    ['has(identity.oidc.claims)', 'false'],
    ['has(identity.oidc.claims.role)', 'false'],
    ['identity.oidc.claims == {}', 'false'],
    ['identity.certificate == null', 'true'],
    ['identity.certificate.serial == null', 'true'],
    ['identity.certificate.not_after == null', 'true'],
    ['identity.certificate.common_names == []', 'true'],
    ['size(identity.certificate.sans.uri) == 0', 'true'],
  ],
)

table('what is absent cannot be used as a string', { identity: anonymous }, [
  ["identity.username.startsWith('')", /expected a string, not absent/],
  ["identity.username.matches('.*')", /expected a string, not absent/],
  ["identity.username.contains('')", /expected a string, not absent/],
  ['request.repository.startsWith(identity.username)', /expected a string, not absent/],
  ["identity.username + '/' == '/'", /no such overload: absent \+ string/],
  ["identity.username < 'z'", /no such overload: absent < string/],
  ['size(identity.username) == 0', /absent has no size/],
  ["string(identity.username) == ''", /cannot convert this absent/],
  ["identity.oidc.claims.role == 'x'", /absent has no fields/],
  ["identity.certificate.not_after > timestamp('2020-01-01T00:00:00Z')", /absent > timestamp/],
])

const certificateHolder = certified({
  commonNames: ['ci', 'ci-2'],
  organizations: ['Platform'],
  sans: { dns: ['ci.example'], uri: ['spiffe://example/ci'], email: ['ci@example'] },
})
table('a certificate', { identity: certificateHolder }, [
  ['identity.certificate != null', 'true'],
  ["'ci-2' in identity.certificate.common_names", 'true'],
  ["identity.certificate.organizations.contains('Platform')", 'true'],
  ["identity.certificate.organizations.contains('platform')", 'false'],
  ["identity.certificate.sans.dns == ['ci.example']", 'true'],
  ["identity.certificate.sans.uri.exists(u, u.startsWith('spiffe://example/'))", 'true'],
  ["identity.certificate.sans.email[0].endsWith('@example')", 'true'],
  ["identity.certificate.serial == '1F'", 'true'],
  ['identity.certificate.fingerprint_sha256.size() == 64', 'true'],
  ["identity.certificate.not_after > timestamp('2029-12-31T23:59:59Z')", 'true'],
  ["identity.certificate.not_after - timestamp('2029-12-31T00:00:00Z') == duration('24h')", 'true'],
  ['identity.certificate.not_after.getFullYear() == 2030', 'true'],
])

table('a user', {}, [
  ["identity.id == 'id-alice'", 'true'],
  ["identity.username == 'alice'", 'true'],
  ["identity.client_ip == '192.0.2.7'", 'true'],
  ["'ops' in identity.groups", 'true'],
  ["identity.groups.contains('root')", 'false'],
  ["identity.groups.exists(g, g == 'dev')", 'true'],
  ['identity.groups.all(g, g.size() == 3)', 'true'],
  ["identity.groups.exists_one(g, g.startsWith('o'))", 'true'],
  ["identity.groups.filter(g, g != 'dev') == ['ops']", 'true'],
  ["identity.groups.map(g, g + '!') == ['dev!', 'ops!']", 'true'],
  ["identity.groups.map(g, g == 'ops', g + '/') == ['ops/']", 'true'],
  ["request.repository.startsWith('team/')", 'true'],
  ['request.namespace == request.repository', 'true'],
  ["{'alice': ['team/app']}[identity.username].contains(request.repository)", 'true'],
  ["{'bob': ['team/app']}[identity.username].contains(request.repository)", /no such key: alice/],
  ["identity.username in {'alice': 1}", 'true'],
  ["identity.groups[1] == 'ops'", 'true'],
  ["identity.groups[2] == 'ops'", /has no index 2/],
])

const claims = {
  role: 'admin',
  level: 3,
  ok: true,
  roles: ['a', 'b'],
  deep: { er: null },
  empty: '',
}
table('claims', { identity: bearer(claims) }, [
  ["identity.oidc.provider_name == 'ci'", 'true'],
  ["identity.oidc != null && identity.oidc.claims.role == 'admin'", 'true'],
  ["identity.oidc.claims['role'] == 'admin'", 'true'],
  ['identity.oidc.claims.level == 3', 'true'],
  ['3 == identity.oidc.claims.level', 'true'],
  ['4 == identity.oidc.claims.level', 'false'],
  ['identity.oidc.claims.level > 2', 'true'],
  ["identity.oidc.claims.level == '3'", 'false'],
  ['identity.oidc.claims.ok', 'true'],
  ['identity.oidc.claims.role', /expected a bool, not string/],
  ["identity.oidc.claims.roles.contains('b')", 'true'],
  ["'b' in identity.oidc.claims.roles", 'true'],
  ["identity.oidc.claims.roles.exists(r, r == 'b')", 'true'],
  ["'role' in identity.oidc.claims", 'true'],
  ['has(identity.oidc.claims.deep.er)', 'true'],
  ['identity.oidc.claims.deep.er == null', 'true'],
  ['has(identity.oidc.claims.deep.est)', 'false'],
  ['has(identity.oidc.claims.un.known)', 'false'],
  ['has(identity.oidc.claims.role.x)', /string has no fields/],
  ["identity.oidc.claims.missing != 'x'", /no such key: missing/],
  ["identity.oidc.claims.constructor != 'x'", /no such key: constructor/],
  ["identity.oidc.claims.__proto__ != 'x'", /no such key: __proto__/],
  ["'toString' in identity.oidc.claims", 'false'],
  ['identity.oidc.claims.size() == 6', 'true'],
])

table('a request without a repository', { action: act('list-catalog') }, [
  ["request.action == 'list-catalog'", 'true'],
  ['has(request.repository)', 'false'],
  ['request.repository == null', 'true'],
  ["request.repository == ''", /request.repository is not set for this action/],
  ["request.repository.startsWith('x') || true", 'true'],
  ["false && request.repository.startsWith('x')", 'false'],
  ["request.repository.startsWith('x') && false", 'false'],
  ["request.repository.startsWith('x') && true", /is not set/],
  ['request.n == 10', 'true'],
  ["request.last == 'b'", 'true'],
  ['request.tags == []', 'true'],
])

table(
  'a push by digest with tags',
  {
    action: requested('PUT', `/v2/a/manifests/${digest}?tag=v1&tag=v2`),
  },
  [
    [`request.reference == '${digest}'`, 'true'],
    ["request.tags == ['v1', 'v2']", 'true'],
    ["request.tags.all(t, t.matches('^v[0-9]+$'))", 'true'],
    ['has(request.digest)', 'false'],
  ],
)

table('a mount', { action: act('mount-blob') }, [
  ["request.action == 'mount-blob'", 'true'],
  ["request.from == 'base'", 'true'],
  [`request.digest == '${digest}'`, 'true'],
  ["request.digest_algorithm == 'sha256'", 'true'],
])

table('an upload and a referrers list', { action: act('complete-upload') }, [
  ['request.session_id.size() == 36', 'true'],
  ['has(request.artifact_type)', 'false'],
])

table('strings', {}, [
  ["'aBc'.lowerAscii() == 'abc' && 'aBc'.upperAscii() == 'ABC'", 'true'],
  ["' a '.trim() == 'a'", 'true'],
  ["'a/b/c'.split('/') == ['a', 'b', 'c']", 'true'],
  ["['a', 'b'].join('-') == 'a-b'", 'true'],
  ["'abc'.indexOf('c') == 2 && 'abca'.lastIndexOf('a') == 3", 'true'],
  ["'abc'.substring(1) == 'bc' && 'abc'.substring(0, 2) == 'ab'", 'true'],
  ["'abc'.substring(2, 1) == ''", /out of range/],
  ["size('é😀') == 2", 'true'],
  ["'prod-1'.matches('^prod-[0-9]$')", 'true'],
  ["'a' + 'b' == 'ab'", 'true'],
  ["'a' < 'b'", 'true'],
])

table('numbers, conversions and times', {}, [
  ['1 + 2 * 3 - 4 / 2 == 5 && 7 % 4 == 3 && -1 < 0', 'true'],
  ['9223372036854775807 + 1 == 0', /integer overflow/],
  ['1 / 0 == 0', /division by zero/],
  ["int('42') == 42 && int(3.9) == 3 && double('1.5') == 1.5 && string(7) == '7'", 'true'],
  ["int('4x') == 4", /cannot convert/],
  ["bool('true') && !bool('false')", 'true'],
  ["timestamp('2027-01-31T00:00:00+01:00') < timestamp('2027-01-31T00:00:00Z')", 'true'],
  ["timestamp('yesterday') == timestamp(0)", /timestamp\(\) needs/],
  ["duration('1h30m') == duration('90m') && duration('-1.5h') < duration('300ms')", 'true'],
  ["duration('1x') == duration('1s')", /duration\(\) needs/],
  ["timestamp('2027-02-01T12:30:00Z').getDayOfYear() == 31", 'true'],
  ["duration('90m').getHours() == 1", 'true'],
])

describe('the address of the client', () => {
  test('it is asked for by rules that read it, and by no other', () => {
    let asked = 0
    const clientIp = (): string => {
      asked += 1
      return '2001:db8::1'
    }
    assert.equal(runRule("identity.username == 'alice'", { clientIp }).outcome, 'true')
    assert.equal(asked, 0)
    assert.equal(runRule("identity.client_ip.startsWith('2001:')", { clientIp }).outcome, 'true')
    assert.equal(asked, 1)
  })
})

describe('a user without a name', () => {
  test('an empty name is nobody’s', () => {
    assert.equal(runRule("identity.username != ''", { identity: user('') }).outcome, 'false')
    assert.equal(runRule('identity.username != null', { identity: user('') }).outcome, 'false')
  })
})

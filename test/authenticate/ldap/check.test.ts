// Goal: what would send passwords in clear text, or make one user of many, is refused before it is used;
// and what a name holds stays a value. Method: tables.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { FilterParser } from 'ldapts'
import { ldapProblems } from '../../../src/authenticate/ldap/check.ts'
import { parseLdapUrl } from '../../../src/authenticate/ldap/connect.ts'
import type { LdapConfig } from '../../../src/authenticate/ldap/contract.ts'
import { openLdapDirectories } from '../../../src/authenticate/ldap/open.ts'
import {
  escapeDnValue,
  escapeFilterValue,
  fillDn,
  fillFilter,
} from '../../../src/authenticate/ldap/template.ts'
import { Secret } from '../../../src/config/secret.ts'
import { Dice, randomFrom } from '../../support/dice.ts'
import { ldapConfig } from './scene.ts'

const good: Partial<LdapConfig> = { url: 'ldaps://ldap.example.com', userBase: 'dc=x' }
const { userBase: _base, ...bare } = good
const password = new Secret('secret')
const activeDirectory =
  '(&(objectClass=user)(sAMAccountName={username})(!(userAccountControl:1.2.840.113556.1.4.803:=2)))'

describe('a directory that can be asked', () => {
  const fit: ReadonlyArray<Partial<LdapConfig>> = [
    good,
    { ...good, url: 'ldap://ldap.example.com:3389', startTls: true },
    { ...good, url: 'ldap://127.0.0.1' },
    { ...good, url: 'ldap://[::1]:389' },
    { ...good, url: 'ldap://localhost' },
    { ...good, bindDn: 'cn=search,dc=x', bindPassword: password },
    { ...good, bindDn: 'search@corp.example.com', bindPassword: password },
    { ...good, bindDn: 'CORP\\search', bindPassword: password },
    { ...good, userFilter: activeDirectory },
    { ...good, userFilter: '(|(uid={username})(mail={username}))' },
    { ...good, groupBase: 'dc=x', groupFilter: '(member:1.2.840.113556.1.4.1941:={dn})' },
    { ...good, groupBase: 'dc=x', groupFilter: '(|(member={dn})(memberUid={username}))' },
    { ...bare, userDn: 'uid={username},ou=people,dc=example,dc=com' },
    { ...bare, userDn: 'cn={username}+ou=x,dc=example' },
  ]
  for (const config of fit) {
    test(JSON.stringify(config), () => assert.deepEqual(ldapProblems(ldapConfig(config)), []))
  }
})

describe('a directory that must not be asked', () => {
  const unfit: ReadonlyArray<readonly [key: string, config: Partial<LdapConfig>]> = [
    ['url', { ...good, url: 'ldap://ldap.example.com' }],
    ['url', { ...good, url: 'ldap://127.0.0.1.example.com' }],
    ['url', { ...good, url: 'ldap://localhost.example.com' }],
    ['url', { ...good, url: 'ldap://10.0.0.1' }],
    ['url', { ...good, url: 'https://ldap.example.com' }],
    ['url', { ...good, url: 'ldapi:///run/slapd' }],
    ['url', { ...good, url: 'ldaps://ldap.example.com/dc=x' }],
    ['url', { ...good, url: 'ldaps://user@ldap.example.com' }],
    ['url', { ...good, url: 'ldaps://ldap.example.com:0' }],
    ['url', { ...good, url: 'ldaps://ldap.example.com:65536' }],
    ['start_tls', { ...good, startTls: true }],
    ['client_private_key', { ...good, clientCertificate: '/c.pem' }],
    ['bind_password', { ...good, bindDn: 'cn=search' }],
    ['bind_dn', { ...good, bindPassword: password }],
    ['bind_dn', { ...good, bindDn: 'EXTERNAL', bindPassword: password }],
    ['user_base', bare],
    ['user_base', { ...good, userDn: 'uid={username},dc=x' }],
    ['user_dn', { ...bare, userDn: 'uid=alice,dc=x' }],
    ['user_dn', { ...bare, userDn: '{username}' }],
    ['user_dn', { ...bare, userDn: '{username}@corp.example.com' }],
    ['user_dn', { ...bare, userDn: '{username}=x,dc=x' }],
    ['user_dn', { ...bare, userDn: 'uid={username},{dn}' }],
    ['user_filter', { ...good, userFilter: '(uid=alice)' }],
    ['user_filter', { ...good, userFilter: '(uid={username}' }],
    ['user_filter', { ...good, userFilter: '({username}=x)' }],
    ['user_filter', { ...good, userFilter: '(&(uid={username})(x={dn}))' }],
    ['group_filter', { ...good, groupBase: 'dc=x', groupFilter: '(objectClass=group)' }],
    ['group_filter', { ...good, groupBase: 'dc=x', groupFilter: '(member={user})' }],
    ['username_attribute', { ...good, usernameAttribute: 'dn' }],
    ['username_attribute', { ...good, usernameAttribute: 'uid)(x' }],
    ['group_attribute', { ...good, groupAttribute: '*' }],
    ['connections_max', { ...good, connectionsMax: 1 }],
  ]
  for (const [key, config] of unfit) {
    test(`${key} of ${JSON.stringify(config)}`, () => {
      const problems = ldapProblems(ldapConfig(config))
      assert.deepEqual(
        problems.map((problem) => problem.key),
        [key],
      )
      const parts = { elapsed: () => 0, log: { info: () => undefined, warn: () => undefined } }
      assert.throws(() => openLdapDirectories([ldapConfig(config)], parts), /auth\.ldap\.corp\./)
    })
  }
})

test('a URL says where the directory is, and no more', () => {
  assert.deepEqual(parseLdapUrl('LDAPS://LDAP.Example.com/'), {
    ...{ isTls: true, host: 'ldap.example.com', port: 636, isLoopback: false },
  })
  assert.deepEqual(parseLdapUrl('ldap://[::1]:3389'), {
    ...{ isTls: false, host: '::1', port: 3389, isLoopback: true },
  })
  for (const text of [
    '',
    'ldap://',
    'ldap://[::1',
    'ldap://[1]',
    'ldap://a b',
    'ldap://a?b',
    'ldap://a#b',
  ]) {
    assert.equal(parseLdapUrl(text), undefined, text)
  }
})

// Source: the examples of RFC 4515 §4 and RFC 4514 §4.
test('values are escaped as the standards say', () => {
  assert.equal(
    escapeFilterValue('Parens R Us (for all your parenthetical needs)'),
    'Parens R Us \\28for all your parenthetical needs\\29',
  )
  assert.equal(escapeFilterValue('C:\\MyFile*\0'), 'C:\\5cMyFile\\2a\\00')
  assert.equal(escapeDnValue('James "Jim" Smith, III'), 'James \\"Jim\\" Smith\\, III')
  assert.equal(escapeDnValue(' #a;b<c>=d+\\ '), '\\ #a\\;b\\<c\\>\\=d\\+\\\\\\ ')
  assert.equal(escapeDnValue('#a'), '\\#a')
  assert.equal(escapeDnValue(' '), '\\ ')
})

test('what a value holds is no place, and no pattern of a replacement', () => {
  assert.equal(
    fillFilter('(a={username})(b={dn})', { username: '{dn}$&$1', dn: 'x' }),
    '(a={dn}$&$1)(b=x)',
  )
  assert.equal(fillDn('uid={username},dc=x', { username: '{username}' }), 'uid={username},dc=x')
})

test('any name within a filter is read back as that name, and as nothing else', () => {
  const dice = new Dice(randomFrom(4515))
  const letters = [...'()*\\&|!=<>~:,+"; aZ0é\u{1f600}{}']
  for (let i = 0; i < 5000; i += 1) {
    const name = Array.from({ length: 1 + dice.below(12) }, () => dice.pick(letters)).join('')
    const filter = FilterParser.parseString(
      fillFilter('(&(a=b)(uid={username}))', { username: name }),
    )
    const { filters } = filter as unknown as {
      filters: Array<{ attribute: string; value: string }>
    }
    assert.equal(filters.length, 2)
    assert.equal(filters[1]?.constructor.name, 'EqualityFilter')
    assert.deepEqual([filters[1]?.attribute, filters[1]?.value], ['uid', name])
  }
})

// Goal: who has a password in a real directory gets in as that user with its groups, and nobody else
// does. Method: slapd on loopback, over ldap, StartTLS and ldaps, searched and with names built.
import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { LoginOutcome } from '../../../src/authenticate/basic.ts'
import type { LdapConfig, LdapDirectory } from '../../../src/authenticate/ldap/contract.ts'
import { openLdapDirectories } from '../../../src/authenticate/ldap/open.ts'
import { Secret } from '../../../src/config/secret.ts'
import { OciError } from '../../../src/oci/error.ts'
import {
  group,
  groups,
  needsSlapd,
  people,
  person,
  type Slapd,
  service,
  startSlapd,
} from '../../support/slapd.ts'
import { usePki } from '../../support/tls-server.ts'
import { until } from '../../support/until.ts'
import { type Logged, ldapConfig, openLdap, outcomeOf } from './scene.ts'

const many = Array.from({ length: 257 }, (_, i) => group(`g${i}`, 'busy')).join('')
const odd = 'Ann*(x)\\2a, Jr+o="q";<z> #'
const entries = [
  person('alice', 'wonder land', 'mail: alice@example.org\n'),
  person('bob', 'builder'),
  person('nobody', undefined),
  person('busy', 'bee'),
  person('few', 'bee'),
  person('twin-a', 'twin', 'mail: twins@example.org\n'),
  person('twin-b', 'twin', 'mail: twins@example.org\n'),
  person('colon', 'semi', 'employeeNumber: github:alice\n'),
  person('multi', 'many', 'uid: alias\n'),
  person('jürgen', 'ümläut'),
  `\ndn: cn=odd,${people}\nobjectClass: inetOrgPerson\ncn: odd\nsn: odd\nuid: ${odd}\nuserPassword: odd\n`,
  group('builders', 'alice', 'bob'),
  group('admins', 'alice'),
  group('255th', ...['few']),
  many,
].join('')

describe('a login at slapd', needsSlapd, () => {
  const scene = usePki()
  let slapd: Slapd
  let strict: Slapd
  let bare: Slapd
  const open: LdapDirectory[] = []

  before(async () => {
    const { dir, pki } = scene
    const part = (name: string) => join(dir, name)
    slapd = await startSlapd({ dir: part('a'), pki, entries })
    strict = await startSlapd({ dir: part('b'), pki, entries, wantsCertificate: true })
    bare = await startSlapd({ dir: part('c'), pki: undefined, entries, database: 'sizelimit 1' })
  })
  after(async () => {
    for (const each of open) each.close()
    await Promise.all([slapd, strict, bare].map((each) => each?.stop()))
    rmSync(scene.dir, { recursive: true, force: true })
  })

  function searching(): Partial<LdapConfig> {
    return {
      url: `ldaps://127.0.0.1:${slapd.tlsPort}`,
      serverCaBundle: scene.pki.serverCa.certificateFile,
      bindDn: service.dn,
      bindPassword: new Secret(service.password),
      userBase: people,
      groupBase: groups,
      // The machine that runs this may be busy.
      timeoutMs: 20_000,
    }
  }

  function directory(config: Partial<LdapConfig> = {}, logged?: Logged[]): LdapDirectory {
    const opened = openLdap({ ...searching(), ...config }, logged)
    open.push(opened)
    return opened
  }

  function templated(): Partial<LdapConfig> {
    const { bindDn: _dn, bindPassword: _password, userBase: _base, ...rest } = searching()
    return { ...rest, userDn: `uid={username},${people}` }
  }

  const alice = {
    id: 'ldap:corp',
    username: 'alice',
    groups: ['builders', 'admins'],
    expiresAtMs: undefined,
    authMethod: 'ldap',
  }

  const ways: ReadonlyArray<readonly [string, () => Partial<LdapConfig>]> = [
    ['over ldaps', () => ({})],
    ['over StartTLS', () => ({ url: `ldap://localhost:${slapd.port}`, startTls: true })],
    ['over loopback in clear text', () => ({ url: `ldap://127.0.0.1:${slapd.port}` })],
    [
      'with a client certificate',
      () => ({
        url: `ldaps://127.0.0.1:${strict.tlsPort}`,
        clientCertificate: scene.pki.client.bundleFile,
        clientPrivateKey: scene.pki.client.keyFile,
      }),
    ],
  ]
  for (const [title, config] of ways) {
    test(`${title}: the right password gives the user and the groups, others nothing`, async () => {
      for (const mode of [searching(), { ...templated() }]) {
        const ldap = openLdap({ ...mode, ...config() })
        open.push(ldap)
        const outcome = await ldap.check('alice', 'wonder land')
        assert.deepEqual(sorted(outcome), sorted({ result: 'success', user: alice }))
        const second = await ldap.check('bob', 'builder')
        assert.deepEqual(second.result === 'success' && second.user.groups, ['builders'])
        assert.deepEqual(await ldap.check('alice', 'builder'), { result: 'wrong-password' })
      }
    })
  }

  test('a built name with a search account looks the groups up as that account', async () => {
    const { userBase: _base, ...rest } = searching()
    const ldap = openLdap({ ...rest, userDn: `uid={username},${people}` })
    open.push(ldap)
    const outcome = await ldap.check('ALICE', 'wonder land')
    assert.deepEqual(sorted(outcome), sorted({ result: 'success', user: alice }))
  })

  test('each way to write a name is one user', async () => {
    const mail = { userFilter: '(|(uid={username})(mail={username}))' }
    for (const typed of ['Alice', 'ALICE', 'alice', 'alice@example.org']) {
      const outcome = await directory(mail).check(typed, 'wonder land')
      assert.equal(outcome.result === 'success' && outcome.user.username, 'alice', typed)
    }
    const umlaut = await directory().check('JÜRGEN', 'ümläut')
    assert.equal(umlaut.result === 'success' && umlaut.user.username, 'jürgen')
    const alias = await directory().check('Alias', 'many')
    assert.equal(alias.result === 'success' && alias.user.username, 'alias')
  })

  test('without a password there is no login, and the directory is not even asked', async () => {
    const { log } = slapd
    const before = log.length
    const ldap = directory()
    assert.equal((await ldap.check('alice', '')).result, 'wrong-password')
    assert.equal((await ldap.check('alice', '\0')).result, 'wrong-password')
    assert.equal((await ldap.check('alice', 'wonder land\0')).result, 'wrong-password')
    for (const name of ['', ' alice', 'alice ', 'alice\0', 'a\nb', 'a'.repeat(257)]) {
      assert.equal((await ldap.check(name, 'wonder land')).result, 'unknown-user', name)
    }
    assert.equal(log.length, before)
  })

  test('an unknown name and an entry without a password let nobody in', async () => {
    assert.deepEqual(await directory().check('mallory', 'x'), { result: 'unknown-user' })
    const built = openLdap(templated())
    open.push(built)
    assert.deepEqual(await built.check('mallory', 'x'), { result: 'wrong-password' })
    const { result } = await directory().check('nobody', 'x')
    assert.ok(result === 'wrong-password' || result === 'refused', result)
  })

  test('an unknown name takes a bind too, and never one of somebody', async () => {
    const ldap = directory()
    await ldap.check('mallory', 'never-a-bind')
    await until('the bind is logged', () =>
      slapd.log.some((line) => /BIND dn="cn=[0-9a-f]{32},/.test(line)),
    )
  })

  test('no name gets out of its place in a filter', async () => {
    const names = ['*', 'a*', '*)(uid=*', 'alice)(|(uid=*', '(', ')', '\\', '\\2a', 'a=b', '&', '|']
    for (const name of names) {
      const outcome = await directory().check(name, 'wonder land')
      assert.deepEqual(outcome, { result: 'unknown-user' }, name)
    }
    // What they say is data: one who has such a name logs in with it.
    const outcome = await directory().check(odd, 'odd')
    assert.equal(outcome.result === 'success' && outcome.user.username, odd)
  })

  test('no name gets out of its place in the name of an entry', async () => {
    const ldap = openLdap(templated())
    open.push(ldap)
    for (const name of [
      'alice,ou=people',
      'alice+cn=alice',
      'x,uid=alice',
      '#616c696365',
      'a\\',
      '"',
    ]) {
      const { result } = await ldap.check(name, 'wonder land')
      assert.equal(result, 'wrong-password', name)
    }
  })

  test('no name reaches an entry that the template does not', async () => {
    const ldap = openLdap({ ...templated(), userDn: 'uid={username},dc=example,dc=org' })
    open.push(ldap)
    assert.deepEqual(await ldap.check('alice,ou=people', 'wonder land'), {
      result: 'wrong-password',
    })
  })

  test('more than one entry is nobody, is said once, and so is a cut answer', async () => {
    const logged: Logged[] = []
    const filter = { userFilter: '(mail={username})' }
    const ldap = directory(filter, logged)
    for (let i = 0; i < 3; i += 1) {
      assert.deepEqual(await ldap.check('twins@example.org', 'twin'), { result: 'unfit-user' })
    }
    assert.equal(logged.length, 1)
    assert.match(String(logged[0]?.fields['reason']), /more than one entry/)
    const cut = directory({ ...filter, url: `ldap://127.0.0.1:${bare.port}` })
    assert.deepEqual(await cut.check('twins@example.org', 'twin'), { result: 'unfit-user' })
    assert.equal((await cut.check('alice@example.org', 'wonder land')).result, 'unfit-user')
  })

  test('a name with a colon cannot be had, nor more groups than policies look at', async () => {
    const attribute = { usernameAttribute: 'employeeNumber' }
    assert.deepEqual(await directory(attribute).check('colon', 'semi'), { result: 'unfit-user' })
    assert.deepEqual(await directory().check('busy', 'bee'), { result: 'unfit-user' })
    const few = await directory({ groupAttribute: 'dn' }).check('few', 'bee')
    assert.deepEqual(few.result === 'success' && few.user.groups, [`cn=255th,${groups}`])
  })

  test('an attribute that cannot be read is a fault, and no user without it', async () => {
    for (const config of [
      { usernameAttribute: 'employeeNumber' },
      { groupAttribute: 'description' },
      { groupBase: 'ou=none,dc=example,dc=org' },
      { userBase: 'ou=none,dc=example,dc=org' },
      { bindPassword: new Secret('wrong') },
    ]) {
      await assert.rejects(outcomeOf(directory(config).check('alice', 'wonder land')), unavailable)
    }
    // Nobody may search: the directory shows nothing, which is what an unknown user looks like.
    const { bindDn: _dn, bindPassword: _password, ...nobody } = searching()
    const ldap = openLdap(nobody)
    open.push(ldap)
    await assert.rejects(ldap.check('alice', 'wonder land'), unavailable)
  })

  test('a certificate of another CA, for another name, or none at all is a fault', async () => {
    const rogue = await scene.pki.authority('Other CA')
    const elsewhere = { serverCaBundle: rogue.certificateFile }
    const startTls = { url: `ldap://127.0.0.1:${slapd.port}`, startTls: true }
    const cases: ReadonlyArray<Partial<LdapConfig>> = [
      elsewhere,
      { ...startTls, ...elsewhere },
      { url: `ldaps://127.0.0.2:${slapd.tlsPort}` },
      { serverCaBundle: undefined },
      { serverCaBundle: join(scene.dir, 'absent.pem') },
      { url: `ldaps://127.0.0.1:${strict.tlsPort}` },
      // It knows no TLS: what it refuses is not done without.
      { url: `ldap://127.0.0.1:${bare.port}`, startTls: true },
    ]
    for (const config of cases) {
      await assert.rejects(directory(config).check('alice', 'wonder land'), unavailable)
    }
    assert.ok(!bare.log.some((line) => line.includes('wonder')))
  })

  test('the name in the certificate is that of the URL, also after StartTLS', async () => {
    const { pki } = scene
    const other = await pki.serverCa.serverCertificate({ sans: ['DNS:elsewhere.test'] })
    writeFileSync(join(scene.dir, 'other.pem'), other.bundlePem)
    const server = { ...pki, server: other }
    const named = await startSlapd({ dir: join(scene.dir, 'd'), pki: server, entries })
    try {
      for (const config of [
        { url: `ldaps://localhost:${named.tlsPort}` },
        { url: `ldap://localhost:${named.port}`, startTls: true },
      ]) {
        await assert.rejects(directory(config).check('alice', 'wonder land'), unavailable)
      }
    } finally {
      await named.stop()
    }
  })

  test('many logins at once keep to the bound, and each gets its own answer', async () => {
    const ldap = directory({ connectionsMax: 4 })
    let most = 0
    const watch = setInterval(() => {
      most = Math.max(most, ldap.status().connections)
    }, 1)
    const logins = Array.from({ length: 40 }, async (_, i) => {
      const isRight = i % 3 !== 0
      const [name, password] = i % 2 === 0 ? ['alice', 'wonder land'] : ['bob', 'builder']
      const outcome = await ldap.check(name, isRight ? password : 'wrong')
      if (!isRight) assert.deepEqual(outcome, { result: 'wrong-password' })
      else assert.equal(outcome.result === 'success' && outcome.user.username, name)
    })
    await Promise.all(logins)
    clearInterval(watch)
    assert.ok(most <= 4 && most >= 2, String(most))
    const { verdicts, faults, waiting } = ldap.status()
    assert.deepEqual({ verdicts, faults, waiting }, { verdicts: 40, faults: 0, waiting: 0 })
  })

  test('a connection that searches is used again, and is never bound as a user', async () => {
    const ldap = directory()
    const from = slapd.log.length
    for (let i = 0; i < 3; i += 1) await ldap.check('alice', 'wonder land')
    const lines = slapd.log.slice(from)
    const searches = new Set(
      lines
        .filter((line) => /SRCH base="ou=/.test(line))
        .map((line) => /conn=(\d+)/.exec(line)?.[1]),
    )
    assert.equal(searches.size, 1)
    const [conn] = searches
    const binds = lines.filter((line) => line.includes(`conn=${conn} `) && / BIND dn="/.test(line))
    assert.ok(binds.length > 0)
    for (const line of binds) assert.ok(line.includes(service.dn), line)
  })

  test('a directory that hangs is waited for once in all, and one that is back answers', async () => {
    const { dir, pki } = scene
    const other = await startSlapd({ dir: join(dir, 'e'), pki, entries })
    const url = `ldaps://127.0.0.1:${other.tlsPort}`
    const logged: Logged[] = []
    const ldap = directory({ url, timeoutMs: 3000 }, logged)
    try {
      await assertBack(ldap)
      logged.length = 0
      other.pause()
      const startedMs = performance.now()
      // Two at a time: one after the other they would take a minute.
      const logins = Array.from({ length: 40 }, () => ldap.check('alice', 'wonder land'))
      for (const each of await Promise.allSettled(logins)) {
        assert.ok(each.status === 'rejected' && unavailable(each.reason))
      }
      assert.ok(performance.now() - startedMs < 20_000)
      await until('all connections are closed', () => ldap.status().connections === 0)
      other.resume()
      await assertBack(ldap)
    } finally {
      other.resume()
      await other.stop()
    }
    await assert.rejects(ldap.check('alice', 'wonder land'), unavailable)
    // A fault, that it is over, and the next one; not a line for each login.
    assert.deepEqual(
      logged.map(({ level }) => level),
      ['warn', 'info', 'warn'],
    )
  })

  test('nothing is asked after the end', async () => {
    const ldap = openLdapDirectories([ldapConfig(searching())], {
      elapsed: () => performance.now(),
      log: { info: () => undefined, warn: () => undefined },
    })[0]
    const login = ldap?.check('alice', 'wonder land')
    ldap?.close()
    await assert.rejects(login ?? Promise.resolve(), unavailable)
    await assert.rejects(ldap?.check('alice', 'wonder land') ?? Promise.resolve(), unavailable)
  })
})

function unavailable(error: unknown): boolean {
  const retry = error instanceof OciError && error.headers.some(([name]) => name === 'Retry-After')
  assert.ok(error instanceof OciError, String(error))
  assert.equal(error.code, 'UNAVAILABLE')
  return retry
}

/** It may take a while on a busy machine, where a short `timeoutMs` is over before slapd has its turn. */
async function assertBack(ldap: LdapDirectory): Promise<void> {
  const deadlineMs = performance.now() + 60_000
  for (;;) {
    const outcome = await ldap.check('alice', 'wonder land').catch((error: unknown) => error)
    if (!(outcome instanceof Error)) {
      assert.equal((outcome as LoginOutcome).result, 'success')
      return
    }
    assert.ok(performance.now() < deadlineMs, 'it never answers again')
  }
}

function sorted(outcome: LoginOutcome | object): unknown {
  return JSON.parse(JSON.stringify(outcome), (_key, value: unknown) =>
    Array.isArray(value) ? value.toSorted() : value,
  )
}

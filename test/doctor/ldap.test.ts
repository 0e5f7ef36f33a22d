// Goal: the doctor says of a directory whether it could be asked, and why not. Method: facts for the
// findings; slapd for the facts.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { LdapConfig } from '../../src/authenticate/ldap/contract.ts'
import { Secret } from '../../src/config/secret.ts'
import { checkServices, type ServiceFacts } from '../../src/doctor/check/services.ts'
import { askLdap } from '../../src/doctor/probe/ask-ldap.ts'
import { ldapConfig } from '../authenticate/ldap/scene.ts'
import { groups, needsSlapd, people, type Slapd, service, startSlapd } from '../support/slapd.ts'
import { usePki } from '../support/tls-server.ts'
import { said } from './said.ts'

test('clear text and searches by nobody in particular are warned of, beside a directory that is away', async () => {
  const severities = async (config: Partial<LdapConfig>): Promise<readonly string[]> => {
    const url = 'ldaps://127.0.0.1:1'
    const facts = await askLdap(ldapConfig({ url, timeoutMs: 500, ...config }))
    return said(checkServices([facts])).map((line) => line.split(' ')[0] ?? '')
  }
  const bound = { bindDn: 'cn=a', bindPassword: new Secret('planted'), userBase: 'dc=a' }
  assert.deepEqual(await severities(bound), ['error'])
  assert.deepEqual(await severities({ ...bound, url: 'ldap://127.0.0.1:1' }), ['error', 'warning'])
  assert.deepEqual(await severities({ userBase: 'dc=a' }), ['error', 'warning'])
})

describe('asked about slapd', needsSlapd, () => {
  const scene = usePki()
  let slapd: Slapd
  before(async () => {
    slapd = await startSlapd({ dir: join(scene.dir, 'slapd'), pki: scene.pki, entries: '' })
  })
  after(() => slapd?.stop())

  async function faultOf(config: Partial<LdapConfig>): Promise<ServiceFacts['fault']> {
    const { fault } = await askLdap(
      ldapConfig({
        url: `ldaps://localhost:${slapd.tlsPort}`,
        serverCaBundle: scene.pki.serverCa.certificateFile,
        bindDn: service.dn,
        bindPassword: new Secret(service.password),
        userBase: people,
        groupBase: groups,
        ...config,
      }),
    )
    return fault
  }

  const remedies: Readonly<Record<string, RegExp>> = {
    configuration: /that key/,
    connection: /bind_dn and bind_password/,
    user_base: /correct user_base/,
    group_base: /correct group_base/,
  }

  test('it tells what is wrong and what to do, and never the password', async () => {
    assert.equal(await faultOf({}), undefined)
    const cases: ReadonlyArray<readonly [string, Partial<LdapConfig>, RegExp]> = [
      ['configuration', { url: 'ldap://ldap.example.com' }, /clear text/],
      ['connection', { serverCaBundle: undefined }, /certificate/],
      ['connection', { url: 'ldaps://localhost:1' }, /ECONNREFUSED/],
      ['connection', { bindPassword: new Secret('wrong-secret') }, /bind_dn with code 49/],
      ['user_base', { userBase: 'ou=absent,dc=example,dc=org' }, /code 32/],
      ['group_base', { groupBase: 'ou=absent,dc=example,dc=org' }, /code 32/],
    ]
    for (const [step, config, reason] of cases) {
      const fault = await faultOf(config)
      assert.match(fault?.remedy ?? '', remedies[step] ?? /^$/)
      assert.match(fault?.reason ?? '', reason)
      assert.doesNotMatch(fault?.reason ?? '', /secret/)
    }
  })
})

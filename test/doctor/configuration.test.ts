// Goal: what a configuration says that is legal and seldom meant is told. Method: configurations that
// differ from one that is well in one thing.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import { checkConfiguration } from '../../src/doctor/check/configuration.ts'
import { readConfiguration } from '../../src/doctor/probe/configuration.ts'
import { said } from './said.ts'

const store = '[blob_store.fs]\nroot_dir = "/srv/keelson"\n'
const policy = `[global.access_policy]\nrules = ["identity.username == 'ci'"]\n`
const tls = '[server.tls]\nserver_certificate_bundle = "c"\nserver_private_key = "k"\n'
const user =
  '[auth.identity.ci]\nusername = "ci"\npassword = "$argon2id$v=19$m=19456,t=2,p=1$YQ$YQ"\n'
const open = '[server]\nbind_address = "0.0.0.0"\n'

function says(text: string, problems: readonly string[] = []): string {
  const config = parseConfig([{ file: '/etc/keelson/config.toml', text }], {})
  return said(
    checkConfiguration(readConfiguration(config, { problems, isOnUws: (each) => each.tls })),
  ).join('\n')
}

describe('the check of the configuration', () => {
  test('is content with one that is meant', () => {
    const server = `[server]\nbind_address = "0.0.0.0"\nexternal_url = "https://a.test"\n`
    const audit = '[audit]\nfile = "/var/log/keelson/audit.jsonl"\n'
    assert.deepEqual(says(server + tls + store + policy + user + audit).split('\n'), [
      'ok configuration: it would be taken',
      'ok access policy: nothing stands out',
      'ok plain HTTP: on this host alone, or nowhere',
      'ok external URL: https://a.test',
      'ok durability: what is acknowledged is on disk',
    ])
  })

  const webhook = '[auth.webhook.scan]\nurl = "https://w.test/"\n'
  const opa = '[auth.opa.main]\nurl = "https://o.test/"\npath = "a/b"\n'
  const oidc = '[auth.oidc.gitlab]\nissuer = "https://i.test"\n'
  const cases: ReadonlyArray<readonly [text: string, finding: RegExp]> = [
    [store, /^warning access policy: there is no global policy: everything is denied$/m],
    [
      `${store}[global.access_policy]\ndefault = "allow"\n`,
      /^warning .*allows everything to every/m,
    ],
    [
      `${store}[global.access_policy]\nrules = ["true"]\n`,
      /^warning access policy: \/etc\/keelson\/config\.toml:4: is always true/m,
    ],
    [
      `${store}[global.access_policy]\nrules = ["request.action.startsWith('get-')"]\n`,
      /^advice access policy: whoever has not logged in may: get-/m,
    ],
    [
      `${store}[global.retention_policy]\nrules = ["top_pulled(3)"]\n`,
      /^warning retention policy: no rule keeps a tag that was just pushed, before/m,
    ],
    [
      `${store}[retention]\npull_times = false\n[repository.a.retention_policy]\nrules = ["top_pulled(3) || top_pushed(3)"]\n`,
      /^warning retention policy: \/etc\/keelson\/config\.toml:6: the policy of a: asks for pull times/m,
    ],
    [
      open + store + policy + user,
      /^warning plain HTTP: 0\.0\.0\.0 is served .* there are logins$/m,
    ],
    [open + store + policy, /^advice plain HTTP: 0\.0\.0\.0 is served without TLS$/m],
    [
      `${open}trusted_proxies = ["10.0.0.1"]\n${store}${policy}${user}`,
      /^advice plain HTTP: .* and there are logins$/m,
    ],
    [
      `${open}trusted_proxies = ["0.0.0.0/0"]\n${store}${policy}`,
      /^warning trusted proxies: 0\.0\.0\.0\/0 is everybody$/m,
    ],
    [
      `${open}trusted_proxies = ["::/0"]\n${store}${policy}`,
      /^warning trusted proxies: ::\/0 is everybody$/m,
    ],
    [
      `[server]\ntrusted_proxies = ["10.0.0.1"]\n${store}${policy}`,
      /^advice external URL: none is set/m,
    ],
    [
      `[server]\nexternal_url = "http://a.test"\n${tls}${store}${policy}`,
      /^warning external URL: http:\/\/a\.test is not https$/m,
    ],
    [
      '[blob_store.memory]\n[metadata_store.memory]\n',
      /^warning durability: a memory store is for tests/m,
    ],
    [
      `${store}[storage]\ndurability = "none"\n`,
      /^warning durability: storage\.durability is "none"/m,
    ],
    [
      `[[server.listener]]\nsocket = "/run/k.sock"\n${tls}${store}`,
      /^warning unused settings: no listener uses \[server\.tls\]/m,
    ],
    [
      `[server]\n${tls}session_ticket_secret = "s"\n${store}`,
      /^warning unused settings: server\.tls\.session_ticket_secret needs/m,
    ],
    [store + webhook, /^warning unused settings: \[auth\.webhook\.scan\] is named by no/m],
    [store + opa, /^warning unused settings: \[auth\.opa\.main\] is named by no/m],
    [store + oidc, /^warning audience of tokens: auth\.oidc\.gitlab takes every token/m],
    [store + policy + user, /^advice audit: audit\.file is not set$/m],
  ]
  for (const [text, finding] of cases) {
    test(`it says ${finding.source}`, () => {
      assert.match(says(text), finding)
    })
  }

  test('a guard that something names is used', () => {
    const named = '[repository."team"]\nauthorization_webhook = "scan"\n'
    assert.doesNotMatch(says(store + webhook + named), /unused/)
  })

  test('what the server would refuse are errors, each of its own', () => {
    const text = says(store, ['a.toml:1: x: wrong', 'a.toml:2: y: wrong'])
    assert.match(text, /^error configuration: a\.toml:1: x: wrong\nerror configuration: a\.toml:2/)
  })
})

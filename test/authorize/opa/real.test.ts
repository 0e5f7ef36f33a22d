// Goal: a real OPA is understood: its answers, its decision ids, its faults and its ways to know who
// asks. Method: policies in Rego, the seed's as it is written, loaded into an OPA built from its source.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { anonymous, type Identity } from '../../../src/authenticate/identity.ts'
import type { Question } from '../../../src/authorize/guard.ts'
import { Secret } from '../../../src/config/secret.ts'
import { needsGo } from '../../support/go-tools.ts'
import { createPki, needsOpenssl } from '../../support/pki.ts'
import { projectRoot } from '../../support/server.ts'
import { until } from '../../support/until.ts'
import { actionKinds, bearer, certified, clientIp, from, requested, user } from '../scene.ts'
import { startRealOpa } from './real-opa.ts'
import { type OpenedGuard, openGuard, question } from './scene.ts'

const needsBoth = needsGo().skip === false ? needsOpenssl : needsGo()
const admin = bearer({ role: 'admin' })

/** Who asks what, as the router reads it. */
function asks(identity: Identity, method: string, target: string): Question {
  const asked = { ...from(clientIp), method, path: target }
  return { identity, action: requested(method, target), asked }
}

describe('the role-guarded catalogue of the seed', () => {
  for (const path of ['registry/authz', 'registry/authz/allow']) {
    test(`works as written, asked for ${path}`, needsGo(), async (t) => {
      const seed = await readFile(join(projectRoot, 'test/authorize/opa/seed.rego'), 'utf8')
      const opa = await startRealOpa(t, { policies: [seed], isOldSyntax: true })
      if (opa === undefined) return
      const { guard } = await openGuard(t, { url: opa.url, path })
      for (const [identity, method, target, expected] of [
        [admin, 'GET', '/v2/_catalog', 'allow'],
        [admin, 'GET', '/v2/_catalog?n=10', 'allow'],
        [admin, 'GET', '/v2/%5Fcatalog', 'allow'],
        [user('root', 'admin'), 'GET', '/v2/_catalog', 'allow'],
        [admin, 'HEAD', '/v2/_catalog', 'deny'],
        [admin, 'GET', '/v2/', 'deny'],
        [admin, 'GET', '/v2/team/tags/list', 'deny'],
        [admin, 'DELETE', '/v2/team/manifests/v1', 'deny'],
        [anonymous, 'GET', '/v2/_catalog', 'deny'],
        [certified({ commonNames: ['admin'] }), 'GET', '/v2/_catalog', 'deny'],
        [user('admin'), 'GET', '/v2/_catalog', 'deny'],
        [user('root', 'admin', 'dev'), 'GET', '/v2/_catalog', 'deny'],
        [bearer({ role: 'user' }), 'GET', '/v2/_catalog', 'deny'],
        [bearer({ role: ['admin'] }), 'GET', '/v2/_catalog', 'deny'],
        [bearer({ user: { role: 'admin' } }), 'GET', '/v2/_catalog', 'deny'],
      ] as const) {
        const { result, reason } = await guard.ask(asks(identity, method, target))
        assert.equal(result, expected, `${identity.username} ${method} ${target}: ${reason}`)
      }
    })
  }

  test('is not read by an OPA of today without its flag', needsGo(), async (t) => {
    const seed = await readFile(join(projectRoot, 'test/authorize/opa/seed.rego'), 'utf8')
    await assert.rejects(async () => {
      const opa = await startRealOpa(t, { policies: [seed] })
      if (opa === undefined) throw new Error('rego_parse_error: skipped')
    }, /rego_parse_error/)
  })
})

const rules = `
package rules

yes := true

no := false

ids := {"allow": true, "reason": "because"}

object := {"allow": false, "reason": sprintf("%s may not %s", [input.user.name, input.action])}

text := "true"

undefined if input.user.name == "nobody"

conflict := true if input.action == "get-manifest"

conflict := false if input.user.name == "alice"
`

describe('a real OPA', () => {
  for (const [path, result, reason] of [
    ['rules/yes', 'allow', null],
    ['rules/no', 'deny', null],
    ['rules/ids', 'allow', 'because'],
    ['rules/object', 'deny', 'alice may not get-manifest'],
    ['rules/text', 'unavailable', 'data.rules.text is neither a boolean nor an object'],
    ['rules/undefined', 'deny', 'data.rules.undefined is undefined'],
    ['rules/misspelt', 'deny', 'data.rules.misspelt is undefined'],
    ['rules', 'unavailable', null],
  ] as const) {
    test(`that is asked for ${path}: ${result}`, needsGo(), async (t) => {
      const opened = await openReal(t, [rules], path)
      if (opened === undefined) return
      const { guard, log } = opened
      const verdict = await guard.ask(question())
      assert.equal(verdict.result, result, verdict.reason ?? '')
      if (path === 'rules') return
      assert.equal(verdict.reason, reason)
      await until('its decision in the log of OPA', () =>
        log.some((line) => line.includes(`"decision_id":"${verdict.decisionId}"`)),
      )
    })
  }

  test(
    'whose rules contradict one another over one input denies that one alone',
    needsGo(),
    async (t) => {
      const opened = await openReal(t, [rules], 'rules/conflict')
      if (opened === undefined) return
      const { guard, status } = opened
      for (let i = 0; i < 3; i++) {
        const { result, reason } = await guard.ask(question())
        assert.equal(result, 'unavailable')
        assert.match(reason ?? '', /^it answers 500 \(/)
      }
      assert.equal(status().breaker, 'closed')
      const other = await guard.ask(question('get-manifest', user('bob')))
      assert.equal(other.result, 'allow')
    },
  )

  // In Rego null would be true where it stands alone, and other than ''.
  for (const [index, rule] of [
    'input.user',
    'input.user.name',
    'input.user.name != ""',
    'input.user.name != null',
    'input.user.role != "guest"',
    'input.claims',
    'input.claims.role != "guest"',
    'input.certificate',
    'input.certificate.serial != ""',
    'input.certificate.organizations',
  ].entries()) {
    test(`whose rule says ${rule} denies the anonymous everything`, needsGo(), async (t) => {
      const policy = `package trap\nallow if ${rule}\n`
      const opened = await openReal(t, [policy], 'trap/allow')
      if (opened === undefined) return
      for (const kind of actionKinds) {
        const { result } = await opened.guard.ask(question(kind, anonymous))
        assert.equal(result, 'deny', kind)
      }
      const known = certified({ organizations: ['O'] }, index < 7 ? admin : anonymous)
      assert.equal((await opened.guard.ask(question('get-blob', known))).result, 'allow')
    })
  }

  test('is asked over TLS with a token, by which it knows us', needsBoth, async (t) => {
    const { server, serverCa } = await pkiOf(t)
    const authz =
      'package system.authz\ndefault allow := false\nallow if input.identity == "s3cret"\n'
    const tls = ['--tls-cert-file', server.bundleFile, '--tls-private-key-file', server.keyFile]
    const flags = [...tls, '--authentication', 'token', '--authorization', 'basic']
    const opa = await startRealOpa(t, { policies: [rules, authz], flags })
    if (opa === undefined) return
    const { url } = opa
    const base = { url, path: 'rules/yes', serverCaBundle: serverCa.certificateFile }
    const withToken = { ...base, bearerToken: new Secret('s3cret') }
    const { guard } = await openGuard(t, withToken)
    assert.equal((await guard.ask(question())).result, 'allow')
    for (const options of [
      base,
      { ...base, bearerToken: new Secret('wrong') },
      { ...withToken, serverCaBundle: undefined },
    ]) {
      const { guard: refused } = await openGuard(t, options)
      assert.equal((await refused.ask(question())).result, 'unavailable')
    }
  })

  test('is shown a client certificate where it wants one', needsBoth, async (t) => {
    const { server, serverCa, client, clientCa } = await pkiOf(t)
    const tls = ['--tls-cert-file', server.bundleFile, '--tls-private-key-file', server.keyFile]
    const flags = [
      ...tls,
      '--authentication',
      'tls',
      '--tls-ca-cert-file',
      clientCa.certificateFile,
    ]
    const opa = await startRealOpa(t, { policies: [rules], flags })
    if (opa === undefined) return
    const base = { url: opa.url, path: 'rules/yes', serverCaBundle: serverCa.certificateFile }
    const { certificateFile: clientCertificate, keyFile: clientPrivateKey } = client
    const { guard } = await openGuard(t, { ...base, clientCertificate, clientPrivateKey })
    assert.equal((await guard.ask(question())).result, 'allow')
    const { guard: refused } = await openGuard(t, base)
    assert.equal((await refused.ask(question())).result, 'unavailable')
  })
})

async function openReal(
  t: TestContext,
  policies: readonly string[],
  path: string,
): Promise<(Omit<OpenedGuard, 'log'> & { readonly log: readonly string[] }) | undefined> {
  const opa = await startRealOpa(t, { policies })
  if (opa === undefined) return undefined
  return { ...(await openGuard(t, { url: opa.url, path, breakerFailures: 2 })), log: opa.log }
}

async function pkiOf(t: TestContext): ReturnType<typeof createPki> {
  const folder = await mkdtemp(join(tmpdir(), 'keelson-opa-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return createPki(folder)
}

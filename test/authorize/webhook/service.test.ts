// Goal: a webhook knows who asks, we know who answers, and a configuration that cannot work or would give
// a secret away is refused. Method: a real HTTPS server that wants certificates and credentials.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import { Registry } from 'prom-client'
import { anonymous } from '../../../src/authenticate/identity.ts'
import { openWebhooks } from '../../../src/authorize/webhook/open.ts'
import type { WebhookConfig } from '../../../src/config/schema.ts'
import { Secret } from '../../../src/config/secret.ts'
import { GuardCounts } from '../../../src/telemetry/guard-counts.ts'
import { createPki, needsOpenssl, type Pki } from '../../support/pki.ts'
import { openRudeService } from '../../support/rude-service.ts'
import { around } from '../guard-contract.ts'
import { act, user } from '../scene.ts'
import { openWebhook, silent, webhookConfig } from './scene.ts'

let dir = ''
let pki: Pki

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'keelson-webhook-'))
  if (needsOpenssl.skip === false) pki = await createPki(dir)
})
after(() => rm(dir, { recursive: true, force: true }))

async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const { bundlePem: cert, keyPem: key } = pki.server
  const client = { ca: pki.clientCa.pem, requestCert: true, rejectUnauthorized: true }
  const server = createServer({ cert, key, ...client }, listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}/decide`
}

function mutual(): Partial<WebhookConfig> {
  return {
    serverCaBundle: pki.serverCa.certificateFile,
    clientCertificate: pki.client.bundleFile,
    clientPrivateKey: pki.client.keyFile,
  }
}

const question = { identity: user('alice', 'dev'), action: act('get-manifest'), asked: around() }

const credentials: ReadonlyArray<readonly [Partial<WebhookConfig>, string | undefined]> = [
  [{}, undefined],
  [{ bearerToken: new Secret('t0ken') }, 'Bearer t0ken'],
  [
    { username: 'keelson', password: new Secret('s3cret') },
    `Basic ${Buffer.from('keelson:s3cret').toString('base64')}`,
  ],
]

for (const [changes, authorization] of credentials) {
  const how = authorization?.split(' ')[0] ?? 'no'
  test(`over mutual TLS with ${how} credentials`, needsOpenssl, async (t) => {
    const seen: PeerCertificate[] = []
    const url = await serve(t, (request, response) => {
      seen.push((request.socket as TLSSocket).getPeerCertificate())
      const isRight = request.headers.authorization === authorization
      const isDev = request.headers['x-registry-groups'] === 'dev'
      response.writeHead(isRight && isDev ? 204 : 403).end()
    })
    const { guard } = await openWebhook(t, webhookConfig(url, { ...mutual(), ...changes }))
    assert.equal((await guard.ask(question)).result, 'allow')
    const other = await guard.ask({ ...question, identity: anonymous })
    assert.deepEqual([other.result, other.reason], ['deny', 'it answered 403'])
    assert.equal(seen[0]?.subject.CN, 'build-server')
  })
}

test(
  'without a certificate, or with a CA of another, nothing is allowed',
  needsOpenssl,
  async (t) => {
    const url = await serve(t, (_request, response) => response.writeHead(200).end())
    const { serverCaBundle, ...client } = mutual()
    for (const changes of [{ serverCaBundle }, client]) {
      const { guard, counts } = await openWebhook(t, webhookConfig(url, changes))
      assert.equal((await guard.ask(question)).result, 'unavailable')
      assert.equal(counts.tally('scanner').transport_error, 1)
    }
  },
)

test('the log tells when a webhook is left alone and when it is back', async (t) => {
  const service = await openRudeService({ status: 200 })
  t.after(() => service.close())
  let nowMs = 0
  const config = webhookConfig(service.url, { breakerFailures: 1, breakerCooldownMs: 100 })
  const { guard, lines } = await openWebhook(t, config, () => nowMs)
  service.behave({ status: 503 })
  assert.equal((await guard.ask(question)).result, 'unavailable')
  assert.deepEqual(lines, ['a webhook failed too often: all is denied for a while'])
  nowMs = 100
  service.behave({ status: 200 })
  assert.equal((await guard.ask(question)).result, 'allow')
  assert.deepEqual(lines.slice(1), ['a webhook answers again'])
})

test('500 for one question does not have everybody refused', async (t) => {
  const service = await openRudeService({ status: 500 })
  t.after(() => service.close())
  const config = webhookConfig(service.url, { breakerFailures: 1 })
  const { guard, lines } = await openWebhook(t, config)
  for (let i = 0; i < 3; i++) assert.equal((await guard.ask(question)).result, 'unavailable')
  service.behave({ status: 200 })
  assert.equal((await guard.ask(question)).result, 'allow')
  assert.deepEqual(lines, [])
})

test('a table that cannot work is refused by its key, without its secrets', async () => {
  const secret = new Secret('hunter2')
  const remote = 'http://192.0.2.1/hook'
  const cases: ReadonlyArray<readonly [Partial<WebhookConfig>, RegExp]> = [
    [{ url: 'nonsense' }, /^auth\.webhook\.scanner\.url: /],
    [{ url: remote, bearerToken: secret }, /\.url: credentials are not sent .* without TLS/],
    [{ url: remote, username: 'u', password: secret }, /\.url: credentials are not sent/],
    [{ url: remote, forwardHeaders: ['Authorization'] }, /\.url: credentials are not sent/],
    [{ url: remote, forwardHeaders: ['cookie'] }, /\.url: credentials are not sent/],
    [
      { bearerToken: secret, forwardHeaders: ['AUTHORIZATION'] },
      /\.forward_headers: authorization /,
    ],
    [{ serverCaBundle: join(dir, 'none.pem') }, /\.server_ca_bundle: .* cannot be read \(ENOENT\)/],
    ...['Host', 'X-Registry-Username', 'X-Registry-New', 'X-Forwarded-For', 'Content-Length'].map(
      (header) => [{ forwardHeaders: [header] }, /\.forward_headers: .* is set here/] as const,
    ),
  ]
  const parts = { counts: new GuardCounts('webhook'), elapsed: () => 0, log: silent }
  for (const [changes, message] of cases) {
    const config = webhookConfig('https://guard.test/', changes)
    await assert.rejects(openWebhooks([config], parts), (error: Error) => {
      assert.match(error.message, message)
      assert.ok(error.message.startsWith('auth.webhook.scanner.'))
      assert.ok(!error.message.includes('hunter2'))
      return true
    })
  }
})

test('a webhook of another host without TLS is warned about', async (t) => {
  const remote = await openWebhook(t, webhookConfig('http://192.0.2.1/hook'))
  assert.equal(remote.lines.length, 1)
  const local = await openWebhook(t, webhookConfig('http://127.0.0.1:1/hook'))
  assert.deepEqual(local.lines, [])
})

test('credentials of the client are passed on where the operator lists them', async (t) => {
  const service = await openRudeService({ status: 200 })
  t.after(() => service.close())
  const config = webhookConfig(service.url, { forwardHeaders: ['Authorization', 'Cookie'] })
  const { guard } = await openWebhook(t, config)
  const headers: Readonly<Record<string, string>> = { authorization: 'Bearer x', cookie: 'a=b' }
  const asked = { ...around(), header: (name: string) => headers[name] ?? '' }
  assert.equal((await guard.ask({ ...question, asked })).result, 'allow')
  const sent = new Map(service.requests[0]?.headers)
  assert.deepEqual([sent.get('authorization'), sent.get('cookie')], ['Bearer x', 'a=b'])
})

test('the metrics count questions by how they ended, and time those that were put', async () => {
  const counts = new GuardCounts('webhook')
  const registry = new Registry()
  counts.register(registry)
  counts.tally('scanner').allow += 2
  counts.tally('scanner').cached_allow += 40
  counts.observe('scanner', 3)
  counts.observe('scanner', 20_000)
  const text = await registry.metrics()
  const value = (line: string): string | undefined =>
    text
      .split('\n')
      .find((each) => each.startsWith(`${line} `))
      ?.slice(line.length + 1)
  const total = 'webhook_authorization_requests_total'
  assert.equal(value(`${total}{webhook="scanner",result="allow"}`), '2')
  assert.equal(value(`${total}{webhook="scanner",result="cached_allow"}`), '40')
  assert.equal(value(`${total}{webhook="scanner",result="transport_error"}`), '0')
  const seconds = 'webhook_authorization_duration_seconds'
  assert.equal(value(`${seconds}_count{webhook="scanner"}`), '2')
  assert.equal(value(`${seconds}_bucket{le="0.0025",webhook="scanner"}`), '0')
  assert.equal(value(`${seconds}_bucket{le="0.005",webhook="scanner"}`), '1')
  assert.equal(value(`${seconds}_bucket{le="10",webhook="scanner"}`), '1')
  assert.equal(value(`${seconds}_bucket{le="+Inf",webhook="scanner"}`), '2')
})

// Goal: [server.tls] means what the guide for mTLS says. Method: texts in, values or problems out; the
// guide's own blocks are loaded as they stand, beside what else a configuration needs.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { nodeReason } from '../../src/config/compose-server.ts'
import { loadConfig } from '../../src/config/load.ts'
import { parse, problemsOf, store } from './parse.ts'

const pair = 'server_certificate_bundle = "c.pem"\nserver_private_key = "k.pem"\n'
const ca = 'client_ca_bundle = "ca.pem"\n'

function tlsOf(...lines: readonly string[]) {
  return parse(`${store}[server.tls]\n${pair}${lines.join('\n')}`).tls
}

function problemsOfTls(...lines: readonly string[]): readonly string[] {
  return problemsOf(store, `[server.tls]\n${pair}${lines.join('\n')}`)
}

function reasonOf(text: string): string | undefined {
  const { listeners, tls } = parse(store, text)
  return listeners[0] && nodeReason(listeners[0], tls)
}

describe('keys', () => {
  test('a certificate and its key are enough', () => {
    assert.deepEqual(tlsOf(), {
      serverCertificateBundle: '/etc/keelson/c.pem',
      serverPrivateKey: '/etc/keelson/k.pem',
      privateKeyPassphrase: undefined,
      clientCaBundle: undefined,
      clientAuth: 'optional',
      clientCrls: [],
      minVersion: 'TLSv1.2',
      ciphers: undefined,
      sessionTimeoutMs: 12 * 3_600_000,
      sessionTicketSecret: undefined,
      ocspResponse: undefined,
    })
  })

  test('every key is understood', () => {
    const tls = tlsOf(
      'private_key_passphrase = "hush"',
      ca,
      'client_auth = "required"',
      'client_crls = ["a.crl", "/b.crl"]',
      'min_version = "1.3"',
      'ciphers = "ECDHE-RSA-AES128-GCM-SHA256"',
      'session_timeout = "24h"',
      'session_ticket_secret = "tickets"',
      'ocsp_response = "ocsp.der"',
    )
    assert.equal(tls?.privateKeyPassphrase?.reveal(), 'hush')
    assert.deepEqual(
      { ...tls, privateKeyPassphrase: undefined },
      {
        serverCertificateBundle: '/etc/keelson/c.pem',
        serverPrivateKey: '/etc/keelson/k.pem',
        privateKeyPassphrase: undefined,
        clientCaBundle: '/etc/keelson/ca.pem',
        clientAuth: 'required',
        clientCrls: ['/etc/keelson/a.crl', '/b.crl'],
        minVersion: 'TLSv1.3',
        ciphers: 'ECDHE-RSA-AES128-GCM-SHA256',
        sessionTimeoutMs: 24 * 3_600_000,
        sessionTicketSecret: '/etc/keelson/tickets',
        ocspResponse: '/etc/keelson/ocsp.der',
      },
    )
  })

  test('a missing certificate or key is refused', () => {
    assert.deepEqual(problemsOf(`${store}[server.tls]`), [
      '0.toml:3: server.tls.server_certificate_bundle: is missing: expected a path',
      '0.toml:3: server.tls.server_private_key: is missing: expected a path',
    ])
  })

  for (const [line, problem] of [
    ['min_version = "1.1"', 'server.tls.min_version: expected one of "1.2", "1.3"; found "1.1"'],
    ['ciphers = ""', 'server.tls.ciphers: expected printable ASCII text, not empty; found ""'],
    [
      'session_timeout = "25h"',
      'server.tls.session_timeout: expected a duration from 1m to 24h, such as "100ms", "30s", "5m", "24h", or a number of seconds; found "25h"',
    ],
    [
      'client_auth = "require"',
      'server.tls.client_auth: expected one of "optional", "required"; found "require"',
    ],
    ['client_crls = "a.crl"', 'server.tls.client_crls: expected an array of paths; found "a.crl"'],
    ['client_crls = [""]', 'server.tls.client_crls: expected an array of paths; found ""'],
    [
      'client_ca = "ca.pem"',
      'server.tls.client_ca: is not a known key: did you mean server.tls.client_ca_bundle?',
    ],
    [
      'server_certificate_bundel = "c.pem"',
      'server.tls.server_certificate_bundel: is not a known key: did you mean server.tls.server_certificate_bundle?',
    ],
  ] as const) {
    test(`${line} is refused`, () => {
      assert.ok(
        problemsOfTls(ca, line).includes(`1.toml:6: ${problem}`),
        problemsOfTls(ca, line)[0],
      )
    })
  }

  test('a misspelt table gets its hint', () => {
    assert.deepEqual(problemsOf(`${store}[server.tsl]`), [
      '0.toml:3: server.tsl: is not a known table: did you mean server.tls?',
    ])
    assert.deepEqual(problemsOf(`${store}[server]\nserver_private_key = "k.pem"`), [
      '0.toml:4: server.server_private_key: is not a known key: did you mean server.tls.server_private_key?',
    ])
  })
})

describe('client certificates', () => {
  test('a CA bundle alone asks for certificates and requires none', () => {
    const tls = tlsOf(ca)
    assert.deepEqual([tls?.clientCaBundle, tls?.clientAuth], ['/etc/keelson/ca.pem', 'optional'])
  })

  test('required without a CA bundle is refused', () => {
    assert.deepEqual(problemsOfTls('client_auth = "required"'), [
      '1.toml:4: server.tls.client_auth: expected client_ca_bundle to be given too, since without it no client certificate can be required; found "required" alone',
    ])
  })

  test('optional without a CA bundle is ignored', () => {
    assert.equal(tlsOf('client_auth = "optional"')?.clientCaBundle, undefined)
  })

  test('revocation lists without a CA bundle are refused', () => {
    assert.deepEqual(problemsOfTls('client_crls = ["a.crl"]'), [
      '1.toml:4: server.tls.client_crls: expected client_ca_bundle to be given too, since without it no client certificate is checked; found client_crls alone',
    ])
  })

  test('a CA bundle that is unfit is told once', () => {
    assert.deepEqual(problemsOfTls('client_auth = "required"', 'client_ca_bundle = 1'), [
      '1.toml:5: server.tls.client_ca_bundle: expected a path; found 1',
    ])
  })

  test('uws cannot check them and is refused; auto means node', () => {
    const tls = `[server.tls]\n${pair}${ca}`
    assert.deepEqual(problemsOf(store, tls, '[server]\ntransport = "uws"'), [
      '2.toml:2: server.transport: expected "node", or "auto", which then chooses node, since only the node transport checks client certificates and server.tls.client_ca_bundle is given; found "uws"',
    ])
    assert.match(reasonOf(tls) ?? '', /checks client certificates$/)
    assert.equal(reasonOf(`[server.tls]\n${pair}`), undefined)
    assert.equal(reasonOf(''), undefined)
  })

  test('uws cannot refuse TLS 1.2 and is refused for TLS 1.3 alone; auto means node', () => {
    const tls = `[server.tls]\n${pair}min_version = "1.3"\n`
    assert.deepEqual(problemsOf(store, tls, '[server]\ntransport = "uws"'), [
      '2.toml:2: server.transport: expected "node", or "auto", which then chooses node, since only the node transport can refuse TLS 1.2, as server.tls.min_version asks; found "uws"',
    ])
    assert.match(reasonOf(tls) ?? '', /can refuse TLS 1\.2$/)
  })
})

describe('the guide for mTLS', () => {
  const load = (...names: readonly string[]) =>
    loadConfig(['store', ...names].map((name) => join('test/config/guide', `${name}.toml`)))

  test('its server block requires certificates on every interface', () => {
    const config = load('server')
    assert.deepEqual(config.listeners, [
      { kind: 'tcp', address: '0.0.0.0', port: 8000, tls: true, proxyProtocol: false },
    ])
    assert.equal(config.tls?.serverCertificateBundle, '/tls/server-certificate.pem')
    assert.equal(config.tls?.serverPrivateKey, '/tls/server-private-key.pem')
    assert.equal(config.tls?.clientCaBundle, '/tls/client-ca-bundle.pem')
    assert.equal(config.tls?.clientAuth, 'required')
  })

  test('its access policy has three rules, each with its line', () => {
    const policy = load('policy').global.accessPolicy
    assert.equal(policy?.default, 'deny')
    assert.deepEqual(
      policy?.rules.map(({ text, place }) => [place.line, text]),
      [
        [5, "identity.certificate.organizations.contains('Infrastructure')"],
        [7, "'build-server' in identity.certificate.common_names"],
        [9, "identity.username == 'admin'"],
      ],
    )
  })

  test('scenario 1 requires a certificate and asks for a common name', () => {
    const config = load('scenario-1-tls', 'scenario-1-policy')
    assert.equal(config.tls?.clientAuth, 'required')
    assert.deepEqual(
      config.global.accessPolicy?.rules.map(({ text }) => text),
      ['size(identity.certificate.common_names) > 0'],
    )
  })

  test('scenario 2 has two rules', () => {
    assert.equal(load('scenario-2').global.accessPolicy?.rules.length, 2)
  })

  test('scenario 3 has two repository policies and no global one', () => {
    const config = load('scenario-3')
    assert.equal(config.global.accessPolicy, undefined)
    assert.deepEqual(
      config.repositories.map(({ prefix, accessPolicy }) => [prefix, accessPolicy?.rules[0]?.text]),
      [
        ['dev', "identity.certificate.organizations.contains('Developers')"],
        ['prod', "identity.certificate.organizations.contains('Platform')"],
      ],
    )
    assert.notEqual(load('scenario-3', 'scenario-1-policy').global.accessPolicy, undefined)
  })
})

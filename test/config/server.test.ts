// Goal: what is said of listeners, proxies, limits and headers is understood, and what no transport or
// no listener could do is refused with what to do instead. Method: texts in, values or problems out.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { nodeReason } from '../../src/config/compose-server.ts'
import { parse, problemsOf, store } from './parse.ts'

const tls = '[server.tls]\nserver_certificate_bundle = "c.pem"\nserver_private_key = "k.pem"\n'
const tcp = { kind: 'tcp', address: '0.0.0.0', port: 8000, tls: false, proxyProtocol: false }

describe('listeners', () => {
  test('bind_address and port make one, with TLS where there is a certificate', () => {
    const server = '[server]\nbind_address = "::"\nport = 443\n'
    const listener = { ...tcp, address: '::', port: 443 }
    assert.deepEqual(parse(store, server).listeners, [listener])
    assert.deepEqual(parse(store, server, tls).listeners, [{ ...listener, tls: true }])
  })

  test('a list has plain, TLS and unix listeners side by side', () => {
    const text = `${store}${tls}
[server]
trusted_proxies = ["10.0.0.0/8"]
[[server.listener]]
bind_address = "0.0.0.0"
port = 8443
[[server.listener]]
bind_address = "::1"
port = 8000
tls = false
proxy_protocol = true
[[server.listener]]
socket = "run/keelson.sock"
[[server.listener]]
socket = "/run/tls.sock"
socket_mode = "0600"
tls = true
`
    assert.deepEqual(parse(text).listeners, [
      { ...tcp, port: 8443, tls: true },
      { ...tcp, address: '::1', proxyProtocol: true },
      {
        kind: 'unix',
        path: '/etc/keelson/run/keelson.sock',
        mode: 0o660,
        tls: false,
        proxyProtocol: false,
      },
      { kind: 'unix', path: '/run/tls.sock', mode: 0o600, tls: true, proxyProtocol: false },
    ])
  })

  test('an inline list is one too, and an empty one is none', () => {
    const list = 'listener = [\n{ bind_address = "0.0.0.0", port = 8000 },\n{ port = 8001 },\n]'
    assert.deepEqual(problemsOf(`${store}[server]\n${list}`), [
      '0.toml:6: server.listener.bind_address: is missing: expected bind_address and port, or socket',
    ])
    assert.equal(parse(`${store}[server]\nport = 9\nlistener = []`).listeners.length, 1)
  })

  test('the list of a later file replaces that of an earlier one', () => {
    const list = (port: number) => `[[server.listener]]\nbind_address = "0.0.0.0"\nport = ${port}\n`
    assert.deepEqual(parse(store, list(1) + list(2), list(8000)).listeners, [tcp])
  })

  test('bind_address and port beside a list are refused', () => {
    const list = '[[server.listener]]\nsocket = "/run/k.sock"\n'
    assert.deepEqual(problemsOf(store, '[server]\nbind_address = "::1"\nport = 1\n', list), [
      '1.toml:2: server.bind_address: expected no bind_address here beside [[server.listener]]: move it into a listener',
      '1.toml:3: server.port: expected no port here beside [[server.listener]]: move it into a listener',
    ])
  })

  const refusals: readonly (readonly [name: string, item: string, problems: readonly string[]])[] =
    [
      [
        'nothing',
        '',
        [
          '2: server.listener.bind_address: is missing: expected bind_address and port, or socket',
          '2: server.listener.port: is missing: expected bind_address and port, or socket',
        ],
      ],
      [
        'a port alone',
        'port = 1',
        ['2: server.listener.bind_address: is missing: expected bind_address and port, or socket'],
      ],
      [
        'both kinds of end',
        'bind_address = "::1"\nport = 1\nsocket = "/s"',
        [
          '3: server.listener.bind_address: expected socket, or bind_address and port; found both',
          '4: server.listener.port: expected socket, or bind_address and port; found both',
        ],
      ],
      [
        'a mode without a socket',
        'bind_address = "::1"\nport = 1\nsocket_mode = "0600"',
        ['5: server.listener.socket_mode: expected socket to be given too; found it alone'],
      ],
      [
        'a mode that is none',
        'socket = "/s"\nsocket_mode = "0888"',
        [
          '4: server.listener.socket_mode: expected an octal mode in quotes, such as "0660"; found "0888"',
        ],
      ],
      [
        'a mode that is a number',
        'socket = "/s"\nsocket_mode = 660',
        [
          '4: server.listener.socket_mode: expected an octal mode in quotes, such as "0660"; found 660',
        ],
      ],
      [
        'a socket that the system could not bind',
        `socket = "/${'d'.repeat(107)}"`,
        [
          `3: server.listener.socket: expected a path of at most 107 bytes; found 108: /${'d'.repeat(107)}`,
        ],
      ],
      [
        'TLS without a certificate',
        'socket = "/s"\ntls = true',
        [
          '4: server.listener.tls: expected [server.tls] to be given too, for the certificate; found true alone',
        ],
      ],
      [
        'PROXY headers that nobody may send',
        'bind_address = "::1"\nport = 1\nproxy_protocol = true',
        [
          '5: server.listener.proxy_protocol: expected server.trusted_proxies to name who may send PROXY headers; found it empty',
        ],
      ],
      [
        'PROXY headers on a unix socket',
        'socket = "/s"\nproxy_protocol = true',
        [
          '4: server.listener.proxy_protocol: expected false, since the peer on a unix socket has no address to trust; found true',
        ],
      ],
      [
        'a misspelt key',
        'soket = "/s"\nbind_address = "::1"\nport = 1',
        ['3: server.listener.soket: is not a known key: did you mean server.listener.socket?'],
      ],
    ]
  for (const [name, item, problems] of refusals) {
    test(`${name} in a listener is refused`, () => {
      assert.deepEqual(
        problemsOf(`\n[[server.listener]]\n${item}`, store),
        problems.map((problem) => `0.toml:${problem}`),
      )
    })
  }

  test('two listeners at one place are refused, but not two that take any port', () => {
    const at = (address: string, port: number) =>
      `[[server.listener]]\nbind_address = "${address}"\nport = ${port}\n`
    assert.deepEqual(
      problemsOf(at('::1', 1) + at('127.0.0.1', 1) + at('0:0:0:0:0:0:0:1', 1) + store),
      [
        '0.toml:9: server.listener.port: expected another place than 0.toml:1; found ::1 port 1 again',
      ],
    )
    const socket = '[[server.listener]]\nsocket = "/s"\n'
    assert.deepEqual(problemsOf(socket + socket + store), [
      '0.toml:4: server.listener.socket: expected another place than 0.toml:1; found /s again',
    ])
    assert.equal(parse(at('::1', 0) + at('::1', 0) + store).listeners.length, 2)
  })

  test('a table that is written once and not as a list is refused', () => {
    assert.deepEqual(problemsOf(`${store}[server.listener]\nport = 1`), [
      '0.toml:3: server.listener: expected an array of tables, [[server.listener]]; found a table',
    ])
    assert.deepEqual(problemsOf(`${store}[[server.limits]]`), [
      '0.toml:3: server.limits: expected a table; found an array of tables',
    ])
  })

  test('the admin socket may not be a public one', () => {
    const text = '[[server.listener]]\nsocket = "/srv/registry/_keelson/admin.sock"\n'
    assert.deepEqual(problemsOf(store + text), [
      '0.toml:1: admin.socket: expected another socket than that of a public listener; found /srv/registry/_keelson/admin.sock',
    ])
  })
})

describe('trusted proxies', () => {
  test('addresses and networks of both families are taken as they are written', () => {
    const trusted = ['10.0.0.0/8', '::1', 'fd00::/8', '192.0.2.1/32', '0.0.0.0/0', '::/128']
    const config = parse(`${store}[server]\ntrusted_proxies = ${JSON.stringify(trusted)}`)
    assert.deepEqual(config.server.trustedProxies, trusted)
  })

  for (const bad of [
    '10.0.0.0/33',
    '::/129',
    '10.0.0/8',
    'localhost',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
    '010.0.0.1',
    '::ffff:10.0.0.1',
    'fe80::1%eth0',
    '',
  ]) {
    test(`${JSON.stringify(bad)} is refused with its own line`, () => {
      const text = `${store}[server]\ntrusted_proxies = [\n"::1",\n"${bad}",\n]`
      assert.deepEqual(problemsOf(text), [
        `0.toml:6: server.trusted_proxies: expected an array of IP addresses and networks, such as ["10.0.0.0/8", "::1"]; found "${bad}"`,
      ])
    })
  }

  test('one that is not in an array is refused', () => {
    assert.match(
      problemsOf(`${store}[server]\ntrusted_proxies = "::1"`)[0] ?? '',
      /4: server\.trusted_proxies: expected an array of IP addresses .*; found "::1"$/,
    )
  })
})

describe('what a transport cannot do', () => {
  const slow = '[server.limits]\nreceive_rate_min = "4KiB"\nrate_grace = "20s"\n'
  const refused = [
    '1.toml:2: server.limits.receive_rate_min: expected at least 16KiB, which the uws transport has compiled in: set server.transport = "node" for less; found 4KiB',
    '1.toml:3: server.limits.rate_grace: expected at most 10s, which the uws transport has compiled in: set server.transport = "node" for more; found 20s',
  ]

  test('a body slower than uws allows is refused unless node serves', () => {
    assert.deepEqual(problemsOf(store, slow, '[server]\ntransport = "uws"\n'), refused)
    assert.deepEqual(problemsOf(store, slow), refused)
    const config = parse(store, slow, '[server]\ntransport = "node"\n')
    assert.deepEqual([config.limits.receiveRateMinBytes, config.limits.rateGraceMs], [4096, 20_000])
    assert.deepEqual(problemsOf(store, slow, `${tls}client_ca_bundle = "ca.pem"\n`), [])
  })

  test('a stricter one is fine on both, and so are the defaults', () => {
    const strict = '[server.limits]\nreceive_rate_min = "16KiB"\nrate_grace = "10s"\n'
    for (const transport of ['auto', 'uws', 'node']) {
      const text = `[server]\ntransport = "${transport}"\n`
      assert.deepEqual(problemsOf(store, text), [])
      assert.deepEqual(problemsOf(store, text, strict), [])
    }
  })

  test('PROXY headers are refused on uws, and make auto choose node', () => {
    const list = '[[server.listener]]\nbind_address = "::"\nport = 1\nproxy_protocol = true\n'
    const proxies = '[server]\ntrusted_proxies = ["::1"]\n'
    const refusal =
      '7: server.listener.proxy_protocol: expected false, since the uws transport would take a PROXY header ahead of any request: set server.transport = "node"; found true'
    const forUws = `${proxies}transport = "uws"\n${list}`
    assert.deepEqual(problemsOf(store, tls, forUws), [`2.toml:${refusal}`])
    assert.deepEqual(problemsOf(store, forUws), [`1.toml:${refusal}`])
    const { listeners, tls: tlsConfig } = parse(store, tls, proxies + list)
    const reason = listeners[0] && nodeReason(listeners[0], tlsConfig)
    assert.equal(reason, 'only the node transport reads PROXY headers')
    // The other listener is served by uws, which a slower rate is not for.
    const plain = '[[server.listener]]\nsocket = "/s"\n'
    assert.deepEqual(problemsOf(store, slow, tls, proxies + list), [])
    assert.deepEqual(problemsOf(store, slow, tls, proxies + list + plain), refused)
  })
})

describe('limits and headers', () => {
  test('0 is no bound for counts and rates, but no time may be 0', () => {
    const { limits } = parse(
      `${store}[server]\ntransport = "node"\n[server.limits]\nconnections_max = 0\nsend_rate_min = 0\nreceive_rate_min = 0\n`,
    )
    assert.deepEqual(
      [limits.connectionsMax, limits.sendRateMinBytes, limits.receiveRateMinBytes],
      [0, 0, 0],
    )
    assert.match(
      problemsOf(`${store}[server.limits]\nstall_timeout = 0`)[0] ?? '',
      /4: server\.limits\.stall_timeout: expected a duration from 1s to 1h.*; found 0$/,
    )
  })

  test('headers are turned off by 0 and by an empty text', () => {
    const { headers } = parse(
      `${store}[server.headers]\nhsts_max_age = "0s"\ncontent_security_policy = ""\nnosniff = false`,
    )
    assert.deepEqual(headers, { hstsMaxAgeMs: 0, contentSecurityPolicy: '', nosniff: false })
  })

  for (const bad of ['a\\r\\nSet-Cookie: b', 'a\\tb', 'é', ' a', 'a\\u0000']) {
    test(`a header value of ${bad} is refused`, () => {
      assert.match(
        problemsOf(`${store}[server.headers]\ncontent_security_policy = "${bad}"`)[0] ?? '',
        /4: server\.headers\.content_security_policy: expected printable ASCII text; found "/,
      )
    })
  }
})

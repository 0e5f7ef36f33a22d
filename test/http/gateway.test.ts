// Goal: on a running server nobody but the gateway names a user, whatever the transport, the headers and
// the proxies in between. Method: raw requests from several loopback addresses, over TLS, and behind
// PROXY headers.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { proxyHeader } from '../contract/transport-proxy-header.ts'
import { type Certificate, needsOpenssl } from '../support/pki.ts'
import { RawConnection, type RawTarget } from '../support/raw-http.ts'
import { type Server, startServer } from '../support/server.ts'
import { usePki, useTlsServer } from '../support/tls-server.ts'
import { until } from '../support/until.ts'

const password = 'tuesday-fjord-lemon'
const secret = 'the secret of the gateway'
const gateway = '127.0.0.2'

const toml = (...proxies: readonly string[]): string => `
[auth.gateway]
proxies = ${JSON.stringify(proxies)}
groups_header = "X-Forwarded-Groups"
shared_secret = ${JSON.stringify(secret)}
common_names = ["edge"]
[auth.identity.build]
username = "ci"
password = ${JSON.stringify(hashPassword(password))}
[global.access_policy]
default = "deny"
rules = [
  "request.action == 'get-api-version'",
  "request.namespace == 'ann' && identity.username == 'ann'",
  "request.namespace == 'core' && 'core' in identity.groups",
  "request.namespace == 'ci' && identity.username == 'ci'",
  "request.namespace == 'edge' && identity.certificate.common_names.contains('edge')",
]
`

type Headers = readonly (readonly [name: string, value: string])[]

const fromGateway: Headers = [['X-Gateway-Secret', secret]]
const ann: Headers = [...fromGateway, ['X-Forwarded-User', 'ann']]

function basic(username: string, text: string): readonly [string, string] {
  return ['Authorization', `Basic ${Buffer.from(`${username}:${text}`).toString('base64')}`]
}

/** 404: may read it; 401: is nobody; 403: is somebody else. */
async function ask(target: RawTarget, namespace: string, headers: Headers): Promise<number> {
  const path = namespace === '/v2/' ? namespace : `/v2/${namespace}/manifests/v1`
  const client = await RawConnection.open(target)
  try {
    const lines = [['Host', 'registry.test'] as const, ...headers]
    const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    client.write(`GET ${path} HTTP/1.1\r\n${head}\r\n`)
    return (await client.reply()).status
  } finally {
    client.socket.destroy()
  }
}

for (const transport of ['auto', 'node'] as const) {
  describe(`a gateway in front of the ${transport} transport`, () => {
    let server: Server
    before(async () => {
      server = await startServer({
        toml: `[server]\ntransport = "${transport}"\ntrusted_proxies = ["127.0.0.3"]\n${toml(gateway)}`,
      })
    })
    after(() => server.stop())
    const from = (localAddress: string): RawTarget => ({ port: server.port, localAddress })

    test('names the user and the groups that policies see', async () => {
      assert.equal(await ask(from(gateway), 'ann', ann), 404)
      assert.equal(await ask(from(gateway), 'ci', ann), 403)
      assert.equal(await ask(from(gateway), 'core', ann), 403)
      const grouped: Headers = [...ann, ['X-Forwarded-Groups', 'a, core']]
      assert.equal(await ask(from(gateway), 'core', grouped), 404)
    })

    test('is told from others by its address and its secret', async () => {
      assert.equal(await ask(from('127.0.0.1'), 'ann', ann), 401)
      assert.equal(await ask(from(gateway), 'ann', ann.slice(1)), 401)
      const guess: Headers = [['X-Gateway-Secret', 'a guess'], ...ann.slice(1)]
      assert.equal(await ask(from(gateway), 'ann', guess), 401)
    })

    test('is not who a trusted proxy says that its client is', async () => {
      const forwarded: Headers = [...ann, ['X-Forwarded-For', gateway]]
      assert.equal(await ask(from('127.0.0.3'), 'ann', forwarded), 401)
      await until('the ignored header in the log', () =>
        server.log.some((line) => line.includes('a header that names a user was ignored')),
      )
      assert.doesNotMatch(server.log.join('\n'), /the secret of/)
    })

    test('is refused where a header comes in several lines', async () => {
      const twice: Headers = [...ann, ['x-forwarded-user', 'ann']]
      assert.equal(await ask(from(gateway), 'ann', twice), 401)
      const hidden: Headers = [...fromGateway, ['X-Forwarded-User', ''], ...ann.slice(1)]
      assert.equal(await ask(from(gateway), 'ann', hidden), 401)
      const groups: Headers = [...ann, ['X-Forwarded-Groups', 'a'], ['X-Forwarded-Groups', 'core']]
      assert.equal(await ask(from(gateway), 'core', groups), 401)
      const secrets: Headers = [['X-Gateway-Secret', 'a guess'], ...ann]
      assert.equal(await ask(from(gateway), 'ann', secrets), 401)
    })

    test('and a password must name the same user', async () => {
      assert.equal(await ask(from(gateway), 'ann', [...ann, basic('ci', password)]), 401)
      // Known by now.
      assert.equal(await ask(from(gateway), 'ann', [...ann, basic('ci', password)]), 401)
      const ci: Headers = [...fromGateway, ['X-Forwarded-User', 'ci'], basic('ci', password)]
      assert.equal(await ask(from(gateway), 'ci', ci), 404)
    })

    test('is enough of a login, and takes none from the others', async () => {
      assert.equal(await ask(from(gateway), '/v2/', ann), 200)
      assert.equal(await ask(from(gateway), '/v2/', fromGateway), 401)
      assert.equal(await ask(from('127.0.0.1'), '/v2/', []), 401)
      assert.equal(await ask(from('127.0.0.1'), '/v2/', [basic('ci', password)]), 200)
      assert.equal(await ask(from('127.0.0.1'), 'ci', [...ann, basic('ci', password)]), 404)
    })
  })
}

describe('a gateway with a client certificate', needsOpenssl, () => {
  const scene = usePki()
  const product = useTlsServer(scene, () => ({
    clientAuth: 'optional',
    toml: toml('127.0.0.1', '::1'),
  }))

  function over(certificate?: Certificate): RawTarget {
    const { pem: ca } = scene.pki.serverCa
    const own = certificate && { cert: certificate.bundlePem, key: certificate.keyPem }
    return { port: product.get().port, tls: { ca, servername: 'localhost', ...own } }
  }

  test('is known by it, and lends it to nobody', async () => {
    const { clientCa } = scene.pki
    const edge = await clientCa.clientCertificate({ commonNames: ['edge'] })
    const user: Headers = [['X-Forwarded-User', 'ann']]
    assert.equal(await ask(over(edge), 'ann', user), 404)
    assert.equal(await ask(over(edge), 'edge', user), 403)
    assert.equal(await ask(over(edge), 'edge', []), 401)
    const other = await clientCa.clientCertificate({ commonNames: ['edge2'] })
    assert.notEqual(await ask(over(other), 'ann', user), 404)
    assert.equal(await ask(over(), 'ann', user), 401)
    // By the secret, whatever its certificate.
    assert.equal(await ask(over(other), 'ann', ann), 404)
  })
})

describe('a gateway behind a proxy that speaks the PROXY protocol', () => {
  let server: Server
  before(async () => {
    server = await startServer({
      listeners: ['proxy_protocol = true'],
      toml: `[server]\ntransport = "node"\ntrusted_proxies = ["127.0.0.1"]\n${toml('10.9.9.9', '127.0.0.1')}`,
    })
  })
  after(() => server.stop())
  const via = (options: Parameters<typeof proxyHeader>[0]): RawTarget => {
    return { port: server.port, preamble: proxyHeader(options) }
  }

  test('is the one that the PROXY header names', async () => {
    assert.equal(await ask(via({ source: '10.9.9.9' }), 'ann', ann), 404)
  })

  test('is nobody else who comes through that proxy, whose own address is not theirs', async () => {
    assert.equal(await ask(via({ source: '203.0.113.5' }), 'ann', ann), 401)
    assert.equal(await ask(via({ source: '203.0.113.5' }), '/v2/', ann), 401)
  })

  test('may be that proxy where it speaks for itself', async () => {
    assert.equal(await ask(via({ command: 'LOCAL' }), 'ann', ann), 404)
  })
})

// Goal: every reply carries the security headers: HSTS over TLS alone, no script ever, no sniffing.
// Method: each kind of reply from each transport, with the defaults and with all of it switched off.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { needsOpenssl } from '../support/pki.ts'
import { RawConnection } from '../support/raw-http.ts'
import { type Answer, RegistryClient } from '../support/registry-client.ts'
import { secureClient, type TlsServer, usePki, useTlsServer } from '../support/tls-server.ts'

const names = [
  'strict-transport-security',
  'content-security-policy',
  'x-content-type-options',
] as const

const setups = [
  ['uws', {}],
  ['node', { clientAuth: 'optional', toml: '[server]\ntransport = "node"\n' }],
] as const

const off = '[server.headers]\nhsts_max_age = "0s"\ncontent_security_policy = ""\nnosniff = false\n'
const denyOne = `[repository."private".access_policy]\ndefault = "deny"\n`

/** One of each kind of reply. */
async function replies(client: RegistryClient): Promise<readonly (readonly [string, Answer])[]> {
  const blob = await client.pushBlob('a', Buffer.from('{}'))
  const type = 'application/vnd.oci.image.manifest.v1+json'
  const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: blob, size: 2 }
  const manifest = { schemaVersion: 2, mediaType: type, config, layers: [] }
  const pushed = await client.putManifest('a', 'v1', manifest)
  const started = await client.call('POST', '/v2/a/blobs/uploads/')
  const answers: readonly (readonly [string, number, Answer])[] = [
    ['ping', 200, await client.get('/v2/')],
    ['manifest', 200, await client.get('/v2/a/manifests/v1')],
    ['manifest, cached', 200, await client.get('/v2/a/manifests/v1')],
    ['manifest, HEAD', 200, await client.head('/v2/a/manifests/v1')],
    [
      'manifest, 304',
      304,
      await client.get('/v2/a/manifests/v1', { 'If-None-Match': `"${pushed.digest}"` }),
    ],
    ['manifest, 201', 201, pushed.answer],
    ['blob', 200, await client.get(`/v2/a/blobs/${blob}`)],
    ['blob, 206', 206, await client.get(`/v2/a/blobs/${blob}`, { Range: 'bytes=0-0' })],
    ['blob, 416', 416, await client.get(`/v2/a/blobs/${blob}`, { Range: 'bytes=9-' })],
    ['tags', 200, await client.get('/v2/a/tags/list')],
    ['upload', 202, started],
    ['unknown manifest', 404, await client.get('/v2/a/manifests/none')],
    ['unknown path', 404, await client.get('/favicon.ico')],
    ['bad name', 400, await client.get('/v2/A/manifests/x')],
    ['bad method', 405, await client.call('PUT', '/v2/')],
    ['denied', 401, await client.get('/v2/private/manifests/v1')],
  ]
  for (const [what, status, answer] of answers) assert.equal(answer.status, status, what)
  return answers.map(([what, , answer]) => [what, answer])
}

describe('security headers', needsOpenssl, () => {
  const scene = usePki()

  async function assertAll(
    running: TlsServer,
    expected: Readonly<Record<'plain' | 'tls', readonly (string | undefined)[]>>,
  ): Promise<void> {
    const clients = {
      plain: new RegistryClient(running.server.url),
      tls: secureClient(scene.pki, running),
    }
    for (const [kind, client] of Object.entries(clients) as ['plain' | 'tls', RegistryClient][]) {
      for (const [what, { headers }] of await replies(client)) {
        assert.deepEqual(
          names.map((name) => headers[name]),
          expected[kind],
          `${what} over ${kind}`,
        )
        assert.doesNotMatch(headers['server'] ?? '', /\d/, what)
        assert.equal(headers['x-powered-by'], undefined)
      }
      client.close()
    }
  }

  for (const [transport, options] of setups) {
    describe(`on ${transport}`, () => {
      const toml = 'toml' in options ? options.toml : ''
      const usual = useTlsServer(scene, () => ({ ...options, toml: `${toml}${denyOne}` }))
      const bare = useTlsServer(scene, () => ({ ...options, toml: `${toml}${denyOne}${off}` }))

      test('are on every reply, HSTS over TLS alone', async () => {
        const csp = "default-src 'none'; frame-ancestors 'none'"
        await assertAll(usual.get(), {
          plain: [undefined, csp, 'nosniff'],
          tls: ['max-age=31536000', csp, 'nosniff'],
        })
      })

      test('are on the refusal of framing that cannot be trusted', async () => {
        const connection = await RawConnection.open(usual.get().server.port)
        connection.write('GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n')
        const { status, headers } = await connection.reply()
        assert.equal(status, 400)
        assert.equal(headers['x-content-type-options'], 'nosniff')
        connection.close()
      })

      test('can be switched off', async () => {
        const none = [undefined, undefined, undefined]
        await assertAll(bare.get(), { plain: none, tls: none })
      })
    })
  }
})

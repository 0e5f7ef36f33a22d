// Goal: what a webhook does not allow does not happen, and a client learns no more than that. Method: real
// servers on both transports, with a service of the test's own behind them.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { RawConnection } from '../support/raw-http.ts'
import {
  assertRefused,
  assertStatus,
  digestOf,
  RegistryClient,
} from '../support/registry-client.ts'
import { type Behaviour, openRudeService, type RudeService } from '../support/rude-service.ts'
import { until } from '../support/until.ts'
import { Product, poll } from './product.ts'
import { pushSampleBlobs } from './sample-content.ts'

const allow = { status: 200, body: 'yes' }
const deny = { status: 403, body: 'a secret reason' }
const password = 'tuesday-fjord-lemon'
const authorization = `Basic ${Buffer.from(`ci:${password}`).toString('base64')}`
const blob = Buffer.from('guarded')
const digest = digestOf(blob)

/** Two webhooks: one for all, without a cache, and one for `kept`, with one. */
class Scene {
  readonly product = new Product()
  #services: readonly RudeService[] = []

  get scanner(): RudeService {
    return this.#services[0] as RudeService
  }

  get keeper(): RudeService {
    return this.#services[1] as RudeService
  }

  async start(transport: string): Promise<void> {
    this.#services = [await openRudeService(allow), await openRudeService(allow)]
    const hash = hashPassword(password)
    await this.product.start({
      toml: `
[server]
transport = "${transport}"
[global]
authorization_webhook = "scanner"
[repository.kept]
authorization_webhook = "keeper"
[auth.identity.ci]
username = "ci"
password = ${JSON.stringify(hash)}
[auth.webhook.scanner]
url = "${this.scanner.url}/decide"
bearer_token = "t0ken"
timeout = "1s"
cache_ttl = "0s"
breaker_failures = 1000
forward_headers = ["X-Tenant"]
[auth.webhook.keeper]
url = "${this.keeper.url}/keep"
cache_ttl = "1h"
`,
    })
  }

  async stop(): Promise<void> {
    await this.product.stop()
    for (const service of this.#services) await service.close()
  }

  behave(how: Behaviour): void {
    for (const service of this.#services) service.behave(how)
  }

  /** What a webhook heard of the last request, by header. */
  heard(service: RudeService): ReadonlyMap<string, string> {
    return new Map(service.requests.at(-1)?.headers)
  }

  async metric(line: string): Promise<number> {
    const { body } = await this.product.admin('/metrics')
    const found = body.split('\n').find((each) => each.startsWith(`${line} `))
    assert.ok(found, line)
    return Number(found.slice(line.length))
  }
}

for (const transport of ['uws', 'node']) {
  describe(`webhooks over ${transport}`, { concurrency: false }, () => {
    const scene = new Scene()
    let asked: readonly (readonly [string, string])[] = []
    before(async () => {
      await scene.start(transport)
      const { client } = scene.product
      const manifest = await pushSampleBlobs(client, 'kept/a', 'guarded')
      const { digest: image } = await client.putManifest('kept/a', 'latest', manifest)
      await client.pushBlob('kept/a', blob)
      const session = await client.startUpload('kept/a')
      asked = endpoints(image, session)
    })
    after(() => scene.stop())

    const ways: Readonly<Record<string, Behaviour>> = {
      'denies with 403': deny,
      'denies with 401': { status: 401 },
      'answers 500': { status: 500 },
      redirects: { status: 302, headers: { Location: '/allow' } },
      'never answers': 'never answers',
      'stops after the head': 'stops after the head',
      'ends its body early': 'ends its body early',
      'resets the connection': 'resets the connection',
      'speaks another protocol': 'speaks another protocol',
      'has a body beyond the bound': 'has a body beyond the bound',
    }
    for (const [how, behaviour] of Object.entries(ways)) {
      test(`where one ${how}, every endpoint refuses the anonymous and the known`, async () => {
        scene.behave(behaviour)
        for (const headers of [{}, { authorization }]) {
          const isKnown = 'authorization' in headers
          const client = new RegistryClient(scene.product.server.url)
          const answers = asked.map(async ([method, target]) => {
            const body = ['GET', 'HEAD', 'DELETE'].includes(method) ? {} : { body: blob }
            const answer = await client.call(method, target, { headers, ...body })
            const what = `${method} ${target}`
            assertStatus(answer, isKnown ? 403 : 401, what)
            assert.equal(answer.headers['www-authenticate'] !== undefined, !isKnown, what)
            if (method !== 'HEAD') {
              assertRefused(answer, isKnown ? 403 : 401, isKnown ? 'DENIED' : 'UNAUTHORIZED')
              assert.doesNotMatch(answer.body.toString(), /secret reason|scanner|webhook|127\.0/)
              // There the anonymous are told to log in before anybody is asked.
              const isDecided = isKnown || target !== '/v2/'
              if (isDecided) assert.match(answer.body.toString(), /"decisionId":"[0-9a-f-]{36}"/)
            }
          })
          await Promise.all(answers)
          client.close()
        }
        scene.behave(allow)
        const { client } = scene.product
        assertStatus(await client.call('GET', '/v2/kept/a/manifests/latest'), 200, 'still there')
        assertStatus(await client.call('HEAD', '/v2/kept/a/manifests/other'), 404, 'not pushed')
        assertStatus(await client.call('GET', `/v2/kept/a/blobs/${digest}`), 200, 'not deleted')
      })
    }

    test('it hears who asks for what, and nothing that the client says in its place', async () => {
      scene.behave(allow)
      const { client, server } = scene.product
      const headers = {
        ...{ authorization, 'x-registry-username': 'root', 'x-forwarded-for': '203.0.113.9' },
        ...{ 'x-tenant': 'blue', cookie: 'a=b', 'x-registry-action': 'get-api-version' },
      }
      assertStatus(await client.call('GET', '/v2/kept/a/manifests/latest', { headers }), 200)
      const heard = Object.fromEntries(scene.heard(scene.scanner))
      const { host, connection: _, ...others } = heard
      assert.equal(host, scene.scanner.url.slice('http://'.length))
      assert.deepEqual(others, {
        authorization: 'Bearer t0ken',
        'user-agent': 'keelson',
        'accept-encoding': 'identity',
        'x-forwarded-method': 'GET',
        'x-forwarded-proto': 'http',
        'x-forwarded-host': server.host,
        'x-forwarded-uri': '/v2/kept/a/manifests/latest',
        'x-forwarded-for': '127.0.0.1',
        'x-registry-action': 'get-manifest',
        'x-registry-namespace': 'kept/a',
        'x-registry-reference': 'latest',
        'x-registry-username': 'ci',
        'x-registry-identity-id': heard['x-registry-identity-id'],
        'x-tenant': 'blue',
      })
      assert.equal(scene.heard(scene.keeper).get('authorization'), undefined)
      assert.equal(scene.heard(scene.keeper).get('x-tenant'), undefined)
    })

    test('the log says which webhook refused and why, under the id that the client has', async () => {
      scene.scanner.behave(deny)
      const { client, server } = scene.product
      const answer = await client.call('DELETE', '/v2/a/manifests/x', {
        headers: { authorization },
      })
      const [, id = 'none'] = /"decisionId":"([^"]+)"/.exec(answer.body.toString()) ?? []
      const line = await poll('the line', async () => server.log.find((each) => each.includes(id)))
      assert.match(line, /"guard":"auth\.webhook\.scanner"/)
      assert.match(line, /"reason":"it answered 403"/)
      scene.behave(allow)
    })

    test('only repositories below its prefix are told to the webhook of a prefix', async () => {
      scene.behave(allow)
      const { client } = scene.product
      const heard = (): readonly number[] => [
        scene.scanner.requests.length,
        scene.keeper.requests.length,
      ]
      const [scanner = 0, keeper = 0] = heard()
      await client.call('GET', '/v2/keptnot/a/tags/list')
      await client.call('GET', '/v2/other/kept/tags/list')
      assert.deepEqual(heard(), [scanner + 2, keeper])
      await client.call('GET', '/v2/kept/only/tags/list')
      assert.deepEqual(heard(), [scanner + 3, keeper + 1])
      scene.scanner.behave(deny)
      await client.call('GET', '/v2/kept/more/tags/list')
      assert.deepEqual(heard(), [scanner + 4, keeper + 1], 'asked although it was denied already')
      scene.behave(allow)
    })

    test('a verdict is remembered for the same request, and counted', async () => {
      scene.behave(allow)
      const { client } = scene.product
      const total = 'webhook_authorization_requests_total{webhook="keeper",result='
      const target = '/v2/kept/a/manifests/latest?remember'
      assertStatus(await client.call('GET', target), 200)
      const before = scene.keeper.requests.length
      const cached = await scene.metric(`${total}"cached_allow"}`)
      scene.keeper.behave(deny)
      for (let i = 0; i < 5; i += 1) assertStatus(await client.call('GET', target), 200)
      assert.equal(scene.keeper.requests.length, before)
      assert.equal(await scene.metric(`${total}"cached_allow"}`), cached + 5)
      const other = await client.call('GET', target, { headers: { authorization } })
      assertStatus(other, 403)
      assert.equal(scene.keeper.requests.length, before + 1)
      assert.ok((await scene.metric(`${total}"deny"}`)) > 0)
      const timed = 'webhook_authorization_duration_seconds_count{webhook="scanner"}'
      assert.ok((await scene.metric(timed)) > 0)
      scene.behave(allow)
    })

    test('a body that arrives while a webhook thinks is neither lost nor kept', async () => {
      const { client } = scene.product
      for (const [answer, status] of [
        [allow, 201],
        [deny, 401],
      ] as const) {
        const bytes = Buffer.alloc(3 * 1024 * 1024, status % 256)
        scene.scanner.behave('never answers')
        const target = `/v2/slow/blobs/uploads/?digest=${digestOf(bytes)}`
        const pushed = client.call('POST', target, { body: bytes })
        await until('the question', () => scene.scanner.open === 1)
        scene.scanner.release(answer)
        assertStatus(await pushed, status)
        scene.scanner.behave(allow)
        const found = await client.call('GET', `/v2/slow/blobs/${digestOf(bytes)}`)
        assertStatus(found, status === 201 ? 200 : 404)
        if (status === 201) assert.deepEqual(found.body, bytes)
      }
    })

    test('a mount needs the webhook to allow reading the source, too', async () => {
      const { client } = scene.product
      const target = `/v2/mounted/blobs/uploads/?mount=${digest}&from=kept/a`
      scene.behave(allow)
      scene.scanner.behave((request) => {
        const heard = new Map(request.headers)
        return heard.get('x-registry-action') === 'get-blob' ? deny : allow
      })
      assertStatus(await client.call('POST', target), 202)
      scene.behave(allow)
      assertStatus(await client.call('POST', target), 201)
      const actions = scene.scanner.requests.slice(-2).map(({ headers }) => {
        const heard = new Map(headers)
        return [heard.get('x-registry-action'), heard.get('x-registry-namespace')]
      })
      assert.deepEqual(actions, [
        ['mount-blob', 'mounted'],
        ['get-blob', 'kept/a'],
      ])
    })

    test('a client that goes while a webhook thinks leaves the others alone', async () => {
      scene.scanner.behave('never answers')
      const { client, server } = scene.product
      const before = scene.scanner.requests.length
      const gone = await RawConnection.open({ port: server.port })
      gone.write('GET /v2/kept/a/manifests/latest HTTP/1.1\r\nHost: a\r\n\r\n')
      await until('the question', () => scene.scanner.requests.length > before)
      gone.close()
      scene.scanner.behave(allow)
      assertStatus(await client.call('GET', '/v2/kept/a/manifests/latest'), 200)
    })
  })
}

test('a server ends in time and cleanly while a webhook does not answer', async () => {
  const scene = new Scene()
  await scene.start('auto')
  scene.behave('never answers')
  const { client } = scene.product
  const waiting = client.call('GET', '/v2/a/manifests/x').catch(() => undefined)
  await until('the question', () => scene.scanner.open === 1)
  await scene.stop()
  const answer = await waiting
  assert.ok(answer === undefined || answer.status === 401, String(answer?.status))
})

function endpoints(image: string, session: string): readonly (readonly [string, string])[] {
  return [
    ['GET', '/v2/'],
    ['GET', '/v2/_catalog'],
    ['GET', '/v2/kept/a/tags/list'],
    ['GET', '/v2/kept/a/manifests/latest'],
    ['HEAD', '/v2/kept/a/manifests/latest'],
    ['GET', `/v2/kept/a/manifests/${image}`],
    ['PUT', '/v2/kept/a/manifests/other'],
    ['DELETE', '/v2/kept/a/manifests/latest'],
    ['DELETE', `/v2/kept/a/manifests/${image}`],
    ['GET', `/v2/kept/a/blobs/${digest}`],
    ['DELETE', `/v2/kept/a/blobs/${digest}`],
    ['GET', `/v2/kept/a/referrers/${digest}`],
    ['POST', '/v2/kept/a/blobs/uploads/'],
    ['POST', `/v2/kept/b/blobs/uploads/?digest=${digest}`],
    ['POST', `/v2/kept/b/blobs/uploads/?mount=${digest}&from=kept/a`],
    ['GET', session],
    ['PATCH', session],
    ['PUT', `${session}?digest=${digest}`],
    ['DELETE', session],
  ]
}

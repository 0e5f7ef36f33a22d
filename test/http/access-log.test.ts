// Goal: whatever becomes of a request, it is told of once: one line with what it was and how it ended,
// and one more in the metrics. Method: every way that a request can end, on both transports.
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { seededBytes } from '../support/images.ts'
import { digestOf } from '../support/registry-client.ts'
import { until } from '../support/until.ts'
import { AccessScene, head, sumOf } from './access-log-scene.ts'
import { useProduct } from './product.ts'

const password = 'tuesday-fjord-lemon'
const hash = JSON.stringify(hashPassword(password))
const proxy = '127.0.0.2'

function config(transport: string): string {
  return `
[server]
transport = "${transport}"
trusted_proxies = ["127.0.0.3"]
[server.forward_auth]
proxies = ["${proxy}"]
[log]
access = "all"
[auth.identity.build]
username = "ci"
password = ${hash}
[auth.identity.other]
username = "bob"
password = ${hash}
[global.access_policy]
default = "deny"
rules = ["identity.username == 'ci'"]
`
}

function basic(username: string): { readonly Authorization: string } {
  return { Authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }
}

const ci = { headers: basic('ci') }
const image = '/v2/team/app'
const mebibyte = 1024 * 1024
const big = seededBytes('access-log', 32 * mebibyte)
const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const config0 = Buffer.from('{}')
const manifest = JSON.stringify({
  ...{ schemaVersion: 2, mediaType: manifestType, layers: [] },
  config: {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    ...{ digest: digestOf(config0), size: config0.length },
  },
})
const manifestDigest = digestOf(Buffer.from(manifest))
const tagged = `${image}/manifests/v1`
const bigBlob = `${image}/blobs/${digestOf(big)}`

for (const transport of ['auto', 'node']) {
  describe(`access log, ${transport}`, () => {
    const product = useProduct({ toml: config(transport) })
    const scene = new AccessScene(() => product.server)

    before(async () => {
      for (const blob of [config0, big]) {
        const target = `${image}/blobs/uploads/?digest=${digestOf(blob)}`
        const { reply, line } = await scene.ask('POST', target, { ...ci, body: blob })
        assert.deepEqual([reply.status, line['bytesIn']], [201, blob.length])
      }
      const { reply, line } = await scene.ask('PUT', tagged, {
        headers: { ...basic('ci'), 'Content-Type': manifestType },
        body: manifest,
      })
      assert.equal(reply.status, 201)
      assert.deepEqual(
        [line['action'], line['bytesIn'], line['bytesOut']],
        ['put-manifest', manifest.length, 0],
      )
    })

    test('a manifest is told of with all that a line has, first and when it is remembered', async () => {
      for (let i = 0; i < 3; i++) {
        const { reply, line } = await scene.ask('GET', tagged, ci)
        assert.equal(reply.body.toString(), manifest)
        assert.equal(reply.headers['x-request-id'], undefined)
        const { level, time, requestId, durationMs, userAgent, ...rest } = line
        assert.deepEqual(rest, {
          ...{ method: 'GET', action: 'get-manifest', repository: 'team/app', reference: 'v1' },
          ...{ status: 200, bytesIn: 0, bytesOut: manifest.length, msg: 'request' },
          ...{ username: 'ci', authMethod: 'basic', address: '127.0.0.1' },
        })
        assert.equal(level, 30)
        assert.ok(Math.abs(Date.parse(String(time)) - Date.now()) < 60_000)
        assert.match(String(requestId), /^[\da-f-]{36}$/)
        assert.ok(typeof durationMs === 'number' && durationMs >= 0 && durationMs < 60_000)
        assert.match(String(userAgent), /^agent-\d+$/)
      }
    })

    test('HEAD, 304 and 404 are told of without bytes that were not sent', async () => {
      const known = { ...basic('ci'), 'If-None-Match': `"${manifestDigest}"` }
      const cases = [
        ['HEAD', tagged, basic('ci'), 200, 0],
        ['GET', tagged, known, 304, 0],
        ['HEAD', `${image}/manifests/none`, basic('ci'), 404, 0],
        ['HEAD', bigBlob, basic('ci'), 200, 0],
      ] as const
      for (const [method, target, headers, status, bytesOut] of cases) {
        const { reply, line } = await scene.ask(method, target, { headers })
        assert.equal(reply.status, status)
        const told = [line['method'], line['status'], line['bytesOut'], line['aborted']]
        assert.deepEqual(told, [method, status, bytesOut, undefined], target)
      }
      const miss = await scene.ask('GET', `${image}/manifests/none`, ci)
      assert.deepEqual([miss.line['status'], miss.line['bytesOut']], [404, miss.reply.body.length])
    })

    test('a blob is told of when its last byte has left, whole or in part', async () => {
      const whole = await scene.ask('GET', bigBlob, ci)
      assert.equal(whole.reply.body.length, big.length)
      const { status, bytesOut, digest, aborted } = whole.line
      assert.deepEqual([status, bytesOut, aborted], [200, big.length, undefined])
      assert.equal(digest, digestOf(big))
      const headers = { ...basic('ci'), Range: 'bytes=1000-200999' }
      const part = await scene.ask('GET', bigBlob, { headers })
      assert.deepEqual([part.line['status'], part.line['bytesOut']], [206, 200_000])
      const several = { ...basic('ci'), Range: 'bytes=0-9,1000-1009' }
      const parts = await scene.ask('GET', bigBlob, { headers: several })
      assert.deepEqual(
        [parts.line['status'], parts.line['bytesOut']],
        [206, parts.reply.body.length],
      )
    })

    test('a client that leaves in the middle of a blob is told of, with what it got at least', async () => {
      const agent = scene.agent()
      const client = await scene.open()
      client.socket.pause()
      client.write(head('GET', bigBlob, agent, ci))
      client.socket.once('readable', () => {})
      await until(
        'some of it',
        () => client.socket.bytesRead > 0 || client.socket.readableLength > 0,
      )
      client.reset()
      const line = await scene.line(agent)
      assert.deepEqual([line['status'], line['aborted']], [200, true])
      assert.ok(Number(line['bytesOut']) < big.length)
    })

    test('a refusal has the id under which its client and the audit log know it', async () => {
      const cases = [
        ['no credentials', {}, 401, null],
        ['somebody who may not', { headers: basic('bob') }, 403, 'bob'],
      ] as const
      for (const [what, call, status, username] of cases) {
        const { reply, line } = await scene.ask('GET', tagged, call)
        assert.equal(reply.status, status, what)
        assert.equal(line['status'], status, what)
        assert.equal(line['username'], username, what)
        assert.equal(line['requestId'], reply.headers['x-request-id'], what)
        assert.ok(reply.body.includes(`"decisionId":"${line['decisionId']}"`), what)
      }
    })

    test('a target that is none is told of without its query', async () => {
      const { reply, line } = await scene.ask('GET', '/nowhere?password=hunter2', ci)
      assert.equal(reply.status, 404)
      assert.deepEqual([line['path'], line['action']], ['/nowhere', undefined])
      assert.ok(!product.server.log.some((each) => each.includes('hunter2')))
      assert.ok(!product.server.log.some((each) => each.includes(basic('ci').Authorization)))
    })

    test('what the transport refuses is told of, too', async () => {
      const { reply, line } = await scene.ask('GET', tagged, { ...ci, body: 'unasked' })
      assert.equal(reply.status, 400)
      const { method, path, status, requestId, address } = line
      assert.deepEqual([method, path, status, address], ['GET', tagged, 400, '127.0.0.1'])
      assert.equal(requestId, reply.headers['x-request-id'])
    })

    test('bytes that are no request are told of as what they are', async () => {
      // uws ends such a connection without an answer: there is no request.
      if (transport !== 'node') return
      const client = await scene.open()
      client.write('no request at all\r\n\r\n')
      assert.equal((await client.reply()).status, 400)
      client.close()
      await until('its line', () => scene.lines().some((line) => line['method'] === ''))
      const line = scene.lines().find((each) => each['method'] === '')
      assert.deepEqual([line?.['path'], line?.['status'], line?.['bytesIn']], ['', 400, 0])
    })

    test('the question of a proxy is told of as what its client asks for', async () => {
      const original = { 'X-Forwarded-Method': 'GET', 'X-Forwarded-Uri': tagged }
      for (const [username, status] of [
        ['ci', 200],
        ['bob', 403],
      ] as const) {
        const { line } = await scene.ask('GET', '/forward-auth', {
          headers: { ...original, ...basic(username) },
          from: proxy,
        })
        const told = [line['forwardAuth'], line['action'], line['repository'], line['username']]
        assert.deepEqual(told, [true, 'get-manifest', 'team/app', username])
        assert.equal(line['status'], status)
      }
    })

    test('bodies are counted as they come, however they are framed', async () => {
      const start = await scene.ask('POST', `${image}/blobs/uploads/`, ci)
      const location = start.reply.headers['location'] ?? ''
      const sized = await scene.ask('PATCH', location, { ...ci, body: 'x'.repeat(1000) })
      assert.deepEqual([sized.line['action'], sized.line['bytesIn']], ['update-upload', 1000])
      const agent = scene.agent()
      const client = await scene.open()
      const headers = { ...basic('ci'), 'Transfer-Encoding': 'chunked' }
      client.write(
        head('PATCH', location, agent, { headers }),
        '5\r\nhello\r\n3\r\n...\r\n0\r\n\r\n',
      )
      assert.equal((await client.reply()).status, 202)
      client.close()
      assert.equal((await scene.line(agent))['bytesIn'], 8)
      const cancelled = await scene.ask('DELETE', location, ci)
      assert.deepEqual([cancelled.line['action'], cancelled.line['status']], ['cancel-upload', 204])
    })

    test('a client that leaves within its upload is told of with 499', async () => {
      const start = await scene.ask('POST', `${image}/blobs/uploads/`, ci)
      const location = start.reply.headers['location'] ?? ''
      const agent = scene.agent()
      const client = await scene.open()
      const headers = { ...basic('ci'), 'Content-Length': '1000' }
      client.write(head('PATCH', location, agent, { headers }), 'y'.repeat(400))
      await product.untilStatus('an upload', ({ ingest }) => ingest.receiving > 0)
      client.reset()
      const line = await scene.line(agent)
      assert.deepEqual([line['status'], line['aborted'], line['bytesOut']], [499, true, 0])
      assert.ok(Number(line['bytesIn']) <= 400)
    })

    test('ids of a trusted proxy are taken, others are not; traces are of whoever sends them', async () => {
      const trace = 'af7651916cd43dd8448eb211c80319c0'
      const headers = {
        ...basic('ci'),
        'X-Request-Id': 'edge-42',
        traceparent: `00-${trace}-b7ad6b7169203331-01`,
      }
      const trusted = await scene.ask('GET', tagged, { headers, from: '127.0.0.3' })
      assert.deepEqual([trusted.line['requestId'], trusted.line['traceId']], ['edge-42', trace])
      const other = await scene.ask('GET', tagged, { headers })
      assert.match(String(other.line['requestId']), /^[\da-f-]{36}$/)
      const bad = { ...headers, 'X-Request-Id': 'two words', traceparent: `00-${trace}-0-01` }
      const { line } = await scene.ask('GET', tagged, { headers: bad, from: '127.0.0.3' })
      assert.match(String(line['requestId']), /^[\da-f-]{36}$/)
      assert.equal(line['traceId'], undefined)
    })

    test('each has one line, and the metrics add up to them', async () => {
      scene.assertEachOnce()
      const page = (await product.admin('/metrics')).body
      const all = scene.lines()
      assert.equal(sumOf(page, 'keelson_http_requests_total'), all.length)
      assert.equal(sumOf(page, 'keelson_access_log_lines_total'), all.length)
      assert.equal(sumOf(page, 'keelson_access_log_dropped_total'), 0)
      assert.equal(sumOf(page, 'keelson_http_request_duration_seconds_count'), all.length)
      for (const [metric, field] of [
        ['keelson_http_request_body_bytes_total', 'bytesIn'],
        ['keelson_http_response_body_bytes_total', 'bytesOut'],
      ] as const) {
        const sum = all.reduce((total, line) => total + Number(line[field]), 0)
        assert.equal(sumOf(page, metric), sum, metric)
      }
      const aborted = all.filter((line) => line['aborted'] === true).length
      assert.equal(sumOf(page, 'keelson_http_requests_aborted_total'), aborted)
      for (const status of [200, 206, 304, 400, 401, 403, 404, 499]) {
        const lines = all.filter((line) => line['status'] === status).length
        assert.equal(sumOf(page, 'keelson_http_requests_total', `status="${status}"`), lines)
      }
      assert.ok(sumOf(page, 'keelson_http_requests_total', 'action="forward-auth"') >= 2)
    })
  })
}

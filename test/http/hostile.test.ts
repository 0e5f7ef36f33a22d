// Goal: what no client sends is answered clearly, in the OCI form, and changes not a byte of the store.
// Method: raw sockets against a running server; afterwards every file and record of the store is
// compared with those before.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { uwsProblem } from '../../src/server/transport/uws/listen.ts'
import {
  brokenChunks,
  deliveredCases,
  parserCases,
  type RequestTable,
  uwsIsFooledBy,
} from '../contract/transport-hostile.ts'
import { RawConnection, type RawReply } from '../support/raw-http.ts'
import { assertRefused, assertStatus, digestOf } from '../support/registry-client.ts'
import { StoreDump } from '../support/store-dump.ts'
import { type Product, setups, useProduct } from './product.ts'
import { descriptor, types } from './sample-content.ts'

const kept = Buffer.from('kept bytes')
const keptDigest = digestOf(kept)
const manifest = {
  schemaVersion: 2,
  mediaType: types.image,
  config: descriptor(types.config, kept),
  layers: [descriptor(types.layer, kept)],
}
const hex = 'a'.repeat(64)
const uuid = '95e850d3-4f14-40d7-b9c3-9895d2ecf987'

type Refusal = readonly [method: string, target: string, status: number, code: string]

const names: readonly Refusal[] = [
  'Upper',
  '-dash',
  'dash-',
  '.dot',
  'dot..dot',
  'under___score',
  '__proto__',
  'a//b',
  'a/',
  'a/../b',
  '..',
  '../..',
  '%2e%2e/%2e%2e',
  'a%2fb',
  'a%2Fb',
  'a%252fb',
  'a%5cb',
  'a\\b',
  'a%00b',
  'a%0d%0ab',
  'a%20b',
  'a+b',
  'a%',
  'a%zz',
  'a:b',
  'a@b',
  '%c3%a9',
  'a'.repeat(256),
  `${'a/'.repeat(127)}aa`,
].flatMap((name): readonly Refusal[] => [
  ['POST', `/v2/${name}/blobs/uploads/`, 400, 'NAME_INVALID'],
  ['POST', `/v2/${name}/blobs/uploads/?digest=${keptDigest}`, 400, 'NAME_INVALID'],
  ['POST', `/v2/${name}/blobs/uploads/?mount=${keptDigest}&from=kept`, 400, 'NAME_INVALID'],
  ['PUT', `/v2/${name}/manifests/v1`, 400, 'NAME_INVALID'],
  ['DELETE', `/v2/${name}/manifests/v1`, 400, 'NAME_INVALID'],
  ['GET', `/v2/${name}/blobs/${keptDigest}`, 400, 'NAME_INVALID'],
  ['GET', `/v2/${name}/tags/list`, 400, 'NAME_INVALID'],
])

const tags: readonly Refusal[] = [
  '.dot',
  '-dash',
  '..',
  '%2e%2e',
  'a%2fb',
  'a%00b',
  'a%0ab',
  'a+b',
  'a%20',
  'a'.repeat(129),
].flatMap((tag): readonly Refusal[] => [
  ['PUT', `/v2/kept/manifests/${tag}`, 400, 'TAG_INVALID'],
  ['PUT', `/v2/kept/manifests/${digestOf(kept)}?tag=${tag}`, 400, 'TAG_INVALID'],
  ['GET', `/v2/kept/manifests/${tag}`, 404, 'MANIFEST_UNKNOWN'],
  ['DELETE', `/v2/kept/manifests/${tag}`, 404, 'MANIFEST_UNKNOWN'],
])

const digests: readonly Refusal[] = [
  'sha256:',
  'sha256:abc',
  `sha256:${hex.toUpperCase()}`,
  `sha256:${hex}a`,
  `sha256:${hex.slice(1)}g`,
  `sha256:${hex}%00`,
  `sha256:${hex}%0a`,
  `sha256:${hex.slice(6)}..%2f..`,
  `sha512:${hex}`,
  `md5:${'a'.repeat(32)}`,
  `SHA256:${hex}`,
  `sha256:sha256:${hex}`,
  ':',
].flatMap((digest): readonly Refusal[] => [
  ['GET', `/v2/kept/blobs/${digest}`, 400, 'DIGEST_INVALID'],
  ['DELETE', `/v2/kept/blobs/${digest}`, 400, 'DIGEST_INVALID'],
  ['GET', `/v2/kept/referrers/${digest}`, 400, 'DIGEST_INVALID'],
  ['PUT', `/v2/kept/manifests/${digest}`, 400, 'DIGEST_INVALID'],
  ['POST', `/v2/kept/blobs/uploads/?digest=${digest}`, 400, 'DIGEST_INVALID'],
  ['POST', `/v2/kept/blobs/uploads/?mount=${digest}&from=kept`, 400, 'DIGEST_INVALID'],
  ['PUT', `/v2/kept/blobs/uploads/${uuid}?digest=${digest}`, 400, 'DIGEST_INVALID'],
])

const sessions: readonly Refusal[] = [
  uuid,
  uuid.toUpperCase(),
  `${uuid}%00`,
  `${uuid}a`,
  '..',
  '%2e%2e',
  '..%2f..%2fblobs',
  '%2e%2e%2f%2e%2e%2fmetadata%2fdata.mdb',
  'a'.repeat(300),
].flatMap((id): readonly Refusal[] => [
  ['GET', `/v2/kept/blobs/uploads/${id}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['PATCH', `/v2/kept/blobs/uploads/${id}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['PUT', `/v2/kept/blobs/uploads/${id}?digest=${keptDigest}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['DELETE', `/v2/kept/blobs/uploads/${id}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
])

const paths: readonly Refusal[] = [
  ['GET', '/', 404, 'ROUTE_UNKNOWN'],
  ['GET', '//v2/', 404, 'ROUTE_UNKNOWN'],
  ['GET', '/v2/../v2/', 404, 'ROUTE_UNKNOWN'],
  ['GET', '/../../../../etc/passwd', 404, 'ROUTE_UNKNOWN'],
  ['GET', '/v2/../../../../etc/passwd', 404, 'ROUTE_UNKNOWN'],
  ['GET', '/v2/kept/blobs/../../../_keelson/metadata/data.mdb', 404, 'ROUTE_UNKNOWN'],
  ['GET', '/v2/_keelson/metadata/data.mdb', 404, 'ROUTE_UNKNOWN'],
  ['GET', '/v2%2fkept%2fmanifests%2fv1', 404, 'ROUTE_UNKNOWN'],
  ['GET', '/V2/', 404, 'ROUTE_UNKNOWN'],
  ['GET', `/v2/${'a'.repeat(1100)}/tags/list`, 414, 'REQUEST_INVALID'],
  ['GET', `/v2/kept/tags/list?last=${'a'.repeat(9000)}`, 414, 'REQUEST_INVALID'],
  ['PUT', `/v2/kept/manifests/v1?${'tag=a&'.repeat(1500)}`, 414, 'REQUEST_INVALID'],
  ['GET', '/v2/kept/tags/list?n=-1', 400, 'PAGINATION_INVALID'],
  ['GET', '/v2/kept/tags/list?n=1e9', 400, 'PAGINATION_INVALID'],
  ['GET', '/v2/_catalog?n=%00', 400, 'PAGINATION_INVALID'],
  ['TRACE', '/v2/', 405, 'UNSUPPORTED'],
  ['PATCH', '/v2/kept/manifests/v1', 405, 'UNSUPPORTED'],
  ['POST', `/v2/kept/blobs/${keptDigest}`, 405, 'UNSUPPORTED'],
]

function raw(method: string, target: string, ...lines: readonly string[]): string {
  const head = [`${method} ${target} HTTP/1.1`, 'Host: registry', ...lines]
  return `${head.join('\r\n')}\r\n\r\n`
}

const isUwsHere = uwsProblem === undefined

for (const { name, ...options } of setups('alone', 'node')) {
  const known = name === 'node' || !isUwsHere ? [] : uwsIsFooledBy
  describe(`hostile requests, ${name}`, () => {
    const product = useProduct(options)
    let dump: StoreDump
    before(async () => {
      dump = new StoreDump(product.server.rootDir)
      await seed(product)
    })
    after(() => dump.close())

    for (const [what, refusals] of Object.entries({ names, tags, digests, sessions, paths })) {
      test(`bad ${what} are refused, and nothing is stored`, async () => {
        await refusesAll(product, dump, refusals)
      })
    }

    test('framing that cannot be trusted is refused, and the connection ended', async () => {
      const untouched = await dump.linesAtRest()
      await eachAtOnce(deliveredCases(target), async (request) => {
        const isHead = request.startsWith('HEAD')
        const client = await RawConnection.open(product.server.port)
        client.write(Buffer.from(request + smuggled, 'latin1'))
        const reply = await client.reply({ isHead })
        if (isHead) assertStatus(reply, 400)
        else assertRefused(reply, 400, 'REQUEST_INVALID')
        assert.equal(reply.headers['connection'], 'close')
        await client.over()
        assert.equal(client.pendingBytes, 0)
      })
      assert.deepEqual(await dump.lines(), untouched)
    })

    test('what is no request stores nothing, hides no request, and ends the connection', async () => {
      const untouched = await dump.linesAtRest()
      // At the same time, since some parsers only close when their patience ends.
      await eachAtOnce(without({ ...parserCases(target), ...broken() }, known), async (request) => {
        const client = await RawConnection.open(product.server.port)
        client.write(Buffer.from(request + smuggled, 'latin1'))
        const reply = await client.reply({ deadlineMs: silenceMs }).catch(() => undefined)
        if (reply !== undefined) assert.ok(reply.status >= 400, `status ${reply.status}`)
        await client.over(silenceMs)
        assert.equal(client.pendingBytes, 0)
      })
      assert.deepEqual(await dump.lines(), untouched)
    })

    test('ranges that make no sense are ignored or refused, and never a fault', async () => {
      const target = `/v2/kept/blobs/${keptDigest}`
      for (const range of ranges) {
        const reply = await ask(product, raw('GET', target, `Range: ${range}`))
        if (reply.status === 416) assertRefused(reply, 416, 'RANGE_INVALID')
        else if (reply.status === 200) assert.ok(reply.body.equals(kept), range)
        else assertStatus(reply, 206, range)
      }
      const beyond = await ask(product, raw('GET', target, 'Range: bytes=10-'))
      assert.equal(beyond.headers['content-range'], `bytes */${kept.length}`)
    })

    test('thousands of ranges cost no more than the blob', async () => {
      for (const range of ['0-', '0-9', '-10', '9-9']) {
        const value = Array.from({ length: 2000 }, () => range).join(',')
        const target = `/v2/kept/blobs/${keptDigest}`
        const reply = await ask(product, raw('GET', target, `Range: bytes=${value}`))
        assert.ok([200, 206, 416, 431].includes(reply.status), `${range}: ${reply.status}`)
        assert.ok(reply.body.length <= 2000, `${range}: ${reply.body.length} bytes`)
      }
    })

    test('a manifest over the limit is refused while none of it has been sent', async () => {
      const untouched = await dump.linesAtRest()
      for (const length of [4 * 1024 * 1024 + 1, 999_999_999_999_999]) {
        const head = raw('PUT', '/v2/kept/manifests/v1', `Content-Length: ${length}`)
        const reply = await ask(product, head)
        assertStatus(reply, 413)
        assert.match(reply.body.toString(), /"errors"/)
      }
      assert.deepEqual(await dump.lines(), untouched)
    })
  })
}

const target = {
  host: 'registry',
  get: '/v2/kept/manifests/v1',
  put: '/v2/kept/manifests/v2',
  remove: '/v2/kept/manifests/v1',
  body: JSON.stringify(manifest),
} as const
const smuggled = raw('DELETE', target.remove)
// A parser may close without a word, when its idle timer runs out.
const silenceMs = 15_000

/** Requests whose chunks cannot be trusted. */
function broken(): RequestTable {
  const head = raw('PUT', target.put, 'Transfer-Encoding: chunked')
  const cases = Object.entries(brokenChunks(target.body))
  return Object.fromEntries(cases.map(([name, chunks]) => [name, head + chunks]))
}

function without(cases: RequestTable, names: readonly string[]): RequestTable {
  return Object.fromEntries(Object.entries(cases).filter(([name]) => !names.includes(name)))
}

async function eachAtOnce(
  cases: RequestTable,
  send: (request: string) => Promise<void>,
): Promise<void> {
  const failures: string[] = []
  const one = ([name, request]: [string, string]): Promise<unknown> =>
    send(request).catch((error) => failures.push(`${name}: ${error}`))
  await Promise.all(Object.entries(cases).map(one))
  assert.deepEqual(failures, [])
}

const ranges = [
  'bytes=10-',
  'bytes=-0',
  'bytes=5-2',
  'bytes=',
  'bytes=-',
  'bytes=a-b',
  'bytes=0-5-9',
  'bytes=--5',
  'bytes=0x0-0x5',
  'bytes=99999999999999999999-',
  'bytes=0-99999999999999999999',
  'bytes=-99999999999999999999',
  'bytes=1.5-3',
  'bytes = 0-5',
  'octets=0-5',
  'bytes=0-1,',
  'bytes=,,,',
  'bytes=0-1;2-3',
] as const

/** A blob, and a manifest that names it. */
async function seed(product: Product): Promise<void> {
  await product.client.pushBlob('kept', kept)
  const { answer } = await product.client.putManifest('kept', 'v1', manifest)
  assertStatus(answer, 201)
}

async function ask(product: Product, request: string): Promise<RawReply> {
  const client = await RawConnection.open(product.server.port)
  try {
    client.write(request)
    return await client.reply()
  } finally {
    client.close()
  }
}

/** Each is refused as it says; after all of them the store is as it was. */
async function refusesAll(
  product: Product,
  dump: StoreDump,
  refusals: readonly Refusal[],
): Promise<void> {
  const untouched = await dump.linesAtRest()
  const body = JSON.stringify(manifest)
  for (const [method, target, status, code] of refusals) {
    const hasBody = ['PUT', 'POST', 'PATCH'].includes(method)
    const lines = hasBody ? [`Content-Length: ${body.length}`] : []
    const request = raw(method, target, ...lines) + (hasBody ? body : '')
    const reply = await ask(product, request)
    try {
      assertRefused(reply, status, code)
    } catch (error) {
      throw new Error(`${method} ${target}`, { cause: error })
    }
  }
  assert.deepEqual(await dump.lines(), untouched)
}

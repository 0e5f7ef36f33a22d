// Goal: an upload that goes wrong is answered clearly and leaves no trace but, at most, its session at
// the last byte that was acknowledged. Method: raw sockets against a running server; the store's files
// and records are compared with those before, and what stands is then finished to show that it can be.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { RawConnection, type RawReply } from '../support/raw-http.ts'
import { assertRefused, assertStatus, digestOf } from '../support/registry-client.ts'
import { StoreDump } from '../support/store-dump.ts'
import { type Product, poll, setups, useProduct } from './product.ts'
import { types } from './sample-content.ts'

const bytes = Buffer.from('hello world')
const head = bytes.subarray(0, 5)
const tail = bytes.subarray(5)
const digest = digestOf(bytes)
const wrong = digestOf(Buffer.from('something else'))
const uploads = '/v2/hostile/blobs/uploads/'
const limit = 100 * 1024

/** Values for the bytes behind `hello`; 416 is for what the session could not take, 400 for nonsense. */
const contentRanges: readonly (readonly [value: string, statuses: readonly number[]])[] = [
  ['0-5', [416]],
  ['4-9', [416]],
  ['6-11', [416]],
  ['11-16', [416]],
  ['9999999999-9999999999', [400, 416]],
  ['5-4', [400, 416]],
  ['5-9', [400, 416]],
  ['5-11', [400, 416]],
  ['5-', [400, 416]],
  ['-10', [400, 416]],
  ['-', [400, 416]],
  ['five-ten', [400, 416]],
  ['5-10-15', [400, 416]],
  ['5-0x0a', [400, 416]],
  ['5.0-10.0', [400, 416]],
  ['+5-10', [400, 416]],
  ['5-18446744073709551626', [400, 416]],
  ['18446744073709551621-18446744073709551626', [400, 416]],
  ['5-10, 11-12', [400, 416]],
  ['bytes */11', [400, 416]],
  ['bytes 5-10/3', [400, 416]],
  ['octets 5-10/11', [400, 416]],
]

function raw(method: string, target: string, ...lines: readonly string[]): string {
  const all = [`${method} ${target} HTTP/1.1`, 'Host: registry', ...lines]
  return `${all.join('\r\n')}\r\n\r\n`
}

const lengthOf = (body: Uint8Array): string => `Content-Length: ${body.length}`
const octets = 'Content-Type: application/octet-stream'
const chunked = 'Transfer-Encoding: chunked'

for (const { name, toml } of setups('alone', 'node')) {
  describe(`hostile uploads, ${name}`, () => {
    const product = useProduct({
      toml: `${toml ?? ''}\n[global]\nmax_blob_size = "${limit}B"\n`,
    })
    let dump: StoreDump
    before(() => {
      dump = new StoreDump(product.server.rootDir)
    })
    after(() => dump.close())

    /** A session that stands at `hello`. */
    const begin = async (): Promise<string> => {
      const location = await product.client.startUpload('hostile')
      assertStatus(await product.client.patch(location, head), 202)
      return location
    }

    /** The session still stands at `hello`, and its blob is nowhere; then it is finished and removed. */
    const standsAndEnds = async (location: string): Promise<void> => {
      const status = await untilIdle(product, location)
      assert.equal(status.headers['range'], '0-4')
      assertStatus(await product.client.head(`/v2/hostile/blobs/${digest}`), 404)
      assertStatus(await product.client.finish(location, digest, tail), 201)
      const pulled = await product.client.get(`/v2/hostile/blobs/${digest}`)
      assert.ok(assertStatus(pulled, 200).body.equals(bytes))
      assertStatus(await product.client.delete(`/v2/hostile/blobs/${digest}`), 202)
    }

    for (const method of ['PATCH', 'PUT']) {
      test(`a ${method} with a Content-Range that does not fit leaves the session`, async () => {
        const location = await begin()
        const target = method === 'PUT' ? `${location}?digest=${digest}` : location
        const untouched = await dump.linesAtRest()
        for (const [value, statuses] of contentRanges) {
          const request = raw(method, target, octets, lengthOf(tail), `Content-Range: ${value}`)
          const reply = await ask(product, request, tail)
          assert.ok(statuses.includes(reply.status), `${value}: ${reply.status} ${reply.body}`)
          assertErrors(reply)
          assert.deepEqual(await dump.lines(), untouched, value)
        }
        await standsAndEnds(location)
      })
    }

    test('a wrong digest is refused whichever way the blob comes', async () => {
      const location = await begin()
      const untouched = await content(dump)
      for (const [method, target, body] of [
        ['POST', `${uploads}?digest=${wrong}`, bytes],
        ['PUT', `${location}?digest=${wrong}`, tail],
        ['PUT', `${location}?digest=${wrong}`, Buffer.alloc(0)],
        ['PUT', `${location}?digest=${digest}`, Buffer.from(' wurld')],
        ['PUT', `${location}?digest=${digestOf(bytes, 'sha512').replace('512', '256')}`, tail],
      ] as const) {
        const reply = await ask(product, raw(method, target, octets, lengthOf(body)), body)
        assertRefused(reply, 400, 'DIGEST_INVALID')
        assertStatus(await product.client.head(`/v2/hostile/blobs/${wrong}`), 404)
        assert.deepEqual(await content(dump), untouched)
      }
      await standsAndEnds(location)
    })

    for (const leave of ['reset', 'end'] as const) {
      test(`a client that leaves (${leave}) in mid-body changes nothing that was acknowledged`, async () => {
        for (const [lines, body] of [
          [['Content-Length: 6'], ' wo'],
          [['Content-Length: 90000'], ' '.repeat(80_000)],
          [[chunked], '6\r\n wo'],
          [[chunked], '6\r\n world\r\n'],
          [[chunked, 'Content-Range: 5-10'], '6\r\n world\r\n'],
        ] as const) {
          for (const method of ['PATCH', 'PUT']) {
            const location = await begin()
            const target = method === 'PUT' ? `${location}?digest=${digest}` : location
            await leaveIn(product, leave, raw(method, target, octets, ...lines), body)
            await standsAndEnds(location)
          }
        }
      })

      test(`a single request that its client leaves (${leave}) stores nothing`, async () => {
        await product.client.pushBlob('hostile', Buffer.from('makes the repository known'))
        const untouched = await dump.linesAtRest()
        const { uploadsOpen } = await product.status()
        const manifest = `Content-Type: ${types.image}`
        for (const [method, target, line, body] of [
          ['POST', `${uploads}?digest=${digest}`, 'Content-Length: 11', 'hello'],
          ['POST', `${uploads}?digest=${digest}`, chunked, 'b\r\nhello world\r\n'],
          ['POST', `${uploads}?digest=${digestOf(head)}`, 'Content-Length: 11', 'hello'],
          ['PUT', '/v2/hostile/manifests/v1', 'Content-Length: 500', '{"schemaVersion": 2'],
          ['PUT', '/v2/hostile/manifests/v1', chunked, '2\r\n{}\r\n'],
        ] as const) {
          await leaveIn(product, leave, raw(method, target, manifest, line), body)
          await product.untilStatus(
            'nothing is under way',
            (status) => status.uploadsOpen === uploadsOpen,
          )
          // The session is closed before its record is gone, and nobody is told of that.
          await poll(`${method} ${target} leaves nothing`, async () =>
            isDeepStrictEqual(await dump.lines(), untouched) ? true : undefined,
          )
        }
      })
    }

    test('chunks that are none abort the request, and the session stands', async () => {
      for (const chunks of ['zz\r\n world', '6\r\n world7\r\n', '-6\r\n world\r\n0\r\n\r\n']) {
        const location = await begin()
        const client = await RawConnection.open(product.server.port)
        // In one piece: where a chunk's line is all that has come, uWS may take it for the last one.
        const patch = raw('PATCH', location, octets, chunked)
        client.write(`${patch}${chunks}${raw('DELETE', location)}`)
        await client.over(15_000)
        await standsAndEnds(location)
      }
    })

    test('bytes behind the announced length are no part of the blob', async () => {
      const location = await begin()
      const client = await RawConnection.open(product.server.port)
      client.write(raw('PATCH', location, octets, 'Content-Length: 6'), tail, 'and more')
      // For the bytes behind them a parser may end the connection before the reply and the commit.
      await client.over(15_000)
      const status = await untilIdle(product, location)
      const end = status.headers['range'] === '0-10' ? undefined : tail
      assert.equal(status.headers['range'], end === undefined ? '0-10' : '0-4')
      assertStatus(await product.client.finish(location, digest, end), 201)
    })

    test('a body over the limit is refused before it is read, where its length tells', async () => {
      const location = await begin()
      const untouched = await dump.linesAtRest()
      for (const [method, target] of [
        ['PATCH', location],
        ['PUT', `${location}?digest=${digest}`],
        ['POST', `${uploads}?digest=${digest}`],
      ] as const) {
        for (const length of [limit + 1, 999_999_999_999_999]) {
          const request = raw(method, target, octets, `Content-Length: ${length}`)
          const reply = await ask(product, request)
          assertRefused(reply, 413, 'CONTENT_TOO_LARGE')
        }
      }
      assert.deepEqual(await dump.lines(), untouched)
    })

    test('a stream over the limit is refused while it flows, and its client hears of it', async () => {
      const location = await begin()
      const piece = Buffer.alloc(64 * 1024, 'x')
      for (const [method, target] of [
        ['PATCH', location],
        ['PUT', `${location}?digest=${digest}`],
        ['POST', `${uploads}?digest=${digest}`],
      ] as const) {
        const client = await RawConnection.open(product.server.port)
        client.write(raw(method, target, octets, chunked))
        for (let sent = 0; sent < 64; sent++) client.write('10000\r\n', piece, '\r\n')
        assertRefused(await client.reply(), 413, 'CONTENT_TOO_LARGE')
        client.close()
      }
      const stands = await untilIdle(product, location)
      assert.equal(stands.headers['range'], '0-4')
      assertStatus(await product.client.delete(location), 204)
    })
  })
}

/** What the store holds but for sessions, whose files may hold more than was acknowledged. */
async function content(dump: StoreDump): Promise<readonly string[]> {
  return (await dump.lines()).filter((line) => !/^(record u!|file _keelson.uploads)/.test(line))
}

/** The reply is a refusal in the OCI form, of whatever code. */
function assertErrors(reply: RawReply): void {
  const { errors } = JSON.parse(reply.body.toString()) as { errors: { code: string }[] }
  assert.match(errors[0]?.code ?? '', /^[A-Z_]+$/)
}

async function ask(product: Product, ...parts: readonly (string | Uint8Array)[]) {
  const client = await RawConnection.open(product.server.port)
  try {
    client.write(...parts)
    return await client.reply()
  } finally {
    client.close()
  }
}

/** Send what is there, and go when the server has begun to read it. */
async function leaveIn(
  product: Product,
  how: 'reset' | 'end',
  request: string,
  body: string,
): Promise<void> {
  const client = await RawConnection.open(product.server.port)
  client.write(request, body)
  await product.untilStatus('the request has begun', (status) => status.requestsInFlight > 0)
  if (how === 'reset') client.reset()
  else client.socket.end()
  await product.untilStatus('the request is over', (status) => status.requestsInFlight === 0)
  client.close()
}

/** The state of a session when nobody writes to it any more. */
function untilIdle(product: Product, location: string) {
  return poll('the session is free', async () => {
    const { ingest } = await product.status()
    if (ingest.receiving > 0) return undefined
    return assertStatus(await product.client.get(location), 204)
  })
}

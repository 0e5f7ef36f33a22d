// Goal: what is bounded by configuration is refused at its bound, before it costs anything, and what
// is within it goes on. Method: servers with small bounds, and requests just below and above.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { RawConnection } from '../support/raw-http.ts'
import {
  type Answer,
  assertRefused,
  assertStatus,
  digestOf,
  locationOf,
} from '../support/registry-client.ts'
import { setups, useProduct } from './product.ts'

const uploads = '/v2/limits/blobs/uploads/'
const blobBytesMax = 100 * 1024
const within = seededBytes('limits', blobBytesMax)
const beyond = seededBytes('limits', blobBytesMax + 1)

function assertTooMany(answer: Answer): void {
  assertRefused(answer, 429, 'TOOMANYREQUESTS')
  assert.match(answer.headers['retry-after'] ?? '', /^[1-9]\d*$/)
}

function chunked(bytes: Buffer): readonly Buffer[] {
  return [bytes.subarray(0, 1000), bytes.subarray(1000)]
}

for (const { name, toml } of setups('alone', 'node')) {
  describe(`limits, ${name}`, () => {
    const bounds = '[ingest]\nsessions_max = 3\n[global]\nmax_blob_size = "100KiB"\n'
    const product = useProduct({ toml: `${toml ?? ''}\n${bounds}` })
    const blob = Buffer.from('one of few')
    const digest = digestOf(blob)
    const post = (query = ''): Promise<Answer> =>
      product.client.call('POST', `${uploads}${query}`, query === '' ? {} : { body: blob })

    test('sessions beyond the bound get 429 with Retry-After, until one ends', async () => {
      const open: string[] = []
      for (let i = 0; i < 3; i++) open.push(await product.client.startUpload('limits'))
      assertTooMany(await post())
      assertTooMany(await post(`?digest=${digest}`))
      assertTooMany(await post(`?mount=${digest}&from=other`))
      // Those that are open go on.
      for (const location of open) {
        assertStatus(await product.client.patch(location, blob), 202)
        assertStatus(await product.client.get(location), 204)
      }
      assertTooMany(await post())
      assertStatus(await product.client.finish(open[0]!, digest), 201)
      open[0] = await product.client.startUpload('limits')
      assertTooMany(await post())
      for (const location of open) assertStatus(await product.client.delete(location), 204)
      assertStatus(await post(`?digest=${digest}`), 201)
    })

    test('uploads that end in one request, well or badly, leave no session open', async () => {
      const wrong = digestOf(Buffer.from('wrong'))
      for (let i = 0; i < 5; i++) {
        assertRefused(await post(`?digest=${wrong}`), 400, 'DIGEST_INVALID')
        assertStatus(await post(`?digest=${digest}`), 201)
      }
      assert.equal((await product.status()).uploadsOpen, 0)
    })

    test('a mount of what is there needs no session', async () => {
      const open: string[] = []
      for (let i = 0; i < 3; i++) open.push(await product.client.startUpload('limits'))
      assertStatus(await post(`?mount=${digest}&from=limits`), 201)
      for (const location of open) assertStatus(await product.client.delete(location), 204)
    })

    test('a blob of just that size is taken, in one piece and in chunks', async () => {
      const digest = digestOf(within)
      assertStatus(
        await product.client.call('POST', `${uploads}?digest=${digest}`, { body: within }),
        201,
      )
      const location = await product.client.startUpload('limits')
      const half = blobBytesMax / 2
      assertStatus(await product.client.patch(location, within.subarray(0, half)), 202)
      assertStatus(await product.client.finish(location, digest, within.subarray(half)), 201)
    })

    for (const [what, body] of [
      ['with a length', beyond],
      ['without a length', chunked(beyond)],
    ] as const) {
      test(`a larger one ${what} is refused with 413, whichever way it comes`, async () => {
        const digest = digestOf(beyond)
        const posted = await product.client.call('POST', `${uploads}?digest=${digest}`, { body })
        assertRefused(posted, 413, 'CONTENT_TOO_LARGE')
        const location = await product.client.startUpload('limits')
        assertRefused(await product.client.patch(location, body), 413, 'CONTENT_TOO_LARGE')
        assertRefused(await product.client.finish(location, digest, body), 413, 'CONTENT_TOO_LARGE')
        assertStatus(await product.client.head(`/v2/limits/blobs/${digest}`), 404)
        // The session stands where it stood.
        assertStatus(await product.client.finish(location, digestOf(within), within), 201)
      })

      test(`a chunk ${what} that would make it larger is refused and can be replaced`, async () => {
        const started = await product.client.startUpload('limits')
        const first = assertStatus(
          await product.client.patch(started, within.subarray(0, 1000)),
          202,
        )
        const location = locationOf(first)
        const tail = Array.isArray(body) ? chunked(beyond.subarray(1000)) : beyond.subarray(1000)
        assertRefused(await product.client.patch(location, tail), 413, 'CONTENT_TOO_LARGE')
        const standing = assertStatus(await product.client.get(location), 204)
        assert.equal(standing.headers['range'], '0-999')
        const rest = within.subarray(1000)
        assertStatus(await product.client.finish(location, digestOf(within), rest), 201)
      })
    }

    test('a length beyond the bound is refused before any of the body is there', async () => {
      const location = await product.client.startUpload('limits')
      const digest = digestOf(within)
      for (const line of [
        `PATCH ${location}`,
        `PUT ${location}?digest=${digest}`,
        `POST ${uploads}?digest=${digest}`,
      ]) {
        const connection = await RawConnection.open(product.server.port)
        connection.write(
          `${line} HTTP/1.1\r\nHost: registry\r\nContent-Length: 99999999999\r\n\r\n`,
        )
        assert.equal((await connection.reply()).status, 413, line)
        connection.close()
      }
    })
  })
}

describe('server.external_url', () => {
  const url = 'https://registry.example.com'
  const product = useProduct({ toml: `[server]\nexternal_url = "${url}"\n` })

  test('Location begins with it', async () => {
    const location = await product.client.startUpload('a')
    assert.ok(location.startsWith(`${url}/v2/a/blobs/uploads/`), location)
    const bytes = Buffer.from('elsewhere')
    const own = location.slice(url.length)
    const closed = assertStatus(await product.client.finish(own, digestOf(bytes), bytes), 201)
    assert.equal(locationOf(closed), `${url}/v2/a/blobs/${digestOf(bytes)}`)
  })
})

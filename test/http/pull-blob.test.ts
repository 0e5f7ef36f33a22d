// Goal: a blob is served whole, by ranges and conditionally, as RFC 9110 and the clients want it.
// Method: a seeded blob is pushed once per set-up; every answer is compared with its bytes.
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { type Answer, assertRefused, assertStatus, digestOf } from '../support/registry-client.ts'
import { setups, useProduct } from './product.ts'

const size = 300_000
const bytes = seededBytes('pull-blob', size)
const digest = digestOf(bytes)
const etag = `"${digest}"`
const target = `/v2/pull/blobs/${digest}`
const octets = 'application/octet-stream'

/** Range header, first and last byte of the answer. */
const satisfied: readonly (readonly [string, number, number])[] = [
  ['bytes=500-1499', 500, 1499],
  ['bytes=0-0', 0, 0],
  ['bytes=0-', 0, size - 1],
  ['bytes=500-', 500, size - 1],
  ['bytes=-500', size - 500, size - 1],
  ['bytes=-999999', 0, size - 1],
  [`bytes=${size - 1}-`, size - 1, size - 1],
  ['bytes=200000-999999', 200_000, size - 1],
  ['bytes=0-99999999999999999999', 0, size - 1],
  ['BYTES=10-19', 10, 19],
  ['bytes=10-19,', 10, 19],
  ['bytes=10-19,999999-', 10, 19],
]

const unsatisfiable = ['bytes=500-0', `bytes=${size}-`, 'bytes=999999-1000000', 'bytes=-0']

/** Ranges that the RFC lets a server ignore, and a client must be ready for. */
const ignored = [
  'bytes',
  'bytes=',
  'bytes=a-b',
  'bytes=1-2-3',
  'lines=1-2',
  'bytes=--5',
  'bytes=0x1-2',
]

interface Part {
  readonly headers: string
  readonly body: Buffer
}

function partsOf(answer: Answer): readonly Part[] {
  const boundary = /^multipart\/byteranges; boundary=([A-Za-z0-9:]+)$/.exec(
    answer.headers['content-type'] ?? '',
  )?.[1]
  assert.ok(boundary, answer.headers['content-type'])
  const sections = answer.body.toString('latin1').split(`\r\n--${boundary}`)
  assert.equal(sections.shift(), '', 'nothing before the first boundary')
  assert.equal(sections.pop(), '--\r\n', 'nothing after the last boundary')
  return sections.map((section) => {
    const end = section.indexOf('\r\n\r\n')
    return { headers: section.slice(0, end), body: Buffer.from(section.slice(end + 4), 'latin1') }
  })
}

for (const setup of setups('alone', 'node')) {
  describe(`pull a blob, ${setup.name}`, () => {
    const product = useProduct(setup)
    const get = (headers: Record<string, string> = {}): Promise<Answer> =>
      product.client.get(target, headers)
    before(() => product.client.pushBlob('pull', bytes))

    test('GET answers the bytes with length, digest and entity tag', async () => {
      const { headers, body } = assertStatus(await get(), 200)
      assert.ok(body.equals(bytes))
      assert.equal(headers['content-length'], String(size))
      assert.equal(headers['content-type'], octets)
      assert.equal(headers['docker-content-digest'], digest)
      assert.equal(headers['etag'], etag)
      assert.equal(headers['accept-ranges'], 'bytes')
      assert.equal(headers['docker-distribution-api-version'], 'registry/2.0')
    })

    test('HEAD answers the same headers and no body, whatever range is asked for', async () => {
      const whole = await get()
      for (const headers of [{}, { range: 'bytes=0-1' }, { range: 'bytes=999999-' }]) {
        const head = assertStatus(await product.client.head(target, headers), 200)
        for (const name of ['content-length', 'content-type', 'docker-content-digest', 'etag']) {
          assert.equal(head.headers[name], whole.headers[name], name)
        }
        assert.equal(head.body.length, 0)
      }
    })

    test('a blob is not compressed in transit', async () => {
      const answer = assertStatus(await get({ 'accept-encoding': 'zstd, gzip, deflate' }), 200)
      assert.equal(answer.headers['content-encoding'], undefined)
      assert.ok(answer.body.equals(bytes))
    })

    for (const [range, first, last] of satisfied) {
      test(`${range} answers bytes ${first} to ${last}`, async () => {
        const { headers, body } = assertStatus(await get({ range }), 206)
        assert.equal(headers['content-range'], `bytes ${first}-${last}/${size}`)
        assert.equal(headers['content-length'], String(last - first + 1))
        assert.equal(headers['content-type'], octets)
        assert.ok(body.equals(bytes.subarray(first, last + 1)))
      })
    }

    for (const range of unsatisfiable) {
      test(`${range} is refused with 416 and the size`, async () => {
        const answer = await get({ range })
        assertRefused(answer, 416, 'RANGE_INVALID')
        assert.equal(answer.headers['content-range'], `bytes */${size}`)
      })
    }

    for (const range of ignored) {
      test(`${range} is no range: the whole blob is the answer`, async () => {
        assert.ok(assertStatus(await get({ range }), 200).body.equals(bytes))
      })
    }

    test('several ranges answer as many parts, in the order they were asked for', async () => {
      const asked = [
        [1000, 1999],
        [0, 9],
        [250_000, size - 1],
      ] as const
      const range = `bytes=1000-1999, 0-9,250000-`
      const answer = assertStatus(await get({ range }), 206)
      assert.equal(answer.headers['content-length'], String(answer.body.length))
      assert.equal(answer.headers['content-range'], undefined)
      const parts = partsOf(answer)
      assert.equal(parts.length, asked.length)
      for (const [i, [first, last]] of asked.entries()) {
        assert.match(parts[i]!.headers, new RegExp(`Content-Range: bytes ${first}-${last}/${size}`))
        assert.match(parts[i]!.headers, /Content-Type: application\/octet-stream/)
        assert.ok(parts[i]!.body.equals(bytes.subarray(first, last + 1)), `part ${i}`)
      }
    })

    test('a thousand ascending ranges, as partial pulls ask for, are answered', async () => {
      const starts = Array.from({ length: 1000 }, (_, i) => i * 300)
      const range = `bytes=${starts.map((start) => `${start}-${start + 9}`).join(',')}`
      const parts = partsOf(assertStatus(await get({ range }), 206))
      assert.equal(parts.length, starts.length)
      for (const [i, start] of starts.entries()) {
        assert.ok(parts[i]!.body.equals(bytes.subarray(start, start + 10)), `part ${i}`)
      }
    })

    test('ranges that overlap to more than the blob get the blob once', async () => {
      const range = `bytes=${Array.from({ length: 20 }, () => '0-').join(',')}`
      assert.ok(assertStatus(await get({ range }), 200).body.equals(bytes))
    })

    test('If-None-Match with the entity tag answers 304, also in a list, weakly, or as *', async () => {
      for (const condition of [etag, `"other", ${etag}`, `W/${etag}`, '*']) {
        const headers = { 'if-none-match': condition, range: 'bytes=0-1' }
        for (const method of ['GET', 'HEAD']) {
          const answer = assertStatus(await product.client.call(method, target, { headers }), 304)
          assert.equal(answer.headers['etag'], etag)
          assert.equal(answer.body.length, 0)
          assert.ok(answer.headers['cache-control'], 'RFC 9110 §15.4.5')
        }
      }
      assertStatus(await get({ 'if-none-match': '"other"' }), 200)
    })

    test('If-Range lets a range through for the same blob only', async () => {
      const range = 'bytes=0-9'
      assertStatus(await get({ range, 'if-range': etag }), 206)
      assertStatus(await get({ range, 'if-range': '"other"' }), 200)
      assertStatus(await get({ range, 'if-range': 'Wed, 21 Oct 2015 07:28:00 GMT' }), 200)
      assertStatus(await get({ range: 'bytes=999999-', 'if-range': '"other"' }), 200)
    })

    test('a zero-byte blob and one of two bytes are served whole', async () => {
      for (const content of ['', '{}']) {
        for (const algorithm of ['sha256', 'sha512'] as const) {
          const pushed = Buffer.from(content)
          const small = await product.client.pushBlob('pull', pushed, algorithm)
          const path = `/v2/pull/blobs/${small}`
          for (const method of ['GET', 'HEAD']) {
            const answer = assertStatus(await product.client.call(method, path), 200)
            assert.equal(answer.headers['content-length'], String(pushed.length))
            assert.equal(answer.headers['docker-content-digest'], small)
            assert.equal(answer.body.toString(), method === 'GET' ? content : '')
          }
        }
      }
    })

    test('a range of a zero-byte blob answers the whole of it, or 416', async () => {
      const empty = await product.client.pushBlob('pull', Buffer.alloc(0))
      const path = `/v2/pull/blobs/${empty}`
      const answer = assertStatus(await product.client.get(path, { range: 'bytes=0-' }), 200)
      assert.equal(answer.body.length, 0)
      const beyond = await product.client.get(path, { range: 'bytes=5-9' })
      assertRefused(beyond, 416, 'RANGE_INVALID')
      assert.equal(beyond.headers['content-range'], 'bytes */0')
    })

    test('a blob is unknown in a repository that does not hold it', async () => {
      const other = `/v2/${product.repository()}/blobs/${digest}`
      assertRefused(await product.client.get(other), 404, 'BLOB_UNKNOWN')
      assertStatus(await product.client.head(other), 404)
      assertRefused(await product.client.get(other, { range: 'bytes=0-1' }), 404, 'BLOB_UNKNOWN')
      assertRefused(await product.client.get(other, { 'if-none-match': etag }), 404, 'BLOB_UNKNOWN')
    })
  })
}

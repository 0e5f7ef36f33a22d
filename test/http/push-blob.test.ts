// Goal: every way to push a whole blob ends in the same blob, and no refusal leaves anything behind.
// Method: each way on each set-up; what Location names is fetched and compared.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { RawConnection } from '../support/raw-http.ts'
import {
  type Algorithm,
  type Answer,
  assertRefused,
  assertStatus,
  digestOf,
  locationOf,
  withQuery,
} from '../support/registry-client.ts'
import { type Product, setups, useProduct } from './product.ts'

const absent = digestOf(Buffer.from('other bytes'))
const algorithms = ['sha256', 'sha512'] as const

/** 201 with a Location from which the very bytes can be pulled, under the digest that was asked for. */
async function assertCreated(
  product: Product,
  answer: Answer,
  repository: string,
  bytes: Uint8Array,
  algorithm: Algorithm = 'sha256',
): Promise<void> {
  const digest = digestOf(bytes, algorithm)
  assertStatus(answer, 201)
  assert.equal(answer.headers['docker-content-digest'], digest)
  assert.equal(answer.body.length, 0)
  const location = locationOf(answer)
  assert.equal(new URL(location, product.server.url).pathname, `/v2/${repository}/blobs/${digest}`)
  const pulled = assertStatus(await product.client.get(location), 200)
  assert.ok(pulled.body.equals(bytes))
  assert.equal(pulled.headers['content-length'], String(bytes.length))
  assert.equal(pulled.headers['docker-content-digest'], digest)
  const head = assertStatus(await product.client.head(location), 200)
  assert.equal(head.headers['content-length'], String(bytes.length))
}

function chunksOf(bytes: Buffer, length: number): readonly Buffer[] {
  const count = Math.ceil(bytes.length / length)
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * length, (i + 1) * length))
}

for (const setup of setups('alone', 'node', 'shared')) {
  describe(`push a blob, ${setup.name}`, () => {
    const product = useProduct(setup)

    test('POST names a new session: Location, Range and an id, different each time', async () => {
      const { client } = product
      const repository = product.repository()
      const seen = new Set<string>()
      for (let i = 0; i < 3; i++) {
        const answer = assertStatus(
          await client.call('POST', `/v2/${repository}/blobs/uploads/`),
          202,
        )
        assert.match(answer.headers['range'] ?? '', /^0-\d+$/)
        assert.ok(answer.headers['docker-upload-uuid'])
        assert.ok(locationOf(answer).startsWith(`/v2/${repository}/blobs/uploads/`))
        seen.add(locationOf(answer))
      }
      assert.equal(seen.size, 3)
    })

    for (const algorithm of algorithms) {
      for (const size of [0, 2, 65_536, 3_000_001]) {
        const bytes = seededBytes(`push-${algorithm}`, size)
        const digest = digestOf(bytes, algorithm)

        test(`POST and PUT: ${size} bytes by ${algorithm}`, async () => {
          const repository = product.repository()
          const location = await product.client.startUpload(repository)
          const answer = await product.client.finish(location, digest, bytes)
          await assertCreated(product, answer, repository, bytes, algorithm)
          assertRefused(await product.client.get(location), 404, 'BLOB_UPLOAD_UNKNOWN')
        })

        test(`a single POST: ${size} bytes by ${algorithm}`, async () => {
          const repository = product.repository()
          const target = `/v2/${repository}/blobs/uploads/?digest=${digest}`
          const answer = await product.client.call('POST', target, { body: bytes })
          await assertCreated(product, answer, repository, bytes, algorithm)
        })

        test(`PATCH of a stream, PUT without a body: ${size} bytes by ${algorithm}`, async () => {
          const repository = product.repository()
          const location = await product.client.startUpload(repository)
          const patched = await product.client.patch(location, chunksOf(bytes, 100_000))
          assertStatus(patched, 202)
          assert.equal(patched.headers['range'], `0-${Math.max(size - 1, 0)}`)
          const answer = await product.client.finish(locationOf(patched), digest)
          await assertCreated(product, answer, repository, bytes, algorithm)
        })
      }

      test(`a session that was told of ${algorithm} takes it, and the other one too`, async () => {
        for (const closing of algorithms) {
          const repository = product.repository()
          const bytes = seededBytes(`hint-${algorithm}-${closing}`, 200_000)
          const query = `?digest-algorithm=${algorithm}`
          const location = await product.client.startUpload(repository, query)
          const patched = assertStatus(await product.client.patch(location, bytes), 202)
          const digest = digestOf(bytes, closing)
          const answer = await product.client.finish(locationOf(patched), digest)
          await assertCreated(product, answer, repository, bytes, closing)
        }
      })

      test(`a wrong ${algorithm} digest is refused and the session can still be closed`, async () => {
        const repository = product.repository()
        const bytes = seededBytes(`wrong-${algorithm}`, 100_000)
        const wrong = digestOf(Buffer.from('wrong'), algorithm)
        const location = await product.client.startUpload(repository)
        assertRefused(await product.client.finish(location, wrong, bytes), 400, 'DIGEST_INVALID')
        assertRefused(
          await product.client.get(`/v2/${repository}/blobs/${wrong}`),
          404,
          'BLOB_UNKNOWN',
        )
        const right = digestOf(bytes, algorithm)
        assertRefused(
          await product.client.get(`/v2/${repository}/blobs/${right}`),
          404,
          'BLOB_UNKNOWN',
        )
        const answer = await product.client.finish(location, right, bytes)
        await assertCreated(product, answer, repository, bytes, algorithm)
      })
    }

    test('a wrong digest after a stream is refused and the bytes stay where they are', async () => {
      const repository = product.repository()
      const bytes = seededBytes('wrong after stream', 100_000)
      const location = await product.client.startUpload(repository)
      const patched = assertStatus(await product.client.patch(location, [bytes]), 202)
      const refused = await product.client.finish(locationOf(patched), absent)
      assertRefused(refused, 400, 'DIGEST_INVALID')
      const answer = await product.client.finish(locationOf(patched), digestOf(bytes))
      await assertCreated(product, answer, repository, bytes)
    })

    test('a wrong digest of a single POST is refused and nothing is stored', async () => {
      const repository = product.repository()
      const target = `/v2/${repository}/blobs/uploads/?digest=${absent}`
      const answer = await product.client.call('POST', target, { body: Buffer.from('not these') })
      assertRefused(answer, 400, 'DIGEST_INVALID')
      assert.equal(answer.headers['location'], undefined)
      assertStatus(await product.client.head(`/v2/${repository}/blobs/${absent}`), 404)
    })

    test('a POST with a digest and no body opens a session, as two-step clients expect', async () => {
      const repository = product.repository()
      const bytes = Buffer.from('announced first')
      const target = `/v2/${repository}/blobs/uploads/?digest=${digestOf(bytes)}`
      const opened = assertStatus(await product.client.call('POST', target), 202)
      const answer = await product.client.finish(locationOf(opened), digestOf(bytes), bytes)
      await assertCreated(product, answer, repository, bytes)
    })

    test('a chunked PUT and a chunked single POST are taken without a length', async () => {
      const repository = product.repository()
      const bytes = seededBytes('no length', 500_000)
      const digest = digestOf(bytes)
      const location = await product.client.startUpload(repository)
      const put = await product.client.finish(location, digest, chunksOf(bytes, 70_000))
      await assertCreated(product, put, repository, bytes)
      const target = `/v2/${product.repository()}/blobs/uploads/?digest=${digest}`
      assertStatus(
        await product.client.call('POST', target, { body: chunksOf(bytes, 70_000) }),
        201,
      )
    })

    test('a blob that is there already can be pushed again, also by many at once', async () => {
      const repository = product.repository()
      const bytes = seededBytes('again', 400_000)
      const answers = await Promise.all(
        Array.from({ length: 6 }, async () => {
          const location = await product.client.startUpload(repository)
          return product.client.finish(location, digestOf(bytes), bytes)
        }),
      )
      for (const answer of answers) await assertCreated(product, answer, repository, bytes)
    })

    test('a client that asks before it sends a body is told to go on, or refused', async () => {
      const repository = product.repository()
      const location = await product.client.startUpload(repository)
      const bytes = Buffer.from('after 100')
      const ask = async (line: string, length: number): Promise<RawConnection> => {
        const connection = await RawConnection.open(product.server.port)
        const head = `${line} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n`
        connection.write(`${head}Content-Length: ${length}\r\n\r\n`)
        return connection
      }
      const put = await ask(`PUT ${location}?digest=${digestOf(bytes)}`, bytes.length)
      assert.equal((await put.reply()).status, 100)
      put.write(bytes)
      assert.equal((await put.reply()).status, 201)
      const refused = await ask(`PUT /v2/${repository}/manifests/x`, 100_000_000)
      let { status } = await refused.reply()
      if (status === 100) status = (await refused.reply()).status
      assert.equal(status, 413)
      for (const connection of [put, refused]) connection.close()
    })

    test('a session belongs to its repository and to nobody else', async () => {
      const location = await product.client.startUpload(product.repository())
      const id = location.slice(location.lastIndexOf('/'))
      const foreign = `/v2/${product.repository()}/blobs/uploads${id}`
      const bytes = Buffer.from('foreign')
      for (const answer of [
        await product.client.get(foreign),
        await product.client.patch(foreign, bytes),
        await product.client.finish(foreign, digestOf(bytes), bytes),
        await product.client.delete(foreign),
      ]) {
        assertRefused(answer, 404, 'BLOB_UPLOAD_UNKNOWN')
      }
      assertStatus(await product.client.get(location), 204)
    })

    test('a closing PUT without a digest, or with a bad one, leaves the session alone', async () => {
      const location = await product.client.startUpload(product.repository())
      const bytes = Buffer.from('bad digest')
      assertRefused(
        await product.client.call('PUT', location, { body: bytes }),
        400,
        'DIGEST_INVALID',
      )
      const bad = withQuery(location, 'digest', 'sha256:bad')
      assertRefused(await product.client.call('PUT', bad, { body: bytes }), 400, 'DIGEST_INVALID')
      assertStatus(await product.client.finish(location, digestOf(bytes), bytes), 201)
    })
  })
}

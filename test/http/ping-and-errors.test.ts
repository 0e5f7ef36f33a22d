// Goal: the version check answers, and whatever names nothing is refused in the OCI form with the
// status that the specification gives it. Method: one request each, on both transports.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RawConnection } from '../support/raw-http.ts'
import { assertRefused, assertStatus, digestOf, json } from '../support/registry-client.ts'
import { setups, useProduct } from './product.ts'

const absent = digestOf(Buffer.from('nobody pushed this'))
const session = '0b5ec4ba-0000-4000-8000-000000000000'
const longName = `${'a/'.repeat(127)}a`

/** Method, target, status, code. */
const refusals: readonly (readonly [string, string, number, string])[] = [
  ['GET', '/', 404, 'ROUTE_UNKNOWN'],
  ['GET', '/v1/', 404, 'ROUTE_UNKNOWN'],
  ['GET', '/v2/a', 404, 'ROUTE_UNKNOWN'],
  ['GET', '/v2/a/nothing/b', 404, 'ROUTE_UNKNOWN'],
  ['GET', '/v2/a/tags/other', 404, 'ROUTE_UNKNOWN'],
  ['PUT', '/v2/', 405, 'UNSUPPORTED'],
  ['POST', '/v2/_catalog', 405, 'UNSUPPORTED'],
  ['PUT', '/v2/a/tags/list', 405, 'UNSUPPORTED'],
  ['PUT', `/v2/a/blobs/${absent}`, 405, 'UNSUPPORTED'],
  ['POST', '/v2/a/manifests/latest', 405, 'UNSUPPORTED'],
  ['GET', '/v2/a/blobs/uploads/', 405, 'UNSUPPORTED'],
  ['POST', `/v2/a/referrers/${absent}`, 405, 'UNSUPPORTED'],
  ['OPTIONS', '/v2/a/manifests/latest', 405, 'UNSUPPORTED'],
  ['GET', '/v2/Upper/manifests/latest', 400, 'NAME_INVALID'],
  ['GET', '/v2/a//b/manifests/latest', 400, 'NAME_INVALID'],
  ['GET', '/v2/a%2fb/manifests/latest', 400, 'NAME_INVALID'],
  ['GET', '/v2/-a/tags/list', 400, 'NAME_INVALID'],
  ['POST', '/v2/a___b/blobs/uploads/', 400, 'NAME_INVALID'],
  ['GET', `/v2/${longName}aa/tags/list`, 400, 'NAME_INVALID'],
  ['PUT', '/v2/a/manifests/.hidden', 400, 'TAG_INVALID'],
  ['PUT', `/v2/a/manifests/${'t'.repeat(129)}`, 400, 'TAG_INVALID'],
  ['PUT', '/v2/a/manifests/sha256:baddigeststring', 400, 'DIGEST_INVALID'],
  ['PUT', `/v2/a/manifests/${absent}?tag=.bad`, 400, 'TAG_INVALID'],
  ['GET', '/v2/a/manifests/sha256:baddigeststring', 400, 'DIGEST_INVALID'],
  ['GET', '/v2/a/manifests/.hidden', 404, 'MANIFEST_UNKNOWN'],
  ['GET', '/v2/a/manifests/latest', 404, 'MANIFEST_UNKNOWN'],
  ['GET', `/v2/a/manifests/${absent}`, 404, 'MANIFEST_UNKNOWN'],
  ['DELETE', '/v2/a/manifests/latest', 404, 'MANIFEST_UNKNOWN'],
  ['DELETE', `/v2/a/manifests/${absent}`, 404, 'MANIFEST_UNKNOWN'],
  ['GET', '/v2/a/blobs/sha256:short', 400, 'DIGEST_INVALID'],
  ['GET', `/v2/a/blobs/${absent.toUpperCase()}`, 400, 'DIGEST_INVALID'],
  ['GET', `/v2/a/blobs/md5:${'0'.repeat(32)}`, 400, 'DIGEST_INVALID'],
  ['GET', `/v2/a/blobs/${absent}`, 404, 'BLOB_UNKNOWN'],
  ['DELETE', `/v2/a/blobs/${absent}`, 404, 'BLOB_UNKNOWN'],
  ['GET', `/v2/${longName}/blobs/${absent}`, 404, 'BLOB_UNKNOWN'],
  ['GET', '/v2/a/tags/list', 404, 'NAME_UNKNOWN'],
  ['GET', '/v2/a/tags/list?n=x', 400, 'PAGINATION_INVALID'],
  ['GET', '/v2/a/tags/list?n=-1', 400, 'PAGINATION_INVALID'],
  ['GET', '/v2/_catalog?n=1.5', 400, 'PAGINATION_INVALID'],
  ['GET', '/v2/a/referrers/sha256:short', 400, 'DIGEST_INVALID'],
  ['POST', '/v2/a/blobs/uploads/?digest=sha256:short', 400, 'DIGEST_INVALID'],
  ['POST', '/v2/a/blobs/uploads/?mount=sha256:short&from=b', 400, 'DIGEST_INVALID'],
  ['POST', `/v2/a/blobs/uploads/?mount=${absent}&from=B`, 400, 'NAME_INVALID'],
  ['POST', '/v2/a/blobs/uploads/?digest-algorithm=md5', 400, 'DIGEST_INVALID'],
  ['GET', `/v2/a/blobs/uploads/${session}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['PATCH', `/v2/a/blobs/uploads/${session}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['PUT', `/v2/a/blobs/uploads/${session}?digest=${absent}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['PUT', `/v2/a/blobs/uploads/${session}`, 400, 'DIGEST_INVALID'],
  ['DELETE', `/v2/a/blobs/uploads/${session}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['GET', '/v2/a/blobs/uploads/not-a-session', 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['GET', `/v2/a/manifests/latest?${'q'.repeat(9000)}`, 414, 'REQUEST_INVALID'],
]

for (const setup of setups('alone', 'node')) {
  describe(`ping and errors, ${setup.name}`, () => {
    const product = useProduct(setup)

    test('the version check answers on /v2/ and /v2, with the version header', async () => {
      for (const target of ['/v2/', '/v2']) {
        const answer = assertStatus(await product.client.get(target), 200)
        assert.equal(answer.headers['docker-distribution-api-version'], 'registry/2.0')
        assert.equal(answer.headers['content-type'], 'application/json')
        assert.deepEqual(json(answer), {})
      }
    })

    for (const [method, target, status, code] of refusals) {
      const shown = target.length > 70 ? `${target.slice(0, 70)}…` : target
      test(`${method} ${shown} is refused with ${status} ${code}`, async () => {
        assertRefused(await product.client.call(method, target), status, code)
      })
    }

    test('HEAD answers as GET does, with the length of its body and no body', async () => {
      for (const target of ['/v2/', '/v2/_catalog', '/v2/a/tags/list', `/v2/a/blobs/${absent}`]) {
        const whole = await product.client.get(target)
        const head = await product.client.head(target)
        assert.equal(head.status, whole.status, target)
        assert.equal(head.headers['content-length'], String(whole.body.length), target)
        assert.equal(head.headers['content-type'], whole.headers['content-type'], target)
        assert.equal(head.body.length, 0)
      }
    })

    test('a method that is not allowed is answered with those that are', async () => {
      const answer = await product.client.call('POST', '/v2/a/manifests/latest')
      assert.equal(answer.headers['allow'], 'GET, HEAD, PUT, DELETE')
    })

    test('an escaped colon in a digest is understood', async () => {
      const escaped = absent.replace(':', '%3A')
      assertRefused(await product.client.get(`/v2/a/blobs/${escaped}`), 404, 'BLOB_UNKNOWN')
    })

    test('a name may hold components called blobs, manifests and uploads', async () => {
      const repository = 'blobs/uploads/manifests/tags'
      const digest = await product.client.pushBlob(repository, Buffer.from('oddly named'))
      assertStatus(await product.client.get(`/v2/${repository}/blobs/${digest}`), 200)
    })

    test('a connection goes on after requests with an empty and a small body', async () => {
      const connection = await RawConnection.open(product.server.port)
      for (const [line, body, status] of [
        ['POST /v2/a/blobs/uploads/', '', 202],
        ['PUT /v2/a/manifests/latest', '{}', 400],
        ['DELETE /v2/a/manifests/latest', '', 404],
        [`GET /v2/keep/blobs/${absent}`, '', 404],
        ['GET /v2/', '', 200],
      ] as const) {
        const head = `${line} HTTP/1.1\r\nHost: registry\r\nContent-Length: ${body.length}\r\n\r\n`
        connection.write(head, body)
        assert.equal((await connection.reply()).status, status, line)
      }
      connection.close()
    })

    test('refused requests leave no repository behind', async () => {
      const { repositories } = json<{ repositories: string[] }>(
        await product.client.get('/v2/_catalog'),
      )
      assert.deepEqual(repositories, [])
    })
  })
}

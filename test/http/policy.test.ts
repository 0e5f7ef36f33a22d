// Goal: nobody gets in by mistake: without a policy, and with one that denies, every endpoint answers
// 401 with a challenge and does nothing. Method: every endpoint on servers without and with a policy,
// over a store that holds what is asked for.
import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { RawConnection } from '../support/raw-http.ts'
import { assertRefused, assertStatus, digestOf } from '../support/registry-client.ts'
import { Product, temporaryFolder, useProduct } from './product.ts'
import { pushSampleBlobs, types } from './sample-content.ts'

const blob = Buffer.from('guarded')
const digest = digestOf(blob)
const folder = temporaryFolder()
const base = `
[server]
port = 0
[blob_store.fs]
root_dir = ${JSON.stringify(folder.path)}
`

async function requests(): Promise<readonly (readonly [string, string])[]> {
  const product = new Product()
  await product.start({ rootDir: folder.path })
  const { client } = product
  const manifest = await pushSampleBlobs(client, 'a', 'guarded')
  const { digest: image } = await client.putManifest('a', 'latest', manifest)
  await client.pushBlob('a', blob)
  const session = await client.startUpload('a')
  await product.stop()
  return [
    ['GET', '/v2/'],
    ['GET', '/v2/_catalog'],
    ['GET', '/v2/a/tags/list'],
    ['GET', '/v2/a/manifests/latest'],
    ['HEAD', '/v2/a/manifests/latest'],
    ['GET', `/v2/a/manifests/${image}`],
    ['GET', '/v2/a/manifests/absent'],
    ['PUT', '/v2/a/manifests/other'],
    ['DELETE', '/v2/a/manifests/latest'],
    ['DELETE', `/v2/a/manifests/${image}`],
    ['GET', `/v2/a/blobs/${digest}`],
    ['HEAD', `/v2/a/blobs/${digest}`],
    ['GET', `/v2/nobody/blobs/${digest}`],
    ['DELETE', `/v2/a/blobs/${digest}`],
    ['GET', `/v2/a/referrers/${digest}`],
    ['POST', '/v2/a/blobs/uploads/'],
    ['POST', `/v2/b/blobs/uploads/?digest=${digest}`],
    ['POST', `/v2/b/blobs/uploads/?mount=${digest}&from=a`],
    ['POST', `/v2/b/blobs/uploads/?mount=${digest}`],
    ['GET', session],
    ['PATCH', session],
    ['PUT', `${session}?digest=${digest}`],
    ['DELETE', session],
  ]
}

const policies: readonly (readonly [string, string])[] = [
  ['no policy', ''],
  ['default = "deny"', '[global.access_policy]\ndefault = "deny"\n'],
]

describe('who is denied', { concurrency: false }, () => {
  let asked: readonly (readonly [string, string])[] = []
  before(async () => {
    asked = await requests()
  })

  for (const [name, toml] of policies) {
    describe(name, () => {
      const product = useProduct({ base: `${base}${toml}` })

      test('every endpoint answers 401 with one challenge, whether or not there is content', async () => {
        for (const [method, target] of asked) {
          const body = ['GET', 'HEAD', 'DELETE'].includes(method) ? {} : { body: blob }
          const answer = await product.client.call(method, target, body)
          assertStatus(answer, 401, `${method} ${target}`)
          // Clients read the first challenge only, and want its values in quotes.
          assert.match(answer.headers['www-authenticate'] ?? '', /^Basic realm="[^"]+"$/)
          if (method !== 'HEAD') assertRefused(answer, 401, 'UNAUTHORIZED')
        }
      })

      test('credentials that nothing can check help nobody', async () => {
        for (const authorization of ['Basic YWRtaW46YWRtaW4=', 'Bearer abc', 'Basic', 'x']) {
          const answer = await product.client.get('/v2/', { authorization })
          assertRefused(answer, 401, 'UNAUTHORIZED')
        }
      })

      test('the answer does not wait for a body', async () => {
        const connection = await RawConnection.open(product.server.port)
        connection.write(
          `PUT /v2/a/manifests/x HTTP/1.1\r\nHost: a\r\nContent-Type: ${types.image}\r\n`,
          'Content-Length: 1000000\r\n\r\n',
        )
        assert.equal((await connection.reply()).status, 401)
        connection.close()
      })
    })
  }

  describe('default = "allow"', () => {
    const toml = '[global.access_policy]\ndefault = "allow"\n'
    const product = useProduct({ base: `${base}${toml}` })

    test('what was denied before has changed nothing', async () => {
      const { client } = product
      assertStatus(await client.get('/v2/a/manifests/latest'), 200)
      assert.ok(assertStatus(await client.get(`/v2/a/blobs/${digest}`), 200).body.equals(blob))
      assertStatus(await client.head('/v2/a/manifests/other'), 404)
      assertStatus(await client.head(`/v2/b/blobs/${digest}`), 404)
      const session = asked.find(([method]) => method === 'PATCH')?.[1] ?? ''
      const standing = assertStatus(await client.get(session), 204)
      assert.equal(standing.headers['range'], '0-0')
      const staged = join(folder.path, '_keelson', 'uploads', session.slice(-36))
      await assert.rejects(stat(staged), { code: 'ENOENT' })
    })
  })
})

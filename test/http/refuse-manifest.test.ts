// Goal: what is not a sound manifest, or names content that is not there, is refused with the right
// code, and the store stays as it was. Method: one fault at a time in an image that is good otherwise.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RawConnection } from '../support/raw-http.ts'
import {
  assertRefused,
  assertStatus,
  digestOf,
  type PushedManifest,
} from '../support/registry-client.ts'
import { type Product, setups, useProduct } from './product.ts'
import {
  descriptor,
  descriptorOf,
  pushSampleBlobs,
  sampleImage,
  sampleIndex,
  types,
} from './sample-content.ts'

const mebibyte = 1024 * 1024
const missing = descriptor(types.layer, Buffer.from('never pushed'))
const missingImage = descriptor(types.image, Buffer.from('{"never":"pushed"}'))

/** Neither the manifest nor its tag, and no repository for its sake. */
async function assertNothingStored(
  product: Product,
  repository: string,
  pushed: PushedManifest,
): Promise<void> {
  for (const reference of ['tag', pushed.digest]) {
    assertStatus(await product.client.head(`/v2/${repository}/manifests/${reference}`), 404)
  }
  assertRefused(await product.client.get(`/v2/${repository}/tags/list`), 404, 'NAME_UNKNOWN')
}

/** An image of about `size` bytes, as its annotations make it. */
function imageOf(size: number, seed: string): Buffer {
  const { manifest } = sampleImage(seed)
  const annotations: Record<string, string> = {}
  for (let i = 0; i * 10_000 < size - 20_000; i++) annotations[`a.${i}`] = 'x'.repeat(9_980)
  const text = JSON.stringify({ ...manifest, annotations })
  return Buffer.from(text.padEnd(size, ' '))
}

for (const setup of setups('alone', 'node')) {
  describe(`refuse a manifest, ${setup.name}`, () => {
    const product = useProduct(setup)
    const { manifest: good } = sampleImage('good')

    async function refused(body: Buffer | object, code: string, type?: string): Promise<void> {
      const repository = product.repository()
      await pushSampleBlobs(product.client, repository, 'good')
      const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
      const own = type ?? types.image
      const pushed = await product.client.putManifest(repository, 'tag', bytes, own)
      assertRefused(pushed.answer, code === 'MANIFEST_BLOB_UNKNOWN' ? 404 : 400, code)
      await assertNothingStored(product, repository, pushed)
    }

    const text = JSON.stringify(good)
    const deep = `{"x":${'['.repeat(100_000)}${']'.repeat(100_000)},${text.slice(1)}`
    const invalid: readonly (readonly [string, Buffer | object, string?])[] = [
      ['an empty body', Buffer.alloc(0)],
      ['no JSON', Buffer.from('hello')],
      ['JSON that is no object', Buffer.from('[]')],
      ['JSON that is cut off', Buffer.from(text.slice(0, -1))],
      ['more after its end', Buffer.from(`${text}{}`)],
      ['bytes that are no UTF-8', Buffer.from(`{"x":"\xff",${text.slice(1)}`, 'latin1')],
      ['a duplicate key', Buffer.from(`{"schemaVersion":2,${text.slice(1)}`)],
      ['a duplicate key in a descriptor', Buffer.from(text.replace('"size"', '"size":1,"size"'))],
      ['an escaped duplicate key', Buffer.from(`{"schema\\u0056ersion":2,${text.slice(1)}`)],
      ['__proto__', Buffer.from(`{"__proto__":{"config":1},${text.slice(1)}`)],
      ['JSON of 100,000 levels', Buffer.from(deep)],
      ['no config', { ...good, config: undefined }],
      ['schemaVersion 1', { ...good, schemaVersion: 1 }],
      ['layers that are no list', { ...good, layers: {} }],
      ['a layer without a digest', { ...good, layers: [{ mediaType: types.layer, size: 1 }] }],
      ['a bad digest', { ...good, layers: [{ ...missing, digest: 'sha256:bad' }] }],
      ['a negative size', { ...good, layers: [{ ...missing, size: -1 }] }],
      ['a size that is no integer', { ...good, layers: [{ ...missing, size: 1.5 }] }],
      ['two sizes for one digest', { ...good, layers: [missing, { ...missing, size: 9 }] }],
      ['both shapes: layers and manifests', { ...good, manifests: [] }],
      ['both shapes: an index with layers', { ...sampleIndex([]), layers: [] }, types.index],
      ['another mediaType than Content-Type', { ...good, mediaType: types.index }],
      ['the Content-Type of an index', good, types.index],
      ['a Content-Type that is no manifest', { ...good, mediaType: undefined }, 'text/plain'],
      ['a Content-Type that is none', good, 'nonsense'],
      ['Docker schema 1', { ...good, fsLayers: [] }],
      ['a subject that is no descriptor', { ...good, subject: 'sha256:bad' }],
      ['annotations that are no strings', { ...good, annotations: { a: 1 } }],
    ]
    for (const [what, body, type] of invalid) {
      test(`${what} is refused`, () => refused(body, 'MANIFEST_INVALID', type))
    }

    test('a digest that is not that of the bytes is refused', async () => {
      const repository = product.repository()
      await pushSampleBlobs(product.client, repository, 'good')
      for (const algorithm of ['sha256', 'sha512'] as const) {
        const wrong = digestOf(Buffer.from('other'), algorithm)
        const { answer } = await product.client.putManifest(repository, `${wrong}?tag=tag`, good)
        assertRefused(answer, 400, 'DIGEST_INVALID')
        assertStatus(await product.client.head(`/v2/${repository}/manifests/${wrong}`), 404)
      }
      assertStatus(await product.client.head(`/v2/${repository}/manifests/tag`), 404)
    })

    test('a missing layer or config is refused and named, blob by blob', async () => {
      const repository = product.repository()
      await pushSampleBlobs(product.client, repository, 'good')
      for (const [manifest, absent] of [
        [{ ...good, layers: [...good.layers, missing] }, [missing.digest]],
        [{ ...good, config: { ...missing, mediaType: types.config } }, [missing.digest]],
      ] as const) {
        const pushed = await product.client.putManifest(repository, 'tag', manifest)
        const detail = assertRefused(pushed.answer, 404, 'MANIFEST_BLOB_UNKNOWN')
        assert.deepEqual(
          (detail as { digest: string }[]).map(({ digest }) => digest),
          absent,
        )
        await assertNothingStored(product, repository, pushed)
      }
    })

    test('a blob of another repository counts as missing until it is mounted', async () => {
      const source = product.repository()
      const repository = product.repository()
      const manifest = await pushSampleBlobs(product.client, source, 'elsewhere')
      const early = await product.client.putManifest(repository, 'tag', manifest)
      assertRefused(early.answer, 404, 'MANIFEST_BLOB_UNKNOWN')
      for (const { digest } of [manifest.config, ...manifest.layers]) {
        const query = `?mount=${digest}&from=${source}`
        const target = `/v2/${repository}/blobs/uploads/${query}`
        assertStatus(await product.client.call('POST', target), 201)
      }
      const { answer } = await product.client.putManifest(repository, 'tag', manifest)
      assertStatus(answer, 201)
    })

    test('a layer that need not be distributed may be missing', async () => {
      const repository = product.repository()
      await pushSampleBlobs(product.client, repository, 'good')
      const foreign = { ...missing, mediaType: types.foreignLayer, urls: ['https://example.com/l'] }
      const manifest = { ...good, layers: [...good.layers, foreign] }
      const { answer } = await product.client.putManifest(repository, 'tag', manifest)
      assertStatus(answer, 201)
    })

    test('an index may be sparse', async () => {
      const repository = product.repository()
      const { answer } = await product.client.putManifest(
        repository,
        'sparse',
        sampleIndex([missingImage]),
      )
      assertStatus(answer, 201)
      assertStatus(await product.client.head(`/v2/${repository}/manifests/sparse`), 200)
    })

    test('a manifest of just 4 MiB is taken, with a length and without', async () => {
      const repository = product.repository()
      await pushSampleBlobs(product.client, repository, 'large')
      const bytes = imageOf(4 * mebibyte, 'large')
      const path = `/v2/${repository}/manifests/large`
      for (const body of [bytes, [bytes.subarray(0, mebibyte), bytes.subarray(mebibyte)]]) {
        const headers = { 'Content-Type': types.image }
        assertStatus(await product.client.call('PUT', path, { body, headers }), 201)
        assert.ok(assertStatus(await product.client.get(path), 200).body.equals(bytes))
      }
      const head = assertStatus(await product.client.head(path), 200)
      assert.equal(head.headers['content-length'], String(bytes.length))
    })

    test('a manifest of more than 4 MiB is refused with 413 without a length too', async () => {
      const repository = product.repository()
      await pushSampleBlobs(product.client, repository, 'larger')
      const bytes = imageOf(4 * mebibyte + 1, 'larger')
      const path = `/v2/${repository}/manifests/tag`
      for (const body of [bytes, [bytes.subarray(0, mebibyte), bytes.subarray(mebibyte)]]) {
        const headers = { 'Content-Type': types.image }
        const answer = await product.client.call('PUT', path, { body, headers })
        assertRefused(answer, 413, 'CONTENT_TOO_LARGE')
      }
      assertStatus(await product.client.head(path), 404)
    })

    test('an announced length beyond the limit is refused before the body comes', async () => {
      const connection = await RawConnection.open(product.server.port)
      connection.write(
        'PUT /v2/a/manifests/tag HTTP/1.1\r\nHost: registry\r\n',
        `Content-Type: ${types.image}\r\nContent-Length: 99999999999\r\n\r\n`,
      )
      assert.equal((await connection.reply()).status, 413)
      connection.close()
    })

    test('a manifest that is cut off by its client leaves nothing', async () => {
      const repository = product.repository()
      const manifest = await pushSampleBlobs(product.client, repository, 'cut off')
      const bytes = Buffer.from(JSON.stringify(manifest))
      const connection = await RawConnection.open(product.server.port)
      connection.write(
        `PUT /v2/${repository}/manifests/tag HTTP/1.1\r\nHost: registry\r\n`,
        `Content-Type: ${types.image}\r\nContent-Length: ${bytes.length + 1}\r\n\r\n`,
        bytes,
      )
      await connection.flushed()
      connection.reset()
      assertStatus(await product.client.head(`/v2/${repository}/manifests/tag`), 404)
    })
  })
}

describe('what may be missing is configured', () => {
  const strict = useProduct({ toml: '[global]\nallow_missing_manifests = false\n' })
  const lax = useProduct({
    toml: '[global]\nallow_missing_blobs = true\nmax_descriptors = 3\nmax_manifest_size = "64KiB"\n',
  })

  test('allow_missing_manifests = false refuses a sparse index and takes a whole one', async () => {
    const { client } = strict
    const sparse = await client.putManifest('a', 'tag', sampleIndex([missingImage]))
    assertRefused(sparse.answer, 404, 'MANIFEST_BLOB_UNKNOWN')
    await assertNothingStored(strict, 'a', sparse)
    const manifest = await pushSampleBlobs(client, 'a', 'child')
    const child = await client.putManifest('a', 'child', manifest)
    const whole = sampleIndex([descriptorOf(child, types.image)])
    assertStatus((await client.putManifest('a', 'tag', whole)).answer, 201)
  })

  test('allow_missing_blobs = true takes an image whose blobs are missing', async () => {
    const { manifest } = sampleImage('nothing pushed')
    assertStatus((await lax.client.putManifest('a', 'tag', manifest)).answer, 201)
    assertStatus(await lax.client.head(`/v2/a/blobs/${manifest.config.digest}`), 404)
  })

  test('max_descriptors bounds what one manifest may name', async () => {
    const { manifest } = sampleImage('descriptors')
    const layers = Array.from({ length: 3 }, (_, i) => descriptor(types.layer, Buffer.from([i])))
    const most = { ...manifest, layers: layers.slice(0, 2) }
    assertStatus((await lax.client.putManifest('b', 'tag', most)).answer, 201)
    const more = await lax.client.putManifest('b', 'more', { ...manifest, layers })
    assertRefused(more.answer, 400, 'MANIFEST_INVALID')
  })

  test('max_manifest_size bounds the manifest', async () => {
    const { answer } = await lax.client.putManifest('c', 'tag', imageOf(65_537, 'c'), types.image)
    assertRefused(answer, 413, 'CONTENT_TOO_LARGE')
  })
})

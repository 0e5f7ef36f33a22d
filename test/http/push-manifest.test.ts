// Goal: every kind of manifest is kept byte for byte and found by every name it was given.
// Method: push by tag and by digest, follow Location, compare bytes, type, length and digest.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  type Answer,
  assertRefused,
  assertStatus,
  digestOf,
  locationOf,
} from '../support/registry-client.ts'
import { setups, useProduct } from './product.ts'
import {
  descriptor,
  descriptorOf,
  emptyConfig,
  pushSampleBlobs,
  sampleArtifact,
  sampleImage,
  sampleIndex,
  types,
} from './sample-content.ts'

for (const setup of setups('alone', 'shared', 'memory')) {
  describe(`push a manifest, ${setup.name}`, () => {
    const product = useProduct(setup)

    /** GET and HEAD of one reference answer exactly what was pushed. */
    async function assertServes(
      repository: string,
      reference: string,
      bytes: Buffer,
      mediaType: string,
      digest = digestOf(bytes),
    ): Promise<Answer> {
      const path = `/v2/${repository}/manifests/${reference}`
      const answer = assertStatus(await product.client.get(path), 200, reference)
      assert.ok(answer.body.equals(bytes), reference)
      const head = assertStatus(await product.client.head(path), 200, reference)
      assert.equal(head.body.length, 0)
      for (const { headers } of [answer, head]) {
        assert.equal(headers['content-type'], mediaType)
        assert.equal(headers['content-length'], String(bytes.length))
        assert.equal(headers['docker-content-digest'], digest)
        assert.equal(headers['etag'], `"${digest}"`)
      }
      return answer
    }

    async function assertPulls(location: string, bytes: Buffer): Promise<void> {
      assert.ok(assertStatus(await product.client.get(location), 200).body.equals(bytes))
    }

    for (const docker of [false, true]) {
      const kind = docker ? 'Docker image' : 'OCI image'
      test(`${kind}: by tag, then by tag and digest`, async () => {
        const repository = product.repository()
        const { manifest, blobs } = sampleImage(kind, { docker })
        for (const blob of blobs) await product.client.pushBlob(repository, blob)
        const { bytes, digest, answer } = await product.client.putManifest(
          repository,
          'v1',
          manifest,
        )
        assertStatus(answer, 201)
        assert.equal(answer.headers['docker-content-digest'], digest)
        assert.equal(answer.headers['oci-subject'], undefined)
        await assertPulls(locationOf(answer), bytes)
        for (const reference of ['v1', digest]) {
          await assertServes(repository, reference, bytes, manifest.mediaType)
        }
      })

      test(`${docker ? 'Docker list' : 'OCI index'} of ${kind}s: by digest, then nested`, async () => {
        const repository = product.repository()
        const { manifest, blobs } = sampleImage(`index of ${kind}`, { docker })
        for (const blob of blobs) await product.client.pushBlob(repository, blob)
        const image = await product.client.putManifest(
          repository,
          digestOf(Buffer.from(JSON.stringify(manifest))),
          manifest,
        )
        assertStatus(image.answer, 201)
        const mediaType = docker ? types.dockerIndex : types.index
        const index = sampleIndex([descriptorOf(image, manifest.mediaType)], mediaType)
        const pushed = await product.client.putManifest(repository, 'index', index)
        assertStatus(pushed.answer, 201)
        await assertServes(repository, 'index', pushed.bytes, mediaType)
        const nested = sampleIndex([descriptorOf(pushed, mediaType)], mediaType)
        const outer = await product.client.putManifest(repository, 'nested', nested)
        assertStatus(outer.answer, 201)
        await assertServes(repository, outer.digest, outer.bytes, mediaType)
      })
    }

    test('an empty index, an image without layers and an artifact are manifests too', async () => {
      const repository = product.repository()
      await product.client.pushBlob(repository, emptyConfig)
      const bare = {
        schemaVersion: 2,
        mediaType: types.image,
        config: descriptor(types.empty, emptyConfig),
        layers: [],
      }
      const artifact = { mediaType: types.artifact, artifactType: 'application/x', blobs: [] }
      for (const [i, manifest] of [
        sampleIndex([]),
        bare,
        sampleArtifact('application/vnd.example'),
        artifact,
      ].entries()) {
        const pushed = await product.client.putManifest(repository, `m${i}`, manifest)
        assertStatus(pushed.answer, 201)
        const { mediaType } = manifest as { mediaType: string }
        await assertServes(repository, `m${i}`, pushed.bytes, mediaType)
      }
    })

    test('a descriptor may carry its content as data, which must be that content', async () => {
      const repository = product.repository()
      await product.client.pushBlob(repository, emptyConfig)
      const put = async (data: string): Promise<Answer> => {
        const config = { ...descriptor(types.empty, emptyConfig), data }
        const manifest = { schemaVersion: 2, mediaType: types.image, config, layers: [] }
        return (await product.client.putManifest(repository, 'data', manifest)).answer
      }
      assertStatus(await put(emptyConfig.toString('base64')), 201)
      for (const data of ['bm90', 'e30', 'not base64!']) {
        assertRefused(await put(data), 400, 'MANIFEST_INVALID')
      }
    })

    test('?ns= of clients that come as to a mirror changes nothing', async () => {
      const repository = product.repository()
      const manifest = await pushSampleBlobs(product.client, repository, 'mirror')
      const { bytes } = await product.client.putManifest(repository, 'v1', manifest)
      await assertServes(repository, 'v1?ns=docker.io', bytes, types.image)
      const blob = `/v2/${repository}/blobs/${manifest.config.digest}?ns=docker.io`
      assertStatus(await product.client.get(blob), 200)
      await product.client.putManifest(repository, 'v1', { ...manifest, layers: [] })
      const moved = await product.client.get(`/v2/${repository}/manifests/v1?ns=docker.io`)
      assert.ok(!moved.body.equals(bytes))
    })

    test('white space, unknown fields and their order are kept byte for byte', async () => {
      const repository = product.repository()
      const manifest = await pushSampleBlobs(product.client, repository, 'odd bytes')
      const odd = `\n  {"zzz": {"é":[1.50, 1e2, null]},\t"aaa":"\\u00e9\\/",${JSON.stringify(manifest).slice(1)}\n\n`
      const bytes = Buffer.from(odd)
      const { answer } = await product.client.putManifest(repository, 'odd', bytes, types.image)
      assertStatus(answer, 201)
      await assertServes(repository, 'odd', bytes, types.image)
    })

    test('a chunked body without a length is taken', async () => {
      const repository = product.repository()
      const manifest = await pushSampleBlobs(product.client, repository, 'chunked')
      const bytes = Buffer.from(JSON.stringify(manifest))
      const answer = await product.client.call('PUT', `/v2/${repository}/manifests/chunked`, {
        headers: { 'Content-Type': types.image },
        body: [bytes.subarray(0, 10), bytes.subarray(10)],
      })
      assertStatus(answer, 201)
      await assertServes(repository, 'chunked', bytes, types.image)
    })

    test('parameters of Content-Type are let be and not served', async () => {
      const repository = product.repository()
      const manifest = await pushSampleBlobs(product.client, repository, 'parameters')
      const type = `${types.image}; charset=utf-8`
      const { bytes, answer } = await product.client.putManifest(repository, 'p', manifest, type)
      assertStatus(answer, 201)
      await assertServes(repository, 'p', bytes, types.image)
    })

    test('without Content-Type the manifest speaks for itself', async () => {
      const repository = product.repository()
      const manifest = await pushSampleBlobs(product.client, repository, 'no type')
      const bytes = Buffer.from(JSON.stringify(manifest))
      const { answer } = await product.client.putManifest(repository, 'n', bytes)
      assertStatus(answer, 201)
      await assertServes(repository, 'n', bytes, types.image)
    })

    test('an OCI manifest without mediaType is served with the type it was pushed with', async () => {
      const repository = product.repository()
      const { mediaType: _, ...manifest } = await pushSampleBlobs(
        product.client,
        repository,
        'bare',
      )
      const pushed = await product.client.putManifest(repository, 'bare', manifest, types.image)
      assertStatus(pushed.answer, 201)
      await assertServes(repository, 'bare', pushed.bytes, types.image)
    })

    test('by sha512: digest, Location and every answer keep the algorithm that was asked for', async () => {
      const repository = product.repository()
      const { manifest, blobs } = sampleImage('sha512', { algorithm: 'sha512' })
      for (const blob of blobs) await product.client.pushBlob(repository, blob, 'sha512')
      const bytes = Buffer.from(JSON.stringify(manifest))
      const digest = digestOf(bytes, 'sha512')
      const { answer } = await product.client.putManifest(repository, `${digest}?tag=t`, manifest)
      assertStatus(answer, 201)
      assert.equal(answer.headers['docker-content-digest'], digest)
      assert.equal(answer.headers['oci-tag'], 't')
      await assertPulls(locationOf(answer), bytes)
      for (const reference of [digest, 't']) {
        await assertServes(repository, reference, bytes, types.image, digest)
      }
      const other = `/v2/${repository}/manifests/${digestOf(bytes)}`
      assertRefused(await product.client.get(other), 404, 'MANIFEST_UNKNOWN')
    })

    test('?tag= gives a push by digest many tags, each named by OCI-Tag', async () => {
      const repository = product.repository()
      const manifest = await pushSampleBlobs(product.client, repository, 'tags')
      const bytes = Buffer.from(JSON.stringify(manifest))
      const tags = Array.from({ length: 12 }, (_, i) => `1.${i}`)
      const reference = `${digestOf(bytes)}?${tags.map((tag) => `tag=${tag}`).join('&')}`
      const { answer } = await product.client.putManifest(repository, reference, manifest)
      assertStatus(answer, 201)
      const named = (answer.headers['oci-tag'] ?? '').split(',').map((tag) => tag.trim())
      assert.deepEqual(named.sort(), [...tags].sort())
      for (const tag of tags) await assertServes(repository, tag, bytes, types.image)
    })

    test('a tag moves to the manifest that was pushed last; the one before stays', async () => {
      const repository = product.repository()
      const images = []
      for (const seed of ['first', 'second', 'third']) {
        const manifest = await pushSampleBlobs(product.client, repository, seed)
        const pushed = await product.client.putManifest(repository, 'latest', manifest)
        assertStatus(pushed.answer, 201)
        await assertServes(repository, 'latest', pushed.bytes, types.image)
        images.push(pushed)
      }
      for (const { digest, bytes } of images) {
        await assertServes(repository, digest, bytes, types.image)
      }
      const [first] = images
      const again = await product.client.putManifest(
        repository,
        'latest',
        first!.bytes,
        types.image,
      )
      assertStatus(again.answer, 201)
      await assertServes(repository, 'latest', first!.bytes, types.image)
    })

    test('If-None-Match answers 304 until the tag moves', async () => {
      const repository = product.repository()
      const path = `/v2/${repository}/manifests/latest`
      const old = await pushSampleBlobs(product.client, repository, 'old')
      await product.client.putManifest(repository, 'latest', old)
      const { headers } = assertStatus(await product.client.get(path), 200)
      const condition = { 'if-none-match': headers['etag']! }
      for (const method of ['GET', 'HEAD']) {
        const answer = await product.client.call(method, path, { headers: condition })
        assertStatus(answer, 304)
        assert.equal(answer.headers['etag'], headers['etag'])
        assert.equal(answer.body.length, 0)
      }
      const fresh = await pushSampleBlobs(product.client, repository, 'fresh')
      await product.client.putManifest(repository, 'latest', fresh)
      assertStatus(await product.client.get(path, condition), 200)
    })

    test('a manifest is unknown in every other repository, by tag and by digest', async () => {
      const repository = product.repository()
      const other = product.repository()
      const manifest = await pushSampleBlobs(product.client, repository, 'isolated')
      const { digest } = await product.client.putManifest(repository, 'v1', manifest)
      await pushSampleBlobs(product.client, other, 'another one')
      for (const reference of ['v1', digest]) {
        const path = `/v2/${other}/manifests/${reference}`
        assertRefused(await product.client.get(path), 404, 'MANIFEST_UNKNOWN')
        assertStatus(await product.client.head(path), 404)
        assertRefused(await product.client.delete(path), 404, 'MANIFEST_UNKNOWN')
      }
      assertStatus(await product.client.head(`/v2/${repository}/manifests/v1`), 200)
    })
  })
}

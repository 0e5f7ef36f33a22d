// Goal: what was deleted is gone at once for everybody, nothing else is, and it can be pushed again.
// Method: the reply to DELETE is followed directly by reads, on connections that had just been served
// the content, so that anything remembered would show.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededBytes } from '../support/images.ts'
import {
  assertRefused,
  assertStatus,
  digestOf,
  json,
  type PushedManifest,
} from '../support/registry-client.ts'
import { setups, useProduct } from './product.ts'
import { descriptorOf, pushSampleBlobs, sampleIndex, types } from './sample-content.ts'

for (const setup of setups('alone', 'shared', 'memory')) {
  describe(`delete, ${setup.name}`, () => {
    const product = useProduct(setup)

    async function pushImage(repository: string, tag: string): Promise<PushedManifest> {
      const manifest = await pushSampleBlobs(product.client, repository, `${repository} ${tag}`)
      const pushed = await product.client.putManifest(repository, tag, manifest)
      assertStatus(pushed.answer, 201)
      return pushed
    }

    function blobsOf({ bytes }: PushedManifest): readonly string[] {
      const { config, layers } = JSON.parse(bytes.toString())
      return [config.digest, ...layers.map((layer: { digest: string }) => layer.digest)]
    }

    async function assertThere(path: string): Promise<void> {
      assertStatus(await product.client.head(path), 200, path)
      assertStatus(await product.client.get(path), 200, path)
    }

    /** Several readers at once, so that every kept connection is used. */
    async function assertGone(path: string): Promise<void> {
      const answers = await Promise.all([
        product.client.head(path),
        product.client.get(path),
        product.client.head(path),
        product.client.get(path, { 'if-none-match': '*' }),
        product.client.get(path, { range: 'bytes=0-1' }),
      ])
      for (const answer of answers) assertStatus(answer, 404, path)
    }

    async function tagsOf(repository: string): Promise<readonly string[]> {
      const answer = await product.client.get(`/v2/${repository}/tags/list`)
      return json<{ tags: string[] }>(assertStatus(answer, 200)).tags
    }

    test('a deleted tag is gone at once, its manifest and other tags stay', async () => {
      for (let i = 0; i < 3; i++) {
        const repository = product.repository()
        const base = `/v2/${repository}/manifests`
        const { digest, bytes } = await pushImage(repository, 'gone')
        await product.client.putManifest(repository, 'kept', bytes, types.image)
        await assertThere(`${base}/gone`)
        const answer = assertStatus(await product.client.delete(`${base}/gone`), 202)
        assert.equal(answer.body.length, 0)
        await assertGone(`${base}/gone`)
        await assertThere(`${base}/kept`)
        await assertThere(`${base}/${digest}`)
        assert.deepEqual(await tagsOf(repository), ['kept'])
        assertRefused(await product.client.delete(`${base}/gone`), 404, 'MANIFEST_UNKNOWN')
      }
    })

    test('a deleted manifest is gone at once with all its tags, other manifests stay', async () => {
      for (let i = 0; i < 3; i++) {
        const repository = product.repository()
        const base = `/v2/${repository}/manifests`
        const { digest, bytes } = await pushImage(repository, 'one')
        await product.client.putManifest(repository, 'two', bytes, types.image)
        const other = await pushImage(repository, 'other')
        for (const reference of ['one', 'two', digest]) await assertThere(`${base}/${reference}`)
        assertStatus(await product.client.delete(`${base}/${digest}`), 202)
        for (const reference of ['one', 'two', digest]) await assertGone(`${base}/${reference}`)
        await assertThere(`${base}/other`)
        await assertThere(`${base}/${other.digest}`)
        assert.deepEqual(await tagsOf(repository), ['other'])
        assertRefused(await product.client.delete(`${base}/${digest}`), 404, 'MANIFEST_UNKNOWN')
      }
    })

    test('a deleted blob is gone at once, in its repository alone', async () => {
      for (let i = 0; i < 3; i++) {
        const [repository, other] = [product.repository(), product.repository()]
        const bytes = seededBytes(`deleted ${i}`, 50_000)
        const digest = await product.client.pushBlob(repository, bytes)
        await product.client.pushBlob(other, bytes)
        const path = `/v2/${repository}/blobs/${digest}`
        await assertThere(path)
        assertStatus(await product.client.delete(path), 202)
        await assertGone(path)
        await assertThere(`/v2/${other}/blobs/${digest}`)
        assertRefused(await product.client.delete(path), 404, 'BLOB_UNKNOWN')
      }
    })

    test('a blob that a manifest names is refused with 409 until the manifest is gone', async () => {
      const repository = product.repository()
      const image = await pushImage(repository, 'v1')
      for (const digest of blobsOf(image)) {
        const path = `/v2/${repository}/blobs/${digest}`
        assertRefused(await product.client.delete(path), 409, 'DENIED')
        await assertThere(path)
      }
      const path = `/v2/${repository}/manifests/${image.digest}`
      assertStatus(await product.client.delete(path), 202)
      for (const digest of blobsOf(image)) {
        const blob = `/v2/${repository}/blobs/${digest}`
        await assertThere(blob)
        assertStatus(await product.client.delete(blob), 202)
        await assertGone(blob)
      }
    })

    test('a blob of two manifests is named until the last of them is gone', async () => {
      const repository = product.repository()
      const image = await pushImage(repository, 'v1')
      const twin = { ...JSON.parse(image.bytes.toString()), annotations: { twin: 'yes' } }
      const second = await product.client.putManifest(repository, 'v2', twin)
      const [digest] = blobsOf(image)
      const blob = `/v2/${repository}/blobs/${digest}`
      for (const manifest of [image.digest, second.digest]) {
        assertRefused(await product.client.delete(blob), 409, 'DENIED')
        const path = `/v2/${repository}/manifests/${manifest}`
        assertStatus(await product.client.delete(path), 202)
      }
      assertStatus(await product.client.delete(blob), 202)
    })

    test('everything can be pushed again after it was deleted, in the order of the clients', async () => {
      const repository = product.repository()
      for (let i = 0; i < 3; i++) {
        const image = await pushImage(repository, 'v1')
        const base = `/v2/${repository}`
        await assertThere(`${base}/manifests/v1`)
        await assertThere(`${base}/manifests/${image.digest}`)
        assertStatus(await product.client.delete(`${base}/manifests/v1`), 202)
        assertStatus(await product.client.delete(`${base}/manifests/${image.digest}`), 202)
        for (const digest of blobsOf(image)) {
          await assertThere(`${base}/blobs/${digest}`)
          assertStatus(await product.client.delete(`${base}/blobs/${digest}`), 202)
          await assertGone(`${base}/blobs/${digest}`)
        }
        assertRefused(await product.client.get(`${base}/tags/list`), 404, 'NAME_UNKNOWN')
        const { answer } = await product.client.putManifest(
          repository,
          'v1',
          image.bytes,
          types.image,
        )
        assertRefused(answer, 404, 'MANIFEST_BLOB_UNKNOWN')
      }
    })

    test('a deleted blob can be pushed again by one request, and by a mount', async () => {
      const [repository, source] = [product.repository(), product.repository()]
      const bytes = Buffer.from('again by one request')
      const digest = await product.client.pushBlob(repository, bytes)
      await product.client.pushBlob(source, bytes)
      const path = `/v2/${repository}/blobs/${digest}`
      for (const query of [`?digest=${digest}`, `?mount=${digest}&from=${source}`]) {
        assertStatus(await product.client.delete(path), 202)
        await assertGone(path)
        const target = `/v2/${repository}/blobs/uploads/${query}`
        assertStatus(await product.client.call('POST', target, { body: bytes }), 201)
        assert.ok(assertStatus(await product.client.get(path), 200).body.equals(bytes))
      }
    })

    test('an index goes without its images, an image goes without its index', async () => {
      const repository = product.repository()
      const base = `/v2/${repository}/manifests`
      const image = await pushImage(repository, 'image')
      const index = sampleIndex([descriptorOf(image, types.image)])
      const pushed = await product.client.putManifest(repository, 'index', index)
      assertStatus(await product.client.delete(`${base}/${pushed.digest}`), 202)
      await assertThere(`${base}/${image.digest}`)
      await product.client.putManifest(repository, 'index', index)
      assertStatus(await product.client.delete(`${base}/${image.digest}`), 202)
      await assertGone(`${base}/${image.digest}`)
      await assertThere(`${base}/index`)
    })

    test('who is reading a blob when it is deleted still gets all of it', async () => {
      const repository = product.repository()
      const bytes = seededBytes('deleted while read', 8_000_000)
      const digest = await product.client.pushBlob(repository, bytes)
      const path = `/v2/${repository}/blobs/${digest}`
      const reading = await product.client.open('GET', path)
      assertStatus(await product.client.delete(path), 202)
      await assertGone(path)
      const chunks: Buffer[] = []
      for await (const chunk of reading) chunks.push(chunk as Buffer)
      assert.equal(digestOf(Buffer.concat(chunks)), digest)
    })
  })
}

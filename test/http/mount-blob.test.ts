// Goal: a mount gives a repository a blob that another one holds, and nothing else ever does.
// Method: mounts with and without `from`, of what is there and what is not.
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

for (const setup of setups('alone', 'shared')) {
  describe(`mount a blob, ${setup.name}`, () => {
    const product = useProduct(setup)

    function mount(repository: string, digest: string, from?: string): Promise<Answer> {
      const source = from === undefined ? '' : `&from=${from.replaceAll('/', '%2F')}`
      const target = `/v2/${repository}/blobs/uploads/?mount=${digest}${source}`
      return product.client.call('POST', target)
    }

    async function assertMounted(
      answer: Answer,
      repository: string,
      digest: string,
      bytes: Buffer,
    ): Promise<void> {
      assertStatus(answer, 201)
      assert.equal(answer.headers['docker-content-digest'], digest)
      assert.equal(locationOf(answer), `/v2/${repository}/blobs/${digest}`)
      const pulled = assertStatus(await product.client.get(locationOf(answer)), 200)
      assert.ok(pulled.body.equals(bytes))
      assert.equal(pulled.headers['content-length'], String(bytes.length))
    }

    for (const algorithm of ['sha256', 'sha512'] as const) {
      test(`by ${algorithm}, with from and without, again and again`, async () => {
        const source = product.repository()
        const bytes = Buffer.from(`mounted by ${algorithm}`)
        const digest = await product.client.pushBlob(source, bytes, algorithm)
        for (const from of [source, undefined]) {
          const repository = product.repository()
          for (let i = 0; i < 2; i++) {
            await assertMounted(await mount(repository, digest, from), repository, digest, bytes)
          }
        }
      })
    }

    test('a mount of what the repository holds already succeeds, whatever from says', async () => {
      const repository = product.repository()
      const bytes = Buffer.from('already here')
      const digest = await product.client.pushBlob(repository, bytes)
      for (const from of [repository, 'nobody/knows/it', undefined]) {
        await assertMounted(await mount(repository, digest, from), repository, digest, bytes)
      }
    })

    test('a mount of what is not there opens a session that takes the blob', async () => {
      const bytes = Buffer.from(`absent at first, ${setup.name}`)
      const digest = digestOf(bytes)
      for (const from of [product.repository(), undefined]) {
        const repository = product.repository()
        const opened = assertStatus(await mount(repository, digest, from), 202)
        assert.match(opened.headers['range'] ?? '', /^0-\d+$/)
        assertStatus(await product.client.get(locationOf(opened)), 204)
        assertStatus(await product.client.head(`/v2/${repository}/blobs/${digest}`), 404)
        if (from === undefined) {
          const closed = await product.client.finish(locationOf(opened), digest, bytes)
          await assertMounted(closed, repository, digest, bytes)
        } else {
          // As podman does where a mount was not possible and the blob is not wanted any more.
          assertStatus(await product.client.delete(locationOf(opened)), 204)
        }
      }
    })

    test('from must hold the blob itself: another repository does not help', async () => {
      const holder = product.repository()
      const digest = await product.client.pushBlob(holder, Buffer.from('held by one'))
      const repository = product.repository()
      assertStatus(await mount(repository, digest, product.repository()), 202)
      assertStatus(await product.client.head(`/v2/${repository}/blobs/${digest}`), 404)
    })

    test('a blob that its only holder deleted cannot be mounted', async () => {
      const holder = product.repository()
      const bytes = Buffer.from('deleted before the mount')
      const digest = await product.client.pushBlob(holder, bytes)
      assertStatus(await product.client.delete(`/v2/${holder}/blobs/${digest}`), 202)
      for (const from of [holder, undefined]) {
        assertStatus(await mount(product.repository(), digest, from), 202)
      }
    })

    test('deleting the source leaves what was mounted', async () => {
      const source = product.repository()
      const repository = product.repository()
      const bytes = Buffer.from('outlives its source')
      const digest = await product.client.pushBlob(source, bytes)
      assertStatus(await mount(repository, digest, source), 201)
      assertStatus(await product.client.delete(`/v2/${source}/blobs/${digest}`), 202)
      assertRefused(await product.client.get(`/v2/${source}/blobs/${digest}`), 404, 'BLOB_UNKNOWN')
      const pulled = await product.client.get(`/v2/${repository}/blobs/${digest}`)
      assert.ok(assertStatus(pulled, 200).body.equals(bytes))
    })
  })
}

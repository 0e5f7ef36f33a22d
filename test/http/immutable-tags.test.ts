// Goal: an immutable tag names what it named first, whoever pushes or deletes and however many at once; and
// what is excluded moves as ever. Method: pushes, moves and deletes over HTTP, and races.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { assertRefused, assertStatus, type PushedManifest } from '../support/registry-client.ts'
import { setups, useProduct } from './product.ts'
import { descriptorOf, pushSampleBlobs, sampleIndex, types } from './sample-content.ts'

const rules = `
[global]
immutable_tags_exclusions = ["latest"]
[repository."fixed"]
immutable_tags = true
[repository."fixed/own"]
immutable_tags_exclusions = ["dev-.*", "v[0-9]"]
[repository."fixed/none"]
immutable_tags = false
immutable_tags_exclusions = []
`

for (const { name, toml, ...setup } of setups('alone', 'shared', 'memory')) {
  describe(`immutable tags, ${name}`, () => {
    const product = useProduct({ ...setup, toml: `${toml ?? ''}\n${rules}` })

    async function push(repository: string, tag: string, seed: string): Promise<PushedManifest> {
      const manifest = await pushSampleBlobs(product.client, repository, seed)
      return product.client.putManifest(repository, tag, manifest)
    }

    /** 409 with a code that every client knows, and the tag. */
    function assertImmutable(answer: PushedManifest['answer'], tag: string): void {
      assert.deepEqual(assertRefused(answer, 409, 'DENIED'), { tag })
      assert.match(answer.body.toString(), new RegExp(`the tag ${tag} is immutable`))
    }

    test('are pushed once, and again with the same digest', async () => {
      const first = await push('fixed/app', 'v1', 'first')
      assertStatus(first.answer, 201)
      assertStatus((await push('fixed/app', 'v1', 'first')).answer, 201)
      const moved = await push('fixed/app', 'v1', 'second')
      assertImmutable(moved.answer, 'v1')
      const named = await product.client.get('/v2/fixed/app/manifests/v1')
      assert.equal(named.headers['docker-content-digest'], first.digest)
      assertStatus(await product.client.get(`/v2/fixed/app/manifests/${moved.digest}`), 404)
      // Under another name, or without one, it may come.
      assertStatus((await push('fixed/app', 'v2', 'second')).answer, 201)
      assertStatus((await push('fixed/app', moved.digest, 'second')).answer, 201)
    })

    test('are not deleted, nor is the manifest that they name or what is in it', async () => {
      const { client } = product
      const child = await push('fixed/deleted', 'child', 'child')
      const plain = await push('fixed/deleted', 'latest', 'plain')
      const index = sampleIndex([descriptorOf(plain, types.image)])
      const tagged = await client.putManifest('fixed/deleted', 'v1', index)
      assertStatus(tagged.answer, 201)
      const path = '/v2/fixed/deleted/manifests/'
      assertImmutable(await client.delete(`${path}child`), 'child')
      assertImmutable(await client.delete(`${path}${child.digest}`), 'child')
      assertImmutable(await client.delete(`${path}${tagged.digest}`), 'v1')
      assertImmutable(await client.delete(`${path}${plain.digest}`), 'v1')
      assertStatus(await client.delete(`${path}latest`), 202)
      assertStatus(await client.delete(`${path}absent`), 404)
      for (const reference of ['child', 'v1', plain.digest]) {
        assertStatus(await client.get(`${path}${reference}`), 200)
      }
      const other = await push('fixed/deleted', 'latest', 'other')
      assertStatus(await client.delete(`${path}${other.digest}`), 202)
    })

    test('are told by patterns of the whole tag, those of the narrowest prefix', async () => {
      const moves: readonly (readonly [repository: string, tag: string, moves: boolean])[] = [
        ['fixed/app', 'latest', true],
        ['fixed/app', 'latest-1', false],
        ['fixed/app', 'not-latest', false],
        ['fixed', 'latest', true],
        ['fixed/own', 'latest', false],
        ['fixed/own', 'dev-1', true],
        ['fixed/own/deeper', 'v1', true],
        ['fixed/own', 'v10', false],
        ['fixed/own', 'a-dev-1', false],
        ['fixed/none', 'latest', false],
        ['fixed/none', 'v1', false],
        ['fixedly', 'v1', true],
        ['open/app', 'v1', true],
      ]
      for (const [repository, tag, isMoved] of moves) {
        const what = `${repository}:${tag}`
        assertStatus((await push(repository, tag, `${what} one`)).answer, 201, what)
        const { answer } = await push(repository, tag, `${what} two`)
        if (isMoved) assertStatus(answer, 201, what)
        else assertImmutable(answer, tag)
      }
    })

    test('of several tags in one push none is set where one may not move', async () => {
      const { client } = product
      assertStatus((await push('fixed/several', 'taken', 'one')).answer, 201)
      const manifest = await pushSampleBlobs(client, 'fixed/several', 'two')
      const { digest } = await client.putManifest('fixed/other', 'x', manifest)
      const both = `${digest}?tag=fresh&tag=taken`
      assertImmutable((await client.putManifest('fixed/several', both, manifest)).answer, 'taken')
      assertStatus(await client.get('/v2/fixed/several/manifests/fresh'), 404)
      assertStatus(await client.get(`/v2/fixed/several/manifests/${digest}`), 404)
      const fresh = `${digest}?tag=fresh&tag=latest`
      assertStatus((await client.putManifest('fixed/several', fresh, manifest)).answer, 201)
    })

    test('go to exactly one of those who push them at once', async () => {
      const { client } = product
      const manifests = await Promise.all(
        Array.from({ length: 8 }, (_, i) => pushSampleBlobs(client, 'fixed/race', `racer ${i}`)),
      )
      for (let round = 0; round < 10; round++) {
        const tag = `v${round}`
        const pushes = manifests.map((manifest) => client.putManifest('fixed/race', tag, manifest))
        const pushed = await Promise.all(pushes)
        const [winner, ...others] = pushed.filter(({ answer }) => answer.status === 201)
        assert.ok(winner !== undefined && others.length === 0, `${others.length + 1} won ${tag}`)
        for (const { answer } of pushed) if (answer.status !== 201) assertImmutable(answer, tag)
        const named = await client.get(`/v2/fixed/race/manifests/${tag}`)
        assert.equal(named.headers['docker-content-digest'], winner.digest)
      }
    })
  })
}

// Goal: a push that breaks a rule of `validation` is refused with 403 DENIED and leaves nothing behind, while
// what is there already can be pulled and deleted. Method: one store, first without rules, then with them.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import {
  type Answer,
  assertRefused,
  assertStatus,
  digestOf,
  type RegistryClient,
} from '../support/registry-client.ts'
import { Product, temporaryFolder } from './product.ts'
import {
  descriptorOf,
  emptyConfig,
  pushSampleBlobs,
  sampleArtifact,
  sampleIndex,
  types,
} from './sample-content.ts'

const signature = 'application/vnd.dev.sigstore.bundle.v0.3+json'
const toml = `
[global.validation]
repository_pattern = "[a-z]+/[a-z0-9]+(/cache)?"
[repository.prod.validation]
tag_pattern = "v[0-9]+"
media_types = ["${types.image}", "${types.index}"]
artifact_types = ["${types.config}", "${signature}"]
layer_media_types = ["${types.layer}", "${signature}"]
required_annotations = ["org.opencontainers.image.source"]
`
const annotations = { 'org.opencontainers.image.source': 'https://git.example.com/app' }
const loose = Buffer.from('a blob that waits to be pushed')

interface Detail {
  readonly rule: string
  readonly prefix: string
}

/** Which rule it was, of which table. */
function ruleOf(answer: Answer): string {
  const { rule, prefix } = assertRefused(answer, 403, 'DENIED') as Detail
  return `${rule} of ${prefix || 'the registry'}`
}

for (const transport of ['uws', 'node']) {
  describe(`validation over ${transport}`, { concurrency: false }, () => {
    const folder = temporaryFolder()
    const product = new Product()
    let client: RegistryClient
    let old = ''

    before(async () => {
      await product.start({ rootDir: folder.path })
      for (const repository of ['odd-1', 'prod/app', 'dev/app', 'prod/app/cache']) {
        const image = await pushSampleBlobs(product.client, repository, 'app')
        old = (await product.client.putManifest(repository, 'old', image)).digest
        await product.client.pushBlob(repository, emptyConfig)
        await product.client.pushBlob(repository, loose)
      }
      await product.stop()
      await product.start({
        rootDir: folder.path,
        toml: `[server]\ntransport = "${transport}"\n${toml}`,
      })
      client = product.client
    })
    after(() => product.stop())

    const put = async (repository: string, reference: string, manifest: object): Promise<Answer> =>
      (await client.putManifest(repository, reference, manifest)).answer

    test('nothing is pushed under a name that does not match', async () => {
      const image = await pushSampleBlobs(client, 'prod/app', 'app')
      const blob = Buffer.from('new')
      const uploads = '/v2/odd-1/blobs/uploads/'
      const posted = [
        await client.call('POST', uploads),
        await client.call('POST', `${uploads}?digest=${digestOf(blob)}`, { body: blob }),
        await client.call('POST', `${uploads}?mount=${digestOf(loose)}&from=prod/app`),
        await client.call('POST', `${uploads}?mount=${digestOf(blob)}`),
        await put('odd-1', 'v1', { ...image, annotations }),
        await put('odd-1', digestOf(Buffer.from(JSON.stringify(image))), image),
      ]
      for (const answer of posted) {
        assert.equal(ruleOf(answer), 'repository_pattern of the registry')
        assert.match(
          answer.body.toString(),
          /the repository name odd-1 does not match the repository_pattern of the registry: \[a-z\]/,
        )
      }
      assertStatus(await client.head(`/v2/odd-1/blobs/${digestOf(blob)}`), 404)
    })

    test('what is there under such a name can be pulled, listed and deleted', async () => {
      assertStatus(await client.get('/v2/odd-1/manifests/old'), 200)
      assertStatus(await client.get(`/v2/odd-1/blobs/${digestOf(loose)}`), 200)
      assertStatus(await client.get('/v2/odd-1/tags/list'), 200)
      assertStatus(await client.delete(`/v2/odd-1/blobs/${digestOf(loose)}`), 202)
      assertStatus(await client.delete('/v2/odd-1/manifests/old'), 202)
    })

    test('every tag that a push sets must match, in the path and in the query', async () => {
      const image = { ...(await pushSampleBlobs(client, 'prod/app', 'app')), annotations }
      const digest = digestOf(Buffer.from(JSON.stringify(image)))
      for (const reference of ['dev', 'v1?tag=dev', `${digest}?tag=v1&tag=dev`, 'v1.0']) {
        assert.equal(ruleOf(await put('prod/app', reference, image)), 'tag_pattern of prod')
      }
      assertStatus(await client.head(`/v2/prod/app/manifests/${digest}`), 404)
      assertStatus(await client.head('/v2/prod/app/manifests/v1'), 404)
      assertStatus(await put('prod/app', `${digest}?tag=v1&tag=v2`, image), 201)
      // A prefix stands for whole components, and the tag that was there is not in the way.
      assertStatus(await put('dev/app', 'dev', image), 201)
      assertStatus(await client.get('/v2/prod/app/manifests/old'), 200)
    })

    test('types and annotations are those that are listed', async () => {
      const image = { ...(await pushSampleBlobs(client, 'prod/app', 'app')), annotations }
      const docker = { ...image, mediaType: types.dockerImage }
      const chart = { ...sampleArtifact('application/vnd.cncf.helm'), annotations }
      const [layer] = image.layers
      const wrongLayer = { ...image, layers: [{ ...layer, mediaType: 'text/plain' }] }
      const { annotations: _, ...bare } = image
      for (const [manifest, rule] of [
        [docker, 'media_types of prod'],
        [chart, 'artifact_types of prod'],
        [wrongLayer, 'layer_media_types of prod'],
        [bare, 'required_annotations of prod'],
      ] as const) {
        assert.equal(ruleOf(await put('prod/app', 'v7', manifest)), rule)
        assertStatus(await put('dev/app', 'v7', manifest), 201)
      }
      assertStatus(await client.head('/v2/prod/app/manifests/v7'), 404)
      assertStatus(await put('prod/app', 'v7', image), 201)
    })

    test('an image of several platforms has its annotations on the index', async () => {
      const child = await pushSampleBlobs(client, 'prod/app', 'app')
      const digest = digestOf(Buffer.from(JSON.stringify(child)))
      const pushed = await client.putManifest('prod/app', digest, child)
      assertStatus(pushed.answer, 201)
      const index = sampleIndex([descriptorOf(pushed, types.image)])
      assert.equal(ruleOf(await put('prod/app', 'v8', index)), 'required_annotations of prod')
      assertStatus(await put('prod/app', 'v8', { ...index, annotations }), 201)
      const wrong = { ...child, layers: [{ ...child.layers[0], mediaType: 'text/plain' }] }
      const wrongDigest = digestOf(Buffer.from(JSON.stringify(wrong)))
      assert.equal(ruleOf(await put('prod/app', wrongDigest, wrong)), 'layer_media_types of prod')
    })

    test('a signature of a listed type needs no tag and no annotations, others are refused', async () => {
      const subject = descriptorOf({ bytes: Buffer.from('x') }, types.image)
      const [layer] = [descriptorOf({ bytes: loose }, signature)]
      const signed = sampleArtifact(signature, { subject, layers: [layer] })
      const digest = digestOf(Buffer.from(JSON.stringify(signed)))
      assertStatus(await put('prod/app', digest, signed), 201)
      const other = sampleArtifact('text/spam', { subject, layers: [layer] })
      const otherDigest = digestOf(Buffer.from(JSON.stringify(other)))
      assert.equal(ruleOf(await put('prod/app', otherDigest, other)), 'artifact_types of prod')
    })

    test('what was pushed before the rules may not get another tag by them', async () => {
      const { body } = assertStatus(await client.get('/v2/prod/app/manifests/old'), 200)
      const answer = await client.call('PUT', '/v2/prod/app/manifests/v9', {
        ...{ body, headers: { 'content-type': types.image } },
      })
      assert.equal(ruleOf(answer), 'required_annotations of prod')
      assertStatus(await client.delete(`/v2/prod/app/manifests/${old}`), 202)
    })
  })
}

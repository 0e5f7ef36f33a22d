// Goal: whoever refers to a manifest is listed, with what the specification wants of a descriptor, in
// pages that clients can read. Method: subjects present, absent and deleted; filters; pages by count
// and by bytes; the fallback tag of older clients.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  type Answer,
  assertRefused,
  assertStatus,
  digestOf,
  json,
  type PushedManifest,
} from '../support/registry-client.ts'
import { Product, setups, temporaryFolder, useProduct } from './product.ts'
import {
  type Descriptor,
  descriptor,
  emptyConfig,
  pushSampleBlobs,
  sampleArtifact,
  sampleIndex,
  types,
} from './sample-content.ts'

interface Index {
  readonly schemaVersion: number
  readonly mediaType: string
  readonly manifests: readonly Descriptor[]
}

const sbom = 'application/vnd.example.sbom'
const signature = 'application/vnd.example.signature'
const absent = digestOf(Buffer.from('nobody refers to this'))

for (const setup of setups('alone', 'memory')) {
  describe(`referrers, ${setup.name}`, () => {
    const product = useProduct(setup)

    async function list(repository: string, digest: string, query = ''): Promise<Answer> {
      const path = `/v2/${repository}/referrers/${digest}${query}`
      const answer = assertStatus(await product.client.get(path), 200)
      const { schemaVersion, mediaType } = json<Index>(answer)
      assert.equal(answer.headers['content-type'], types.index)
      assert.equal(schemaVersion, 2)
      assert.equal(mediaType, types.index)
      return answer
    }

    async function digestsOf(repository: string, digest: string, query = ''): Promise<string[]> {
      const { manifests } = json<Index>(await list(repository, digest, query))
      return manifests.map((found) => found.digest)
    }

    /** Every page, by Link. */
    async function pages(path: string): Promise<Index[]> {
      const found: Index[] = []
      for (let next: string | undefined = path; next !== undefined; ) {
        const answer = assertStatus(await product.client.get(next), 200)
        assert.ok(answer.body.length <= 4 * 1024 * 1024, 'clients read no more than 4 MiB')
        found.push(json<Index>(answer))
        const link = answer.headers['link']
        next = link === undefined ? undefined : /^<([^>]+)>; rel="next"$/.exec(link)?.[1]
        assert.ok(found.length < 50)
      }
      return found
    }

    async function refer(
      repository: string,
      subject: Descriptor,
      artifactType: string,
      more: object = {},
    ): Promise<PushedManifest> {
      await product.client.pushBlob(repository, emptyConfig)
      const manifest = sampleArtifact(artifactType, { subject, ...more })
      const reference = digestOf(Buffer.from(JSON.stringify(manifest)))
      const pushed = await product.client.putManifest(repository, reference, manifest)
      assertStatus(pushed.answer, 201)
      assert.equal(pushed.answer.headers['oci-subject'], subject.digest)
      return pushed
    }

    async function pushSubject(repository: string): Promise<Descriptor> {
      const manifest = await pushSampleBlobs(product.client, repository, repository)
      const { bytes, answer } = await product.client.putManifest(repository, 'subject', manifest)
      assertStatus(answer, 201)
      return descriptor(types.image, bytes)
    }

    test('nobody refers to what is unknown, in a repository that is unknown: an empty list', async () => {
      const known = product.repository()
      await pushSubject(known)
      for (const repository of [known, product.repository()]) {
        assert.deepEqual(await digestsOf(repository, absent), [])
        assert.deepEqual(await digestsOf(repository, absent, `?artifactType=${sbom}`), [])
      }
      const sha512 = digestOf(Buffer.from('x'), 'sha512')
      assert.deepEqual(await digestsOf(known, sha512), [])
      const bad = await product.client.get(`/v2/${known}/referrers/sha256:bad`)
      assertRefused(bad, 400, 'DIGEST_INVALID')
    })

    test('a referrer is listed with its type, size, artifact type and annotations', async () => {
      const repository = product.repository()
      const subject = await pushSubject(repository)
      const annotations = { 'org.example': 'ä "quoted"', empty: '' }
      const { bytes, digest } = await refer(repository, subject, sbom, { annotations })
      const { manifests } = json<Index>(await list(repository, subject.digest))
      const size = bytes.length
      assert.deepEqual(manifests, [
        { mediaType: types.image, digest, size, artifactType: sbom, annotations },
      ])
    })

    test('without an artifact type an image shows its config type and an index none', async () => {
      const repository = product.repository()
      const subject = await pushSubject(repository)
      const image = await pushSampleBlobs(product.client, repository, 'plain')
      const pushed = await product.client.putManifest(repository, 'i', { ...image, subject })
      assertStatus(pushed.answer, 201)
      const index = { ...sampleIndex([]), subject }
      const list1 = await product.client.putManifest(repository, 'x', index)
      assert.equal(list1.answer.headers['oci-subject'], subject.digest)
      const { manifests } = json<Index>(await list(repository, subject.digest))
      const typeOf = (digest: string): Descriptor | undefined =>
        manifests.find((found) => found.digest === digest)
      assert.equal(manifests.length, 2)
      assert.equal(typeOf(pushed.digest)?.artifactType, types.config)
      assert.equal(typeOf(list1.digest)?.mediaType, types.index)
      assert.ok(!('artifactType' in typeOf(list1.digest)!))
    })

    test('a subject may come later than its referrers, and may itself refer', async () => {
      const repository = product.repository()
      const early = await refer(repository, { ...descriptor(types.image, Buffer.from('x')) }, sbom)
      const onIt = await refer(repository, descriptor(types.image, early.bytes), signature)
      assert.deepEqual(await digestsOf(repository, digestOf(Buffer.from('x'))), [early.digest])
      assert.deepEqual(await digestsOf(repository, early.digest), [onIt.digest])
    })

    test('artifactType filters, and the answer says that it did', async () => {
      const repository = product.repository()
      const subject = await pushSubject(repository)
      const first = await refer(repository, subject, sbom, { annotations: { n: '1' } })
      const other = await refer(repository, subject, signature)
      const second = await refer(repository, subject, sbom, { annotations: { n: '2' } })
      const all = await list(repository, subject.digest)
      assert.equal(all.headers['oci-filters-applied'], undefined)
      assert.equal(json<Index>(all).manifests.length, 3)
      const query = `?artifactType=${encodeURIComponent(sbom)}`
      const filtered = await list(repository, subject.digest, query)
      assert.equal(filtered.headers['oci-filters-applied'], 'artifactType')
      const digests = json<Index>(filtered).manifests.map(({ digest }) => digest)
      assert.deepEqual(digests, [first.digest, second.digest].sort())
      assert.ok(!digests.includes(other.digest))
      assert.deepEqual(await digestsOf(repository, subject.digest, '?artifactType=none/such'), [])
    })

    test('pages of n lead to each other by Link, with the filter kept', async () => {
      const repository = product.repository()
      const subject = await pushSubject(repository)
      const expected: string[] = []
      for (let i = 0; i < 7; i++) {
        const annotations = { n: String(i) }
        expected.push((await refer(repository, subject, sbom, { annotations })).digest)
        await refer(repository, subject, signature, { annotations })
      }
      const path = `/v2/${repository}/referrers/${subject.digest}?artifactType=${sbom}&n=3`
      const found = await pages(path)
      assert.deepEqual(
        found.map(({ manifests }) => manifests.length),
        [3, 3, 1],
      )
      const digests = found.flatMap(({ manifests }) => manifests.map(({ digest }) => digest))
      assert.deepEqual(digests, expected.sort())
    })

    test('a list of more than 4 MiB comes in pages, whether or not n was given', async () => {
      const repository = product.repository()
      const subject = await pushSubject(repository)
      const expected: string[] = []
      for (let i = 0; i < 6; i++) {
        const annotations = { [`large.${i}`]: 'x'.repeat(1_500_000) }
        expected.push((await refer(repository, subject, sbom, { annotations })).digest)
      }
      const found = await pages(`/v2/${repository}/referrers/${subject.digest}`)
      assert.ok(found.length >= 3, `${found.length} pages`)
      const digests = found.flatMap(({ manifests }) => manifests.map(({ digest }) => digest))
      assert.deepEqual(digests, expected.sort())
    })

    test('a deleted referrer is listed no more, one pushed again is listed once', async () => {
      const repository = product.repository()
      const subject = await pushSubject(repository)
      const kept = await refer(repository, subject, sbom)
      const gone = await refer(repository, subject, signature)
      assertStatus(await product.client.delete(`/v2/${repository}/manifests/${gone.digest}`), 202)
      assert.deepEqual(await digestsOf(repository, subject.digest), [kept.digest])
      await refer(repository, subject, sbom)
      assert.deepEqual(await digestsOf(repository, subject.digest), [kept.digest])
    })

    test('referrers outlive their subject', async () => {
      const repository = product.repository()
      const subject = await pushSubject(repository)
      const { digest } = await refer(repository, subject, sbom)
      const path = `/v2/${repository}/manifests/${subject.digest}`
      assertStatus(await product.client.delete(path), 202)
      assert.deepEqual(await digestsOf(repository, subject.digest), [digest])
    })

    test('referrers stay in their repository', async () => {
      const repository = product.repository()
      const subject = await pushSubject(repository)
      await refer(repository, subject, sbom)
      assert.deepEqual(await digestsOf(product.repository(), subject.digest), [])
    })

    for (const algorithm of ['sha256', 'sha512'] as const) {
      test(`the fallback tag of a ${algorithm} subject is folded in, without repeating anybody`, async () => {
        const repository = product.repository()
        const digest = digestOf(Buffer.from(`old subject ${repository}`), algorithm)
        const subject = { mediaType: types.image, digest, size: 9 }
        const recorded = await refer(repository, subject, sbom)
        const old = await product.client.putManifest(
          repository,
          'old',
          sampleArtifact(signature, { annotations: { pushed: 'without a subject' } }),
        )
        assertStatus(old.answer, 201)
        const tag = digest.replace(':', '-').slice(0, algorithm.length + 1 + 64)
        const fallback = sampleIndex([
          { ...descriptor(types.image, old.bytes), artifactType: signature },
          { ...descriptor(types.image, recorded.bytes), artifactType: sbom },
        ])
        assertStatus((await product.client.putManifest(repository, tag, fallback)).answer, 201)
        const both = [old.digest, recorded.digest].sort()
        assert.deepEqual(await digestsOf(repository, digest), both)
        const query = `?artifactType=${signature}`
        assert.deepEqual(await digestsOf(repository, digest, query), [old.digest])
        const found = await pages(`/v2/${repository}/referrers/${digest}?n=1`)
        const paged = found.flatMap(({ manifests }) => manifests.map((each) => each.digest))
        assert.deepEqual(paged, both)
      })
    }

    test('a fallback tag that is no index is let be', async () => {
      const repository = product.repository()
      const subject = await pushSubject(repository)
      const { digest } = await refer(repository, subject, sbom)
      const tag = subject.digest.replace(':', '-')
      await product.client.putManifest(repository, tag, sampleArtifact(signature))
      assert.deepEqual(await digestsOf(repository, subject.digest), [digest])
    })
  })
}

describe('a fallback tag of more descriptors than one manifest may name now', () => {
  const folder = temporaryFolder()

  test('is still folded in', async () => {
    const subject = digestOf(Buffer.from('of many'))
    const manifests = Array.from({ length: 10_001 }, (_, i) =>
      descriptor(types.image, Buffer.from(`${i}`)),
    )
    for (const descriptors of [20_000, 10]) {
      const product = new Product()
      const toml = `[global]\nmax_descriptors = ${descriptors}\n`
      await product.start({ toml, rootDir: folder.path })
      if (descriptors === 20_000) {
        const tag = subject.replace(':', '-')
        const { answer } = await product.client.putManifest('a', tag, sampleIndex(manifests))
        assertStatus(answer, 201)
      }
      const answer = await product.client.get(`/v2/a/referrers/${subject}?n=2`)
      assert.equal(json<Index>(assertStatus(answer, 200)).manifests.length, 2)
      await product.stop()
    }
  })
})

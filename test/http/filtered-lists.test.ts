// Goal: lists name what their caller may read, each name once, and nothing else of what is stored, neither in
// a body nor in a Link. Method: one registry of many names; users, tokens, rules and a service that decide;
// every list read page by page, and every byte of every page searched for what is hidden.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import {
  type Answer,
  assertRefused,
  assertStatus,
  digestOf,
  json,
  type RegistryClient,
} from '../support/registry-client.ts'
import { openRudeService, type RudeService } from '../support/rude-service.ts'
import { Product, temporaryFolder } from './product.ts'
import { descriptor, emptyConfig, sampleArtifact, sampleIndex, types } from './sample-content.ts'

const password = 'tuesday-fjord-lemon'
const hash = hashPassword(password)
const folder = temporaryFolder()
const subject = descriptor(types.image, Buffer.from('subject'))

function as(username: string): Readonly<Record<string, string>> {
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }
}

const users = ['alice', 'bob', 'ci']
  .map(
    (name) => `[auth.identity.${name}]\nusername = "${name}"\npassword = ${JSON.stringify(hash)}\n`,
  )
  .join('')

const number = (index: number): string => String(index).padStart(4, '0')
const hidden = Array.from({ length: 1_150 }, (_, i) => `hidden/r${number(i)}`)
const shown = ['a/first', 'alice/one', 'alice/two', 'bob/one', 'hidden', 'shown/a', 'zebra']
const repositories = [...hidden, ...shown].sort()
const tags = [
  ...Array.from({ length: 1_100 }, (_, i) => `internal-${number(i)}`),
  ...['alpha', 'latest', 'v1', 'v2'],
]

interface Names {
  readonly tags?: readonly string[]
  readonly repositories?: readonly string[]
  readonly manifests?: readonly { readonly artifactType: string }[]
}

interface Read {
  readonly names: readonly string[]
  readonly pages: readonly number[]
  readonly text: string
}

/** Every page of a list, as one client sees them. */
async function read(client: RegistryClient, path: string, headers = {}): Promise<Read> {
  const names: string[] = []
  const pages: number[] = []
  let text = ''
  for (let next: string | undefined = path; next !== undefined; ) {
    const answer: Answer = assertStatus(await client.get(next, headers), 200, next)
    const body = json<Names>(answer)
    const found =
      body.tags ??
      body.repositories ??
      body.manifests?.map(({ artifactType }) => artifactType) ??
      []
    names.push(...found)
    pages.push(found.length)
    text += `${JSON.stringify(answer.headers)}\n${answer.body}\n`
    next = /^<([^>]+)>; rel="next"$/.exec(answer.headers['link'] ?? '')?.[1]
    assert.ok(pages.length < 2_000, 'it ends')
  }
  return { names, pages, text }
}

/** Fill the store without any policy. */
before(async () => {
  const product = new Product()
  await product.start({ rootDir: folder.path, toml: '[storage]\ndurability = "none"\n' })
  const { client } = product
  const manifest = sampleIndex([])
  for (const repository of repositories) {
    assertStatus((await client.putManifest(repository, 'only', manifest)).answer, 201)
  }
  const digest = digestOf(Buffer.from(JSON.stringify(manifest)))
  for (let at = 0; at < tags.length; at += 64) {
    const query = tags.slice(at, at + 64).map((tag) => `tag=${tag}`)
    const reference = `${digest}?${query.join('&')}`
    assertStatus((await client.putManifest('shown/a', reference, manifest)).answer, 201)
  }
  await client.pushBlob('shown/a', emptyConfig)
  for (const kind of ['one', 'two', 'three']) {
    const referrer = sampleArtifact(`test/${kind}`, { subject })
    const own = digestOf(Buffer.from(JSON.stringify(referrer)))
    assertStatus((await client.putManifest('shown/a', own, referrer)).answer, 201)
  }
  await product.stop()
})

/** A server over the same store. */
function served(toml: string): Product {
  const product = new Product()
  const base = `[server]\nport = 0\n[blob_store.fs]\nroot_dir = ${JSON.stringify(folder.path)}\n`
  before(() => product.start({ base: `${base}${users}${toml}` }))
  after(() => product.stop())
  return product
}

const byName = `
[global.access_policy]
rules = [
  "request.action == 'list-catalog'",
  "identity.username == 'ci'",
  "request.repository.startsWith(identity.username + '/') || request.repository == 'hidden'",
  "request.repository == 'zebra' && request.action != 'list-tags'",
]
`

describe('a catalogue where rules tell repositories apart', () => {
  const product = served(byName)
  const own = ['alice/one', 'alice/two', 'hidden']

  test('names what the caller may list the tags of, whatever the length of a page', async () => {
    for (const n of ['', '?n=1', '?n=2', '?n=3', '?n=1000', '?n=5000']) {
      const found = await read(product.client, `/v2/_catalog${n}`, as('alice'))
      assert.deepEqual(found.names, own, n)
      assert.ok(found.pages.length <= 5, `${n}: ${found.pages}`)
    }
    const all = await read(product.client, '/v2/_catalog?n=500', as('ci'))
    assert.deepEqual(all.names, repositories)
    assert.equal(all.pages.length, Math.ceil(repositories.length / 500))
  })

  test('no page and no Link names anything else, not even where all of a page is hidden', async () => {
    const found = await read(product.client, '/v2/_catalog?n=10', as('alice'))
    assert.ok(found.pages.includes(0) || found.pages.length > 1, `${found.pages}`)
    for (const name of repositories.filter((each) => !own.includes(each))) {
      assert.ok(!found.text.includes(`"${name}"`) && !found.text.includes(encodeURIComponent(name)))
    }
    assert.ok(!found.text.includes('/r0') && !found.text.includes('%2Fr'), 'no part of one')
    assert.ok(found.text.includes('last=%7E'), 'a sealed place was needed')
  })

  test('begins after a name that the caller may not see, too', async () => {
    for (const last of ['hidden/r0100', 'hidden/r0100x', 'aaa', 'hidden', 'zzz']) {
      const expected = own.filter((name) => name > last)
      assert.deepEqual(
        (await read(product.client, `/v2/_catalog?last=${last}`, as('alice'))).names,
        expected,
      )
    }
  })

  test('n=0 is empty and leads nowhere', async () => {
    assert.deepEqual((await read(product.client, '/v2/_catalog?n=0', as('alice'))).pages, [0])
  })

  test('a sealed place holds for its list alone, for everybody who may read on', async () => {
    const first = assertStatus(await product.client.get('/v2/_catalog?n=10', as('bob')), 200)
    let link = first.headers['link'] ?? ''
    while (!link.includes('%7E')) {
      const next = /^<([^>]+)>/.exec(link)?.[1]
      assert.ok(next, link)
      link = (await product.client.get(next, as('bob'))).headers['link'] ?? ''
    }
    const cursor = /last=(%7E[^>&]+)/.exec(link)?.[1] ?? ''
    const rest = await read(product.client, `/v2/_catalog?last=${cursor}`, as('ci'))
    assert.ok(rest.names.length > 0 && rest.names.length < repositories.length)
    for (const path of ['/v2/alice/one/tags/list', `/v2/alice/one/referrers/${subject.digest}`]) {
      const answer = await product.client.get(`${path}?last=${cursor}`, as('alice'))
      assertRefused(answer, 400, 'PAGINATION_INVALID')
    }
    for (const last of ['~', '~x', `${cursor}AAAA`, cursor.slice(0, -5)]) {
      const answer = await product.client.get(`/v2/_catalog?last=${last}`, as('ci'))
      assertRefused(answer, 400, 'PAGINATION_INVALID')
    }
  })

  test('HEAD tells the length of what GET shows', async () => {
    const got = await product.client.get('/v2/_catalog?n=2', as('alice'))
    const asked = assertStatus(await product.client.head('/v2/_catalog?n=2', as('alice')), 200)
    assert.equal(asked.headers['content-length'], String(got.body.length))
    assert.equal(asked.headers['link'], got.headers['link'])
  })
})

describe('a catalogue where all repositories are alike', () => {
  const toml = `
[global.access_policy]
rules = ["identity.username == 'ci'", "request.action == 'list-catalog'"]
`
  const product = served(toml)

  test('is shown as a whole, or not at all', async () => {
    const all = await read(product.client, '/v2/_catalog', as('ci'))
    assert.deepEqual([all.names, all.pages.length], [repositories, 1])
    const none = await read(product.client, '/v2/_catalog', as('alice'))
    assert.deepEqual([none.names, none.pages.length], [[], 1])
  })
})

describe('a catalogue below repository policies', () => {
  const toml = `
[global.access_policy]
default = "allow"
[repository.hidden.access_policy]
rules = ["identity.username == 'ci'"]
[auth.token_service]
service = "registry.example.com"
`
  const product = served(toml)
  const open = shown.filter((name) => name !== 'hidden')

  test('leaves out what they deny, also to the anonymous', async () => {
    assert.deepEqual((await read(product.client, '/v2/_catalog?n=4')).names, open)
    assert.deepEqual((await read(product.client, '/v2/_catalog', as('ci'))).names, repositories)
  })

  test('a token for the catalogue shows what its user may see', async () => {
    const query = 'service=registry.example.com&scope=registry:catalog:*'
    for (const [user, expected] of [
      ['alice', open],
      ['ci', repositories],
    ] as const) {
      const { token } = json<{ token: string }>(
        assertStatus(await product.client.get(`/token?${query}`, as(user)), 200),
      )
      const headers = { authorization: `Bearer ${token}` }
      assert.deepEqual((await read(product.client, '/v2/_catalog', headers)).names, expected)
      assertRefused(await product.client.get('/v2/zebra/tags/list', headers), 401, 'UNAUTHORIZED')
    }
    const other = json<{ token: string }>(
      await product.client.get('/token?scope=repository:zebra:pull', as('ci')),
    )
    const headers = { authorization: `Bearer ${other.token}` }
    assertRefused(await product.client.get('/v2/_catalog', headers), 401, 'UNAUTHORIZED')
  })
})

describe('tags and referrers where rules tell them apart', () => {
  const toml = `
[global.access_policy]
rules = [
  "identity.username == 'ci'",
  "request.action == 'list-tags' || request.action == 'get-referrers'",
  "request.action == 'get-manifest' && (request.reference.matches('^v[0-9]+$') || request.reference == 'latest')",
]
`
  const product = served(toml)

  test('tags are those that the caller may fetch by', async () => {
    for (const n of ['', '?n=1', '?n=2', '?n=100']) {
      const found = await read(product.client, `/v2/shown/a/tags/list${n}`, as('alice'))
      assert.deepEqual(found.names, ['latest', 'v1', 'v2'], n)
      assert.ok(!found.text.includes('internal') && !found.text.includes('alpha'))
    }
    const all = await read(product.client, '/v2/shown/a/tags/list?n=100', as('ci'))
    assert.deepEqual(all.names, ['only', ...tags].sort())
    assert.deepEqual((await read(product.client, '/v2/zebra/tags/list', as('alice'))).names, [])
    const unknown = await product.client.get('/v2/unknown/tags/list', as('alice'))
    assertRefused(unknown, 404, 'NAME_UNKNOWN')
  })

  test('referrers are those that the caller may fetch', async () => {
    const path = `/v2/shown/a/referrers/${subject.digest}`
    for (const n of ['', '?n=1', '?n=2']) {
      const none = await read(product.client, `${path}${n}`, as('alice'))
      assert.deepEqual(none.names, [], n)
      assert.doesNotMatch(none.text.replaceAll(subject.digest, ''), /sha256/)
      const all = await read(product.client, `${path}${n}`, as('ci'))
      assert.deepEqual([...all.names].sort(), ['test/one', 'test/three', 'test/two'], n)
    }
  })
})

describe('a catalogue behind a webhook', () => {
  const product = new Product()
  let service: RudeService

  before(async () => {
    service = await openRudeService({ status: 200, body: 'yes' })
    const base = `[server]\nport = 0\n[blob_store.fs]\nroot_dir = ${JSON.stringify(folder.path)}\n`
    await product.start({
      base: `${base}${users}
[global.access_policy]
default = "allow"
[repository.hidden]
authorization_webhook = "guard"
[auth.webhook.guard]
url = "${service.url}/"
cache_ttl = "0s"
timeout = "1m"
breaker_failures = 1000
`,
    })
  })
  after(async () => {
    await service.close()
    await product.stop()
  })

  test('asks it about 100 repositories for a page, and shows those that it allows', async () => {
    service.behave({ status: 200, body: 'yes' })
    const asked = service.requests.length
    const first = assertStatus(await product.client.get('/v2/_catalog'), 200)
    assert.equal(service.requests.length - asked, 100)
    const names = json<Names>(first).repositories ?? []
    assert.deepEqual(names, repositories.slice(0, names.length))
    assert.match(first.headers['link'] ?? '', /last=hidden%2Fr0098/)
    assert.deepEqual((await read(product.client, '/v2/_catalog')).names, repositories)
  })

  test('shows nothing of what it denies, or cannot be asked about', async () => {
    const open = shown.filter((name) => name !== 'hidden')
    service.behave({ status: 403, body: 'no' })
    const found = await read(product.client, '/v2/_catalog')
    assert.deepEqual(found.names, open)
    assert.ok(!found.text.includes('hidden'))
    service.behave('closes at once')
    const first = assertStatus(await product.client.get('/v2/_catalog'), 200)
    assert.deepEqual(
      json<Names>(first).repositories,
      open.filter((name) => name < 'hidden'),
    )
    assert.match(first.headers['link'] ?? '', /last=%7E/)
  })
})

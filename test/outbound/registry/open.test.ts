// Goal: another registry is read by what it asks for, its hiccups are waited out, and what it says leads
// no secret and no request astray. Method: services under control to the byte, and a Keelson with tokens.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Secret } from '../../../src/config/secret.ts'
import { parseDigest } from '../../../src/oci/digest.ts'
import {
  RemoteError,
  type RemoteProblem,
  type RemoteRegistry,
  type RemoteRegistryOptions,
} from '../../../src/outbound/registry/contract.ts'
import { openRemoteRegistry } from '../../../src/outbound/registry/open.ts'
import { hashPassword } from '../../../workers/credentials.ts'
import { RegistryClient } from '../../support/registry-client.ts'
import {
  openRudeService,
  type RudeRequest,
  type RudeService,
  rudeManners,
} from '../../support/rude-service.ts'
import { startServer } from '../../support/server.ts'

const digest = parseDigest(`sha256:${'ab'.repeat(32)}`)
assert.ok(digest)

const password = 'tuesday-fjord-lemon'

async function serve(t: TestContext): Promise<RudeService> {
  const service = await openRudeService({ status: 200, body: '{}' })
  t.after(() => service.close())
  return service
}

interface Opened {
  readonly registry: RemoteRegistry
  /** In ms. */
  readonly waits: number[]
}

function open(t: TestContext, url: string, changes: Partial<RemoteRegistryOptions> = {}): Opened {
  const waits: number[] = []
  const registry = openRemoteRegistry({
    ...{ name: 'other', url, timeoutMs: 2000, connectionsMax: 4, manifestBytesMax: 4096 },
    wait: async (ms) => void waits.push(ms),
    elapsed: () => performance.now(),
    ...changes,
  })
  t.after(() => registry.close())
  return { registry, waits }
}

const basic = { kind: 'basic', username: 'ann', password: new Secret(password) } as const

function header(request: RudeRequest, name: string): string | undefined {
  return request.headers.find(([each]) => each === name)?.[1]
}

async function all<T>(list: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of list) items.push(item)
  return items
}

function isProblem(problem: RemoteProblem): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof RemoteError, String(error))
    assert.equal(error.problem, problem, error.message)
    assert.ok(!error.message.includes(password))
    return true
  }
}

test('lists are read to their last page', async (t) => {
  const service = await serve(t)
  service.behave(({ target }) => {
    if (target === '/v2/_catalog?n=1000') {
      const headers = { Link: '</v2/_catalog?n=1000&last=b>; rel="next"' }
      return { status: 200, headers, body: '{"repositories":["a","b"]}' }
    }
    if (target.startsWith('/v2/_catalog')) return { status: 200, body: '{"repositories":["c"]}' }
    if (target.startsWith('/v2/c/tags')) return { status: 200, body: '{"name":"c","tags":null}' }
    if (target.startsWith('/v2/a/tags')) return { status: 200, body: '{"tags":["v1","v2"]}' }
    return { status: 404 }
  })
  const { registry } = open(t, service.url)
  assert.deepEqual(await all(registry.repositories()), ['a', 'b', 'c'])
  assert.deepEqual(await all(registry.tags('a')), ['v1', 'v2'])
  assert.deepEqual(await all(registry.tags('c')), [])
  assert.deepEqual(await all(registry.tags('gone')), [])
})

test('a next page that leads to another host, or to itself, is not followed', async (t) => {
  const service = await serve(t)
  const { registry } = open(t, service.url)
  for (const link of ['<https://evil.example/v2/_catalog>', '</v2/_catalog?n=1000>']) {
    const headers = { Link: `${link}; rel="next"` }
    service.behave({ status: 200, headers, body: '{"repositories":["a"]}' })
    await assert.rejects(all(registry.repositories()), isProblem('malformed'))
  }
})

test('a list that is absent, a number or too long is told apart', async (t) => {
  const service = await serve(t)
  const { registry } = open(t, service.url)
  service.behave({ status: 404 })
  await assert.rejects(all(registry.repositories()), isProblem('absent'))
  service.behave({ status: 200, body: '{"repositories":5}' })
  await assert.rejects(all(registry.repositories()), isProblem('malformed'))
  service.behave({ status: 200, body: 'hello' })
  await assert.rejects(all(registry.repositories()), isProblem('malformed'))
  service.behave({ status: 200, body: 'x'.repeat(4097) })
  await assert.rejects(registry.manifest('a', 'v1'), isProblem('malformed'))
})

test('the referrers tag stands in where there is no referrers list', async (t) => {
  const service = await serve(t)
  const list = JSON.stringify({
    manifests: [{ digest: 'sha256:1' }, {}, 7, { digest: 'sha256:2' }],
  })
  service.behave(({ target }) => {
    return target.includes('/manifests/sha256-abab') ? { status: 200, body: list } : { status: 404 }
  })
  const { registry } = open(t, service.url)
  assert.deepEqual(await registry.referrers('a', digest), ['sha256:1', 'sha256:2'])
  service.behave({ status: 404 })
  assert.deepEqual(await registry.referrers('a', digest), [])
})

test('what is busy is asked again, as late as it says, and not for ever', async (t) => {
  const service = await serve(t)
  const { registry, waits } = open(t, service.url)
  let asked = 0
  service.behave(() => {
    asked += 1
    if (asked === 1) return { status: 429, headers: { 'Retry-After': '7' } }
    if (asked === 2) return { status: 503, headers: { 'Retry-After': '99999' } }
    return asked === 3 ? { status: 502 } : { status: 200, body: '{}' }
  })
  assert.ok(await registry.manifest('a', 'v1'))
  assert.deepEqual(waits, [7000, 60_000, 8000])
  asked = 0
  service.behave({ status: 503 })
  await assert.rejects(registry.manifest('a', 'v1'), isProblem('unavailable'))
})

for (const manner of rudeManners) {
  test(`a registry that ${manner} is unavailable or malformed, and nothing hangs`, async (t) => {
    const service = await serve(t)
    const { registry } = open(t, service.url, { timeoutMs: 300 })
    service.behave(manner)
    const signal = AbortSignal.timeout(20_000)
    await assert.rejects(registry.manifest('a', 'v1', signal), (error) => {
      assert.ok(error instanceof RemoteError, `${manner}: ${String(error)}`)
      assert.ok(['unavailable', 'malformed'].includes(error.problem), error.message)
      return true
    })
  })
}

test('an order to stop ends a request that hangs', async (t) => {
  const service = await serve(t)
  const { registry } = open(t, service.url, { timeoutMs: 60_000 })
  service.behave('never answers')
  const stop = new AbortController()
  const asked = registry.manifest('a', 'v1', stop.signal)
  stop.abort(new Error('enough'))
  await assert.rejects(asked, /enough/)
})

test('a blob goes on where it was cut, also where ranges are not known', async (t) => {
  const service = await serve(t)
  const { registry } = open(t, service.url)
  const text = '0123456789'
  service.behave((request) => {
    const from = Number(/bytes=(\d+)-/.exec(header(request, 'range') ?? '')?.[1] ?? 0)
    const headers = { 'Content-Range': `bytes ${from}-9/10` }
    return from === 0
      ? { status: 200, body: text }
      : { status: 206, headers, body: text.slice(from) }
  })
  const read = async (offset: number): Promise<string> => {
    const blob = await registry.blob('a', digest, { offset })
    assert.ok(blob)
    const bytes = Buffer.concat(await all(blob.body))
    assert.equal(blob.size, bytes.length)
    return bytes.toString()
  }
  assert.equal(await read(0), text)
  assert.equal(await read(4), '456789')
  service.behave({ status: 200, body: text })
  assert.equal(await read(4), '456789')
  service.behave({ status: 206, headers: { 'Content-Range': 'bytes 2-9/10' }, body: '23456789' })
  await assert.rejects(read(4), isProblem('malformed'))
  service.behave({ status: 404 })
  assert.equal(await registry.blob('a', digest), undefined)
})

test('credentials do not follow a redirect to another origin', async (t) => {
  const service = await serve(t)
  const store = await serve(t)
  store.behave({ status: 200, body: 'bytes' })
  service.behave((request) => {
    if (header(request, 'authorization') === undefined) {
      return { status: 401, headers: { 'WWW-Authenticate': 'Basic realm="x"' } }
    }
    return { status: 307, headers: { Location: `${store.url}/signed?key=1` } }
  })
  const { registry } = open(t, service.url, { auth: basic })
  const blob = await registry.blob('a', digest)
  assert.ok(blob)
  assert.equal(Buffer.concat(await all(blob.body)).toString(), 'bytes')
  assert.equal(store.requests.length, 1)
  assert.equal(header(store.requests[0] as RudeRequest, 'authorization'), undefined)
})

test('a redirect that never ends, or leaves HTTP, is refused', async (t) => {
  const service = await serve(t)
  const { registry } = open(t, service.url)
  for (const Location of ['/again', 'file:///etc/passwd', 'http://192.0.2.1/', 'http://[']) {
    service.behave({ status: 302, headers: { Location } })
    await assert.rejects(registry.blob('a', digest), isProblem('malformed'), Location)
  }
})

test('a password goes to no realm that others could listen to', async (t) => {
  const service = await serve(t)
  const { registry } = open(t, service.url, { auth: basic })
  for (const realm of ['http://192.0.2.1/token', 'ftp://127.0.0.1/token', '/token', '']) {
    const challenge = realm === '' ? 'Bearer service="x"' : `Bearer realm="${realm}"`
    service.behave({ status: 401, headers: { 'WWW-Authenticate': challenge } })
    await assert.rejects(registry.manifest('a', 'v1'), (error) => {
      assert.ok(error instanceof RemoteError)
      return ['unauthorized', 'malformed'].includes(error.problem)
    })
  }
})

test('a registry that refuses every token is asked no more than a few times', async (t) => {
  const service = await serve(t)
  const { registry } = open(t, service.url, { auth: basic })
  let tokens = 0
  service.behave(({ target }) => {
    if (!target.startsWith('/token')) {
      const challenge = `Bearer realm="${service.url}/token",service="x"`
      return { status: 401, headers: { 'WWW-Authenticate': challenge } }
    }
    tokens += 1
    return { status: 200, body: JSON.stringify({ token: `t${tokens}` }) }
  })
  await assert.rejects(registry.manifest('a', 'v1'), isProblem('unauthorized'))
  assert.ok(tokens <= 3, `${tokens} tokens`)
})

test('without TLS only this host is believed, unless the operator says so', () => {
  const options = { name: 'other', timeoutMs: 1, connectionsMax: 1, manifestBytesMax: 1 }
  const parts = { wait: async () => {}, elapsed: () => 0 }
  const openAt = (url: string, changes = {}): RemoteRegistry =>
    openRemoteRegistry({ ...options, ...parts, url, ...changes })
  assert.throws(() => openAt('http://registry.example'), /without TLS/)
  assert.throws(() => openAt('https://registry.example/v2'), /without a path/)
  assert.throws(
    () => openAt('http://registry.example', { allowPlainHttp: true, auth: basic }),
    /without TLS/,
  )
  assert.ok(openAt('http://registry.example', { allowPlainHttp: true }))
})

const users = `
[auth.token_service]
[auth.identity.ann]
username = "ann"
password = ${JSON.stringify(hashPassword(password))}
[global.access_policy]
default = "deny"
rules = ["identity.username != null"]
`
const store = '[server]\nport = 0\n[blob_store.memory]\n[metadata_store.memory]\n'

test('a Keelson is read with its tokens, and not without a password', async (t) => {
  const server = await startServer({ base: store, toml: users })
  t.after(() => server.stop())
  const client = new RegistryClient(server.url)
  t.after(() => client.close())
  const { registry } = open(t, server.url, { auth: basic })
  assert.deepEqual(await all(registry.repositories()), [])
  assert.equal(await registry.manifest('a', 'v1'), undefined)
  assert.equal(await registry.blob('a', digest), undefined)
  const stranger = open(t, server.url).registry
  await assert.rejects(all(stranger.repositories()), isProblem('unauthorized'))
  const liar = { ...basic, password: new Secret('wrong') }
  await assert.rejects(
    open(t, server.url, { auth: liar }).registry.manifest('a', 'v1'),
    isProblem('unauthorized'),
  )
})

// Goal: two processes on one store are one registry: what either has acknowledged the other serves at once,
// and one session never has two writers. And an exclusive store is served by one process, living.
// Method: requests to two servers in turn, over kept connections; bodies held back half-way.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { adminCall, poll, type Status } from '../http/product.ts'
import { seededBytes } from '../support/images.ts'
import { RawConnection } from '../support/raw-http.ts'
import {
  assertRefused,
  assertStatus,
  digestOf,
  locationOf,
  RegistryClient,
} from '../support/registry-client.ts'
import { type Server, startServer } from '../support/server.ts'

const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const chains = 8
const comparisons = 5000

interface Side {
  readonly server: Server
  readonly client: RegistryClient
  readonly socket: string
}

async function startSide(rootDir: string, name: string): Promise<Side> {
  const socket = join(rootDir, `${name}.sock`)
  const server = await startSharing(rootDir, 'shared', socket)
  return { server, client: new RegistryClient(server.url), socket }
}

/** Each of several needs an admin socket of its own. */
function startSharing(rootDir: string, sharing: string, socket: string): Promise<Server> {
  const toml = `[storage]\nsharing = "${sharing}"\n[admin]\nsocket = ${JSON.stringify(socket)}\n`
  return startServer({ rootDir, toml })
}

interface Scene {
  readonly rootDir: string
  /** Killed after the test, if it still runs. */
  readonly servers: Server[]
}

async function openScene(t: TestContext): Promise<Scene> {
  const rootDir = await mkdtemp(join(tmpdir(), 'keelson-two-'))
  const servers: Server[] = []
  t.after(async () => {
    for (const server of servers) server.kill()
    for (const server of servers) await server.exited
    await rm(rootDir, { recursive: true, force: true })
  })
  return { rootDir, servers }
}

function manifestOf(config: string, size: number, number: string): Buffer {
  const descriptor = { mediaType: 'application/octet-stream', digest: config, size }
  const annotations = { number }
  return Buffer.from(
    JSON.stringify({
      ...{ schemaVersion: 2, mediaType: manifestType, config: descriptor },
      ...{ layers: [], annotations },
    }),
  )
}

describe('two processes on one store', () => {
  let rootDir = ''
  let sides: readonly [Side, Side]

  before(async () => {
    rootDir = await mkdtemp(join(tmpdir(), 'keelson-two-'))
    sides = [await startSide(rootDir, 'a'), await startSide(rootDir, 'b')]
  })

  after(async () => {
    for (const { client, server } of sides) {
      client.close()
      assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.log.join('\n'))
    }
    await rm(rootDir, { recursive: true, force: true })
  })

  /** One tag, one manifest and one blob after the other: written here, asked for there. */
  async function chain(number: number, count: number): Promise<void> {
    const repository = `two/chain-${number}`
    const config = await sides[0].client.pushBlob(repository, Buffer.from('{}'))
    for (let i = 0, done = 0; done < count; i++) {
      const [{ client: here }, { client: there }] = i % 2 === 0 ? sides : [sides[1], sides[0]]
      const bytes = manifestOf(config, 2, `${number}-${i}`)
      const digest = digestOf(bytes)
      const tag = `/v2/${repository}/manifests/moving`
      const put = await here.putManifest(repository, 'moving', bytes, manifestType)
      assertStatus(put.answer, 201)
      const pulled = assertStatus(await there.get(tag), 200)
      assert.ok(pulled.body.equals(bytes), `stale tag, ${i} of chain ${number}`)
      done += 1
      if (i % 4 !== 3) continue
      // What the other side has just read, and may have kept, is taken away here.
      assertStatus(
        await here.delete(i % 8 === 3 ? tag : `/v2/${repository}/manifests/${digest}`),
        202,
      )
      assertRefused(await there.get(tag), 404, 'MANIFEST_UNKNOWN')
      done += 1
    }
  }

  test(`${comparisons} times a write and its 201 in one, at once a GET in the other: 0 stale`, async (t) => {
    const begun = performance.now()
    const each = Math.ceil(comparisons / chains)
    await Promise.all(Array.from({ length: chains }, (_, number) => chain(number, each)))
    t.diagnostic(`${each * chains} comparisons in ${Math.round(performance.now() - begun)} ms`)
  })

  test('a blob that is deleted in one is gone in the other, and back when it is pushed again', async () => {
    const [a, b] = sides
    const bytes = seededBytes('deleted in one', 3000)
    const path = `/v2/two/deleted/blobs/${digestOf(bytes)}`
    for (let i = 0; i < 50; i++) {
      await a.client.pushBlob('two/deleted', bytes)
      assert.ok(assertStatus(await b.client.get(path), 200).body.equals(bytes))
      assertStatus(await b.client.head(path), 200)
      assertStatus(await a.client.delete(path), 202)
      assertRefused(await b.client.get(path), 404, 'BLOB_UNKNOWN')
      assertStatus(await b.client.head(path), 404)
    }
  })

  for (const way of ['streamed', 'chunked'] as const) {
    test(`a ${way} session goes from one to the other between its requests`, async () => {
      const [a, b] = sides
      const bytes = seededBytes(`handed over ${way}`, 900_000)
      const [one, two] = [300_000, 600_000]
      const range = (from: number, to: number) => {
        return way === 'chunked' ? `${from}-${to - 1}` : undefined
      }
      const location = await a.client.startUpload('two/session')
      const patches = [
        [b, 0, one],
        [a, one, two],
        [b, two, bytes.length],
      ] as const
      for (const [side, from, to] of patches) {
        const patched = await side.client.patch(location, bytes.subarray(from, to), range(from, to))
        assertStatus(patched, 202)
        const other = side === a ? b : a
        const status = assertStatus(await other.client.get(location), 204)
        assert.equal(status.headers['range'], `0-${to - 1}`)
      }
      assertStatus(await a.client.finish(location, digestOf(bytes)), 201)
      const path = `/v2/two/session/blobs/${digestOf(bytes)}`
      assert.ok(assertStatus(await b.client.get(path), 200).body.equals(bytes))
      assertRefused(await b.client.get(location), 404, 'BLOB_UPLOAD_UNKNOWN')
    })
  }

  test('while one writes a session the other answers 409, and no byte gets between', async () => {
    const [a, b] = sides
    const bytes = seededBytes('two writers', 1_200_000)
    const half = bytes.length / 2
    const junk = Buffer.alloc(half, 'junk')
    const location = await a.client.startUpload('two/writers')
    const first = await a.client.patch(location, bytes.subarray(0, half))
    assertStatus(first, 202)
    const writer = await RawConnection.open(a.server.port)
    const head = `PATCH ${location} HTTP/1.1\r\nHost: a\r\nContent-Length: ${half}\r\n\r\n`
    writer.write(head, bytes.subarray(half, half + 400_000))
    await writer.flushed()
    await untilWriting(a)
    for (const answer of [
      await b.client.patch(location, junk),
      await b.client.patch(location, [junk]),
      await b.client.finish(location, digestOf(bytes), bytes.subarray(half)),
      await b.client.finish(location, digestOf(bytes.subarray(0, half))),
      await b.client.delete(location),
    ]) {
      assertRefused(answer, 409, 'BLOB_UPLOAD_INVALID')
    }
    const status = assertStatus(await b.client.get(location), 204)
    assert.equal(status.headers['range'], `0-${half - 1}`)
    writer.write(bytes.subarray(half + 400_000))
    assert.equal((await writer.reply()).status, 202)
    writer.close()
    assertStatus(await b.client.finish(location, digestOf(bytes)), 201)
    const pulled = await a.client.get(`/v2/two/writers/blobs/${digestOf(bytes)}`)
    assert.ok(assertStatus(pulled, 200).body.equals(bytes))
  })
})

/** A body is on its way into `side`, so that it holds the session. */
async function untilWriting(side: Side): Promise<void> {
  await poll('a body is being received', async () => {
    const { body } = await adminCall(side.socket, '/status')
    const { ingest } = JSON.parse(body) as Status
    return ingest.receiving === 1 ? true : undefined
  })
}

test('a session of a killed process goes on in the other at once', async (t) => {
  const { rootDir, servers } = await openScene(t)
  const a = await startSide(rootDir, 'a')
  servers.push(a.server)
  const b = await startSide(rootDir, 'b')
  servers.push(b.server)
  const bytes = seededBytes('of a killed one', 1_000_000)
  const location = locationOf(await a.client.call('POST', '/v2/two/killed/blobs/uploads/'))
  assertStatus(await a.client.patch(location, bytes.subarray(0, 400_000)), 202)
  const writer = await RawConnection.open(a.server.port)
  writer.write(`PATCH ${location} HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n`)
  writer.write(Buffer.alloc(500_000, 'junk'))
  await writer.flushed()
  await untilWriting(a)
  a.server.kill()
  await a.server.exited
  const status = assertStatus(await b.client.get(location), 204)
  assert.equal(status.headers['range'], '0-399999')
  assertStatus(await b.client.patch(location, bytes.subarray(400_000), '400000-999999'), 202)
  assertStatus(await b.client.finish(location, digestOf(bytes)), 201)
  const pulled = await b.client.get(`/v2/two/killed/blobs/${digestOf(bytes)}`)
  assert.ok(assertStatus(pulled, 200).body.equals(bytes))
  for (const { client } of [a, b]) client.close()
})

for (const [held, wanted] of [
  ['exclusive', 'exclusive'],
  ['exclusive', 'shared'],
  ['shared', 'exclusive'],
] as const) {
  test(`a store held as ${held} is refused to a server that wants it ${wanted}, till the holder is gone`, async (t) => {
    const { rootDir, servers } = await openScene(t)
    const start = (sharing: string, name: string): Promise<Server> => {
      return startSharing(rootDir, sharing, join(rootDir, name))
    }
    const holder = await start(held, 'a')
    servers.push(holder)
    const refusal = await start(wanted, 'b').then(
      () => assert.fail('two processes hold the store'),
      (error: Error) => error.message,
    )
    assert.match(refusal, /ended before it was ready \(code 1\)/)
    assert.match(refusal, new RegExp(`is in use by process ${holder.pid} \\(${held}, since `))
    // Still there, and unharmed by the attempt.
    const client = new RegistryClient(holder.url)
    const digest = await client.pushBlob('held/store', Buffer.from('held'))
    client.close()
    holder.kill()
    await holder.exited
    const next = await start(wanted, 'b')
    servers.push(next)
    assert.ok(next.log.some((line) => line.includes(`taken over from process ${holder.pid}`)))
    const after = new RegistryClient(next.url)
    assertStatus(await after.get(`/v2/held/store/blobs/${digest}`), 200)
    after.close()
    assert.deepEqual(await next.stop(), { code: 0, signal: null })
  })
}

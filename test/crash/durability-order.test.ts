// Goal: a 201 is sent when a power loss can take nothing any more. Method: strace shows the order of
// writes, syncs, links and the reply; a server with durability "none" must fail the same assertions.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { assertStatus, digestOf, locationOf, RegistryClient } from '../support/registry-client.ts'
import { startServer } from '../support/server.ts'
import { needsStrace } from '../support/strace.ts'
import { assertBlobIsDurable, assertManifestIsDurable } from './durable-order.ts'
import { type Call, readTrace, straceArgs } from './trace.ts'

interface Pushed {
  readonly name: string
  readonly kind: 'blob' | 'manifest'
  readonly digest: string
}

const traceable = await needsStrace()
const repository = 'order/one'
const sizes = [5, 300_000]

/** Every way to push, one after the other and then several at once. */
async function pushEverything(client: RegistryClient): Promise<readonly Pushed[]> {
  const pushed: Pushed[] = []
  for (const size of sizes) {
    for (const way of ways) pushed.push(await way(client, seededBytes(`${way.name}`, size)))
  }
  const config = pushed[0]!.digest
  pushed.push(await putManifest(client, config, 0))
  const together = Array.from({ length: 12 }, (_, i) =>
    i % 4 === 3
      ? putManifest(client, config, i)
      : ways[i % ways.length]!(client, seededBytes(`together ${i}`, 1000 * (i + 1))),
  )
  return [...pushed, ...(await Promise.all(together))]
}

async function postAndPut(client: RegistryClient, bytes: Buffer): Promise<Pushed> {
  const digest = await client.pushBlob(repository, bytes)
  return { name: `POST and PUT of ${bytes.length}`, kind: 'blob', digest }
}

async function stream(client: RegistryClient, bytes: Buffer): Promise<Pushed> {
  const digest = digestOf(bytes)
  const location = await client.startUpload(repository)
  const patched = assertStatus(await client.patch(location, [bytes]), 202)
  assertStatus(await client.finish(locationOf(patched), digest), 201)
  return { name: `stream of ${bytes.length}`, kind: 'blob', digest }
}

async function chunks(client: RegistryClient, bytes: Buffer): Promise<Pushed> {
  const digest = digestOf(bytes)
  const half = Math.floor(bytes.length / 2)
  const location = await client.startUpload(repository)
  assertStatus(await client.patch(location, bytes.subarray(0, half), `0-${half - 1}`), 202)
  const rest = `${half}-${bytes.length - 1}`
  assertStatus(await client.finish(location, digest, bytes.subarray(half), rest), 201)
  return { name: `chunks of ${bytes.length}`, kind: 'blob', digest }
}

async function singlePost(client: RegistryClient, bytes: Buffer): Promise<Pushed> {
  const digest = digestOf(bytes)
  const target = `/v2/${repository}/blobs/uploads/?digest=${digest}`
  assertStatus(await client.call('POST', target, { body: bytes }), 201)
  return { name: `single POST of ${bytes.length}`, kind: 'blob', digest }
}

const ways = [postAndPut, stream, chunks, singlePost]

async function putManifest(client: RegistryClient, config: string, i: number): Promise<Pushed> {
  const type = 'application/vnd.oci.image.manifest.v1+json'
  const manifest = {
    schemaVersion: 2,
    mediaType: type,
    config: { mediaType: 'application/octet-stream', digest: config, size: sizes[0] },
    layers: [],
    annotations: { number: String(i) },
  }
  const { digest, answer } = await client.putManifest(repository, `tag-${i}`, manifest)
  assertStatus(answer, 201)
  return { name: `manifest ${i}`, kind: 'manifest', digest }
}

function assertDurable(calls: readonly Call[], { kind, digest }: Pushed): void {
  if (kind === 'blob') assertBlobIsDurable(calls, digest)
  else assertManifestIsDurable(calls, repository, digest)
}

interface Traced {
  readonly calls: readonly Call[]
  readonly pushed: readonly Pushed[]
}

async function traced(toml: string): Promise<Traced> {
  const dir = await mkdtemp(join(tmpdir(), 'keelson-order-'))
  try {
    const file = join(dir, 'trace')
    const wrap = ['strace', ...straceArgs, '-o', file]
    const server = await startServer({ wrap, toml })
    const client = new RegistryClient(server.url)
    const pushed = await pushEverything(client)
    client.close()
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
    return { calls: await readTrace(file), pushed }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

for (const transport of ['uws', 'node'] as const) {
  describe(`what a 201 waits for, ${transport}`, traceable, () => {
    let run: Traced | undefined
    before(async () => {
      run = await traced(`[server]\ntransport = "${transport}"\n`)
    })
    test('data, then its link, then both directories, then metadata, then the 201', () => {
      assert.ok(run)
      for (const pushed of run.pushed) assertDurable(run.calls, pushed)
    })
  })
}

describe('durability "none"', traceable, () => {
  let run: Traced | undefined
  before(async () => {
    run = await traced('[storage]\ndurability = "none"\n')
  })
  test('fails every one of these assertions, so that they can fail', () => {
    assert.ok(run)
    for (const pushed of run.pushed) {
      assert.throws(() => assertDurable(run!.calls, pushed), /not synced|meta page/, pushed.name)
    }
  })
})

// Goal: a full disk refuses what does not fit and harms nothing else: what is there is served, what was
// begun goes on when there is room again, and nothing is committed by halves. Method: servers whose blobs,
// or whose metadata, lie on a small tmpfs with ballast in it.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { seededBytes } from '../support/images.ts'
import {
  type Answer,
  assertRefused,
  assertStatus,
  digestOf,
  locationOf,
  RegistryClient,
} from '../support/registry-client.ts'
import { type Server, startServer } from '../support/server.ts'
import { needsTmpfs, withTmpfs } from '../support/small-tmpfs.ts'
import { type Disk, diskAt } from './ballast.ts'

const mib = 1 << 20
// What happens where something else has taken the last bytes.
const noReserve = '[storage]\nreserve = "0B"\n'
const repository = 'disk/full'
const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const small = seededBytes('small', 2 * mib)
const large = seededBytes('large', 12 * mib)
const largeDigest = digestOf(large)

/** A server with its root directory on a disk of 24 MiB. */
function withServer(
  body: (server: Server, client: RegistryClient, disk: Disk) => Promise<void>,
  end: 'SIGTERM' | 'SIGKILL' = 'SIGTERM',
): Promise<void> {
  return withTmpfs(24 * mib, async (path) => {
    const server = await startServer({ rootDir: join(path, 'data'), toml: noReserve })
    const client = new RegistryClient(server.url)
    try {
      await body(server, client, diskAt(path))
      client.close()
      const exit = end === 'SIGTERM' ? { code: 0, signal: null } : { code: null, signal: end }
      assert.deepEqual(await server.stop(), exit, server.log.join('\n'))
    } finally {
      client.close()
      server.kill()
      await server.exited
    }
  })
}

async function assertHeld(client: RegistryClient, bytes: Buffer): Promise<void> {
  const answer = await client.get(`/v2/${repository}/blobs/${digestOf(bytes)}`)
  assert.ok(assertStatus(answer, 200).body.equals(bytes))
}

async function assertAbsent(client: RegistryClient, digest: string): Promise<void> {
  const answer = await client.get(`/v2/${repository}/blobs/${digest}`)
  assertRefused(answer, 404, 'BLOB_UNKNOWN')
}

const ways: Readonly<Record<string, (client: RegistryClient) => Promise<Answer>>> = {
  'a single POST': (client) => {
    const target = `/v2/${repository}/blobs/uploads/?digest=${largeDigest}`
    return client.call('POST', target, { body: large })
  },
  'POST and PUT': async (client) => {
    return client.finish(await client.startUpload(repository), largeDigest, large)
  },
  'a stream': async (client) => {
    const pieces = Array.from({ length: 24 }, (_, i) => large.subarray(i * mib, (i + 1) * mib))
    return client.patch(await client.startUpload(repository), pieces)
  },
  'a chunk': async (client) => {
    const location = await client.startUpload(repository)
    return client.patch(location, large, `0-${large.length - 1}`)
  },
}

for (const [name, push] of Object.entries(ways)) {
  test(
    `a blob that does not fit, by ${name}, is refused, and leaves the room to others`,
    needsTmpfs,
    () =>
      withServer(async (_server, client, disk) => {
        await client.pushBlob(repository, small)
        await disk.leave(5 * mib)
        for (let i = 0; i < 3; i++) {
          assertRefused(await push(client), 507, 'STORAGE_FULL')
          await assertAbsent(client, largeDigest)
          await assertHeld(client, small)
        }
        const other = seededBytes(`other after ${name}`, 2 * mib)
        await client.pushBlob(repository, other)
        await assertHeld(client, other)
        await disk.leave(16 * mib)
        await client.pushBlob(repository, large)
        await assertHeld(client, large)
      }),
  )
}

for (const [name, range] of [
  ['streamed', undefined],
  ['chunked', `${mib}-${large.length - 1}`],
] as const) {
  test(`a ${name} session that met a full disk goes on where it stood`, needsTmpfs, () =>
    withServer(async (_server, client, disk) => {
      const first = range === undefined ? undefined : `0-${mib - 1}`
      const location = await client.startUpload(repository)
      assertStatus(await client.patch(location, large.subarray(0, mib), first), 202)
      await disk.leave(4 * mib)
      const rest = large.subarray(mib)
      for (const refused of [
        await client.patch(location, rest, range),
        await client.finish(location, largeDigest, rest, range),
      ]) {
        assertRefused(refused, 507, 'STORAGE_FULL')
        const status = assertStatus(await client.get(location), 204)
        assert.equal(status.headers['range'], `0-${mib - 1}`)
      }
      await assertAbsent(client, largeDigest)
      await disk.leave(16 * mib)
      const patched = assertStatus(await client.patch(location, rest, range), 202)
      assertStatus(await client.finish(locationOf(patched), largeDigest), 201)
      await assertHeld(client, large)
    }),
  )
}

test(
  'a server that was killed on a full disk starts on it, and serves what is there',
  needsTmpfs,
  () =>
    withServer(async (first, client, disk) => {
      await client.pushBlob(repository, small)
      const location = await client.startUpload(repository)
      assertStatus(await client.patch(location, large.subarray(0, mib)), 202)
      await disk.leave(0)
      first.kill()
      await first.exited
      const server = await startServer({ rootDir: first.rootDir, toml: noReserve })
      const next = new RegistryClient(server.url)
      try {
        await assertHeld(next, small)
        const status = assertStatus(await next.get(location), 204)
        assert.equal(status.headers['range'], `0-${mib - 1}`)
        const refused = await next.patch(location, large.subarray(mib))
        assertRefused(refused, 507, 'STORAGE_FULL')
        await disk.leave(16 * mib)
        assertStatus(await next.patch(location, large.subarray(mib)), 202)
        assertStatus(await next.finish(location, largeDigest), 201)
        await assertHeld(next, large)
      } finally {
        next.close()
        server.kill()
        await server.exited
      }
    }, 'SIGKILL'),
)

interface Pushed {
  readonly tag: string
  readonly bytes: Buffer
}

/** Until one does not fit: those that were acknowledged. */
async function pushManifests(client: RegistryClient, config: string): Promise<Pushed[]> {
  const pushed: Pushed[] = []
  for (let i = 0; ; i++) {
    assert.ok(i < 200, 'the disk is never full')
    const manifest = manifestOf(config, i)
    const { bytes, answer } = await client.putManifest(repository, `tag-${i}`, manifest)
    if (answer.status !== 201) {
      assertRefused(answer, 507, 'STORAGE_FULL')
      return pushed
    }
    pushed.push({ tag: `tag-${i}`, bytes })
  }
}

function manifestOf(config: string, number: number): object {
  return {
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: 'application/octet-stream', digest: config, size: 2 },
    layers: [],
    annotations: { filling: seededBytes(`manifest ${number}`, 40_000).toString('hex') },
  }
}

async function assertServes(client: RegistryClient, pushed: readonly Pushed[]): Promise<void> {
  for (const { tag, bytes } of pushed) {
    const answer = await client.get(`/v2/${repository}/manifests/${tag}`)
    assert.ok(assertStatus(answer, 200).body.equals(bytes), tag)
  }
  const next = await client.get(`/v2/${repository}/manifests/tag-${pushed.length}`)
  assertRefused(next, 404, 'MANIFEST_UNKNOWN')
}

test(
  'full metadata takes no more manifests, serves those it has, and goes on when there is room',
  needsTmpfs,
  () =>
    withTmpfs(8 * mib, async (path) => {
      const rootDir = await mkdtemp(join(tmpdir(), 'keelson-full-'))
      const metadata = JSON.stringify(join(path, 'metadata'))
      const options = { rootDir, toml: `${noReserve}[metadata_store.lmdb]\npath = ${metadata}\n` }
      let server = await startServer(options)
      let client = new RegistryClient(server.url)
      try {
        const disk = diskAt(path)
        await disk.leave(3 * mib)
        const config = await client.pushBlob(repository, Buffer.from('{}'))
        const pushed = await pushManifests(client, config)
        assert.ok(pushed.length > 5)
        await assertServes(client, pushed)
        // A process that is killed now finds the same, with the disk as full as it is.
        client.close()
        server.kill()
        await server.exited
        server = await startServer(options)
        client = new RegistryClient(server.url)
        await assertServes(client, pushed)
        await disk.leave(2 * mib)
        const { bytes, answer } = await client.putManifest(
          repository,
          `tag-${pushed.length}`,
          manifestOf(config, pushed.length),
        )
        assertStatus(answer, 201)
        await assertServes(client, [...pushed, { tag: `tag-${pushed.length}`, bytes }])
        client.close()
        assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.log.join('\n'))
      } finally {
        client.close()
        server.kill()
        await server.exited
        await rm(rootDir, { recursive: true, force: true })
      }
    }),
)

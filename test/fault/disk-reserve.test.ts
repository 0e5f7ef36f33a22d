// Goal: a disk that is down to its reserve takes no push and goes on with everything else, what has begun
// ends well, and with room again pushes go on, without a restart. Method: servers on a small tmpfs with
// ballast in it, by both transports.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { adminCall, poll } from '../http/product.ts'
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
import { gatedBody } from './gated-body.ts'

const mib = 1 << 20
const repository = 'disk/reserve'
const blob = seededBytes('blob', 2 * mib)
const manifestType = 'application/vnd.oci.image.manifest.v1+json'

interface Scene {
  readonly server: Server
  readonly client: RegistryClient
  readonly disk: Disk
  admin(path: string): Promise<{ readonly status: number; readonly body: string }>
  /** Leave so much, and wait until the server knows on which side of the reserve that is. */
  leave(bytes: number, isLow: boolean): Promise<void>
}

/** The reserve is 16 MiB of 64. */
function withServer(transport: string, body: (scene: Scene) => Promise<void>): Promise<void> {
  return withTmpfs(64 * mib, async (path) => {
    const rootDir = join(path, 'data')
    const toml = `[server]\ntransport = "${transport}"\n[storage]\nreserve = "16MiB"\n`
    const server = await startServer({ rootDir, toml })
    const client = new RegistryClient(server.url)
    const disk = diskAt(path)
    const admin = (path: string): ReturnType<typeof adminCall> =>
      adminCall(join(rootDir, '_keelson', 'admin.sock'), path)
    const leave = async (bytes: number, isLow: boolean): Promise<void> => {
      await disk.leave(bytes)
      await poll('the server knows of it', async () => {
        const { disks } = JSON.parse((await admin('/status')).body) as {
          disks: { isLow: boolean; disks: { freeBytes: number }[] }
        }
        const isMeasured = Math.abs((disks.disks[0]?.freeBytes ?? 0) - bytes) < 3 * mib
        return (disks.isLow === isLow && isMeasured) || undefined
      })
    }
    try {
      await body({ server, client, disk, admin, leave })
      client.close()
      assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.log.join('\n'))
    } finally {
      client.close()
      server.kill()
      await server.exited
    }
  })
}

function assertNoRoom(answer: Answer): void {
  assertRefused(answer, 507, 'STORAGE_FULL')
  assert.match(answer.headers['retry-after'] ?? '', /^\d+$/)
}

function manifestOf(config: string): object {
  return {
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: 'application/octet-stream', digest: config, size: blob.length },
    layers: [],
  }
}

for (const transport of ['auto', 'node']) {
  describe(`a disk down to its reserve, transport ${transport}`, () => {
    test('takes no push, and serves, deletes and cancels; then pushes go on', needsTmpfs, () =>
      withServer(transport, async ({ server, client, admin, leave }) => {
        const digest = await client.pushBlob(repository, blob)
        const { answer } = await client.putManifest(repository, 'before', manifestOf(digest))
        assertStatus(answer, 201)
        const begun = await client.startUpload(repository)
        assertStatus(await client.patch(begun, blob.subarray(0, mib), `0-${mib - 1}`), 202)
        const cancelled = await client.startUpload(repository)
        await leave(12 * mib, true)

        const uploads = `/v2/${repository}/blobs/uploads/`
        const other = digestOf(seededBytes('other', 100))
        const body = seededBytes('other', 100)
        const pushes: Readonly<Record<string, Promise<Answer>>> = {
          start: client.call('POST', uploads),
          whole: client.call('POST', `${uploads}?digest=${other}`, { body }),
          chunk: client.patch(begun, blob.subarray(mib), `${mib}-${2 * mib - 1}`),
          stream: client.patch(cancelled, [body, body]),
          'end with a body': client.finish(begun, digest, blob.subarray(mib)),
          mount: client.call(
            'POST',
            `/v2/disk/target/blobs/uploads/?mount=${digest}&from=${repository}`,
          ),
          manifest: client
            .putManifest(repository, 'after', manifestOf(digest))
            .then((pushed) => pushed.answer),
        }
        for (const push of Object.values(pushes)) assertNoRoom(await push)

        const pulled = await client.get(`/v2/${repository}/blobs/${digest}`)
        assert.ok(assertStatus(pulled, 200).body.equals(blob))
        assertStatus(await client.get(`/v2/${repository}/manifests/before`), 200)
        const held = `/v2/${repository}/blobs/uploads/?mount=${digest}&from=${repository}`
        assertStatus(await client.call('POST', held), 201)
        const status = assertStatus(await client.get(begun), 204)
        assert.equal(status.headers['range'], `0-${mib - 1}`)
        assertStatus(await client.delete(cancelled), 204)
        assertStatus(await client.delete(`/v2/${repository}/manifests/before`), 202)
        await assertNotReady(admin)

        // Between the reserve and an eighth more nothing changes.
        await leave(17 * mib, true)
        assertNoRoom(await client.call('POST', uploads))
        await leave(30 * mib, false)
        const rest = await client.patch(begun, blob.subarray(mib), `${mib}-${2 * mib - 1}`)
        assertStatus(await client.finish(locationOf(assertStatus(rest, 202)), digest), 201)
        await client.pushBlob(repository, body)
        const told = server.log.filter((line) =>
          /storage\.reserve is reached|there is room/.test(line),
        )
        assert.equal(told.length, 2, told.join('\n'))
      }),
    )

    test('refuses a body that would not fit before any of it is stored', needsTmpfs, () =>
      withServer(transport, async ({ client, admin, leave }) => {
        await leave(24 * mib, false)
        const large = seededBytes('large', 12 * mib)
        const digest = digestOf(large)
        const location = await client.startUpload(repository)
        assertNoRoom(await client.patch(location, large))
        assertNoRoom(await client.finish(location, digest, large))
        assertNoRoom(
          await client.call('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, {
            body: large,
          }),
        )
        const { ingest } = JSON.parse((await admin('/status')).body) as {
          ingest: { bytesReceived: number }
        }
        assert.equal(ingest.bytesReceived, 0)
        await client.pushBlob(repository, blob)
        await leave(40 * mib, false)
        assertStatus(await client.finish(location, digest, large), 201)
      }),
    )

    test('lets what has begun use half of it, and cuts what would use more', needsTmpfs, () =>
      withServer(transport, async ({ client, leave, disk }) => {
        const fits = seededBytes('fits', 6 * mib)
        const whole = await client.startUpload(repository)
        assertStatus(await client.patch(whole, fits), 202)
        await leave(18 * mib, false)
        const gate = gatedBody()
        const location = await client.startUpload(repository)
        const streamed = client.patch(location, gate.body)
        gate.feed(seededBytes('first', mib))
        gate.drip()
        await leave(15 * mib, true)
        assertNoRoom(await client.call('POST', `/v2/${repository}/blobs/uploads/`))
        // All its bytes are here, so its end takes nothing.
        assertStatus(await client.finish(whole, digestOf(fits)), 201)
        gate.feed(seededBytes('second', 2 * mib))
        gate.end()
        const finished = locationOf(assertStatus(await streamed, 202))
        const digest = digestOf(gate.fed())
        assertStatus(await client.finish(finished, digest), 201)

        await disk.leave(18 * mib)
        await leave(20 * mib, false)
        const endless = gatedBody()
        const cut = await client.startUpload(repository)
        const refused = client.patch(cut, endless.body)
        for (let i = 0; i < 16; i++) endless.feed(seededBytes(`piece ${i}`, mib))
        assertNoRoom(await refused)
        endless.end()
        const status = assertStatus(await client.get(cut), 204)
        assert.equal(status.headers['range'], '0-0')
      }),
    )
  })
}

async function assertNotReady(admin: Scene['admin']): Promise<void> {
  const { status, body } = await poll('it is not ready', async () => {
    const answer = await admin('/readyz')
    return answer.status === 503 ? answer : undefined
  })
  assert.equal(status, 503)
  const { checks } = JSON.parse(body) as { checks: { name: string; ok: boolean; reason: string }[] }
  const failed = checks.filter(({ ok }) => !ok)
  assert.deepEqual(
    failed.map(({ name }) => name),
    ['disk'],
  )
  assert.match(
    failed[0]?.reason ?? '',
    /^pushes are refused: blobs and metadata: 1\d(\.\d)? MiB free/,
  )
}

test('what was refused is counted', needsTmpfs, () =>
  withServer('auto', async ({ client, leave, admin }) => {
    await leave(12 * mib, true)
    for (let i = 0; i < 3; i++) {
      assertNoRoom(await client.call('POST', `/v2/${repository}/blobs/uploads/`))
    }
    const { body } = await admin('/status')
    assert.equal((JSON.parse(body) as { disks: { refused: number } }).disks.refused, 3)
  }),
)

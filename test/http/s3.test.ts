// Goal: a registry whose blobs are in a bucket serves, survives a kill, collects garbage, finds damage, and never takes
// a bucket that is away, or the wrong one, for blobs that are gone. Method: the built product, a real S3 server, and
// the bucket's own files to look at and to damage.

import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { parseDigest } from '../../src/oci/digest.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'
import { newUploadId } from '../../src/oci/upload-id.ts'
import { putObject } from '../../src/s3/objects.ts'
import { openLmdbMetadataStore } from '../../src/storage/metadata/lmdb/open.ts'
import { openS3Scene } from '../storage/blob/s3/scene.ts'
import { type Ran, runCommand } from '../support/command-line.ts'
import {
  assertRefused,
  assertStatus,
  digestOf,
  locationOf,
  RegistryClient,
} from '../support/registry-client.ts'
import { type Server, type ServerOptions, startServer } from '../support/server.ts'
import { needsVersitygw, S3Server, s3Keys } from '../support/versitygw.ts'
import { adminCall, poll } from './product.ts'

const mib = 1024 * 1024
const root = 'some/prefix/docker/registry/v2'

class Site {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'keelson-s3-site-'))
  readonly s3: S3Server
  bucket: string
  #server: Server | undefined
  #client: RegistryClient | undefined

  constructor(s3: S3Server, bucket: string) {
    this.s3 = s3
    this.bucket = bucket
  }

  get server(): Server {
    assert.ok(this.#server, 'the server runs')
    return this.#server
  }

  get client(): RegistryClient {
    assert.ok(this.#client, 'the server runs')
    return this.#client
  }

  get configuration(): string {
    return `
[server]
port = 0
[admin]
socket = ${JSON.stringify(join(this.folder, 'admin.sock'))}
[blob_store.s3]
endpoint = "${this.s3.endpoint}"
bucket = "${this.bucket}"
prefix = "/some/prefix/"
path_style = true
access_key_id = "${s3Keys.accessKeyId}"
secret_access_key = "${s3Keys.secretAccessKey}"
part_size = "5MiB"
attempt_timeout = "20s"
attempts_max = 2
breaker_failures = 2
breaker_cooldown = "200ms"
[metadata_store.lmdb]
path = ${JSON.stringify(join(this.folder, 'metadata'))}
[gc]
every = "0s"
restore_window = "0s"
[global.access_policy]
default = "allow"
`
  }

  async start(options: ServerOptions = {}): Promise<void> {
    const rootDir = join(this.folder, 'root')
    this.#server = await startServer({ base: this.configuration, rootDir, ...options })
    this.#client = new RegistryClient(this.#server.url)
  }

  async stop(): Promise<void> {
    this.#client?.close()
    const exit = await this.server.stop()
    assert.deepEqual(exit, { code: 0, signal: null }, this.server.log.slice(-20).join('\n'))
  }

  async crash(): Promise<void> {
    this.#client?.close()
    this.server.kill()
    await this.server.exited
  }

  run(...args: readonly string[]): Promise<Ran> {
    const file = join(this.folder, 'config.toml')
    writeFileSync(file, this.configuration)
    return runCommand(['-c', file, ...args], this.folder)
  }

  admin(target: string): Promise<{ readonly status: number; readonly body: string }> {
    return adminCall(join(this.folder, 'admin.sock'), target)
  }

  overwrite(digest: string, bytes: Uint8Array): Promise<void> {
    const [, hex = ''] = digest.split(':')
    return this.s3.overwrite(this.bucket, keyOf(hex), bytes)
  }

  /** A blob that nothing names, with a lease that ended an hour ago. No server may run. */
  async leave(bytes: Uint8Array): Promise<string> {
    const digest = parseDigest(digestOf(bytes))
    const repository = parseRepositoryName('app')
    assert.ok(digest && repository)
    const scene = openS3Scene(this.s3.endpoint, this.bucket, { prefix: 'some/prefix' })
    const upload = newUploadId(randomUUID)
    await scene.stage(upload, bytes)
    await scene.store.publish(upload, digest, bytes.length)
    await scene.store.discard(upload)
    await scene.close()
    const metadata = await openLmdbMetadataStore({
      ...{ path: join(this.folder, 'metadata'), durability: 'none', sharing: 'exclusive' },
      now: Date.now,
    })
    const leaseUntilMs = Date.now() - 3_600_000
    const size = bytes.length
    await metadata.linkBlob({ repository, digest, size, leaseUntilMs, quotas: [] })
    await metadata.close()
    return digest
  }

  async blobs(): Promise<readonly string[]> {
    const keys = await this.s3.keys(this.bucket)
    return keys.filter((key) => key.startsWith(`${root}/blobs/`))
  }
}

function keyOf(hex: string): string {
  return `${root}/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`
}

describe('blobs in a bucket', needsVersitygw, () => {
  let site: Site
  before(async () => {
    const s3 = await S3Server.start()
    site = new Site(s3, await s3.bucket())
    await site.start()
  })
  after(async () => {
    await site?.stop()
    await site?.s3.stop()
    if (site) rmSync(site.folder, { recursive: true, force: true })
  })

  const large = randomBytes(12 * mib + 7)
  const digest = digestOf(large)

  test('what was pushed is pulled, whole and in ranges, and lies where docker-registry has it', async () => {
    const { client } = site
    await client.pushBlob('app', large)
    assert.deepEqual(await site.blobs(), [keyOf(digest.slice(7))])
    const whole = assertStatus(await client.get(`/v2/app/blobs/${digest}`), 200)
    assert.ok(whole.body.equals(large))
    const head = assertStatus(await client.head(`/v2/app/blobs/${digest}`), 200)
    assert.equal(head.headers['content-length'], String(large.length))
    const range = await client.get(`/v2/app/blobs/${digest}`, { Range: 'bytes=6000000-6000099' })
    assert.ok(assertStatus(range, 206).body.equals(large.subarray(6_000_000, 6_000_100)))
    const several = await client.get(`/v2/app/blobs/${digest}`, { Range: 'bytes=10-19,5-6' })
    assert.ok(assertStatus(several, 206).body.includes(large.subarray(10, 20)))
    for (const bytes of [new Uint8Array(0), randomBytes(10)]) {
      await client.pushBlob('app', bytes)
      const got = await client.get(`/v2/app/blobs/${digestOf(bytes)}`)
      assert.ok(assertStatus(got, 200).body.equals(bytes))
    }
    const staged = (await site.s3.keys(site.bucket)).filter((key) => key.includes('/uploads/'))
    assert.ok(staged.length <= 3, staged.join('\n'))
  })

  test('wrong bytes are asked for their digest, and refused', async () => {
    const { client } = site
    const location = locationOf(
      assertStatus(await client.patch(await client.startUpload('app'), randomBytes(6 * mib)), 202),
    )
    assertRefused(await client.finish(location, digest), 400, 'DIGEST_INVALID')
  })

  test('an upload goes on after its server was killed', async () => {
    const bytes = randomBytes(13 * mib)
    let location = await site.client.startUpload('app')
    const cuts = [0, 3 * mib, 6 * mib]
    for (const [i, from] of cuts.entries()) {
      const to = cuts[i + 1] ?? 9 * mib
      const answer = await site.client.patch(location, bytes.subarray(from, to))
      location = locationOf(assertStatus(answer, 202))
      await site.crash()
      await site.start()
      location = `${site.server.url}${new URL(location, site.server.url).pathname}`
    }
    const done = await site.client.finish(location, digestOf(bytes), bytes.subarray(9 * mib))
    assertStatus(done, 201)
    const got = await site.client.get(`/v2/app/blobs/${digestOf(bytes)}`)
    assert.ok(assertStatus(got, 200).body.equals(bytes))
  })

  test('garbage collection removes what nothing refers to, and nothing else', async () => {
    const bytes = randomBytes(6 * mib)
    await site.stop()
    const left = await site.leave(bytes)
    await site.start()
    const { client } = site
    const before = await site.blobs()
    assert.ok(before.includes(keyOf(left.slice(7))))
    assertStatus(await client.get(`/v2/app/blobs/${left}`), 200)
    for (let i = 0; i < 2; i++) {
      const { code, out, err } = await site.run('gc')
      assert.equal(code, 0, `${out}${err}`)
    }
    const after = before.filter((key) => key !== keyOf(left.slice(7)))
    assert.deepEqual(await site.blobs(), after)
    assertRefused(await client.get(`/v2/app/blobs/${left}`), 404, 'BLOB_UNKNOWN')
    assertStatus(await client.get(`/v2/app/blobs/${digest}`), 200)
    await client.pushBlob('app', bytes)
    const again = await client.get(`/v2/app/blobs/${left}`)
    assert.ok(assertStatus(again, 200).body.equals(bytes))
  })

  test('other bytes under a digest are cut before their end, counted, and found by a scrub', async () => {
    const { client } = site
    const bytes = randomBytes(3 * mib)
    await client.pushBlob('damaged', bytes)
    const clean = await site.run('scrub')
    assert.equal(clean.code, 0, `${clean.out}${clean.err}`)
    const wrong = Buffer.from(bytes)
    wrong[5] = (wrong[5] ?? 0) ^ 1
    await site.overwrite(digestOf(bytes), wrong)
    await assert.rejects(client.get(`/v2/damaged/blobs/${digestOf(bytes)}`))
    const { body } = await site.admin('/metrics')
    assert.match(body, /^keelson_s3_wrong_blobs_total [1-9]/m)
    assert.match(body, /^keelson_s3_requests_total\{operation="UploadPart",result="ok"\} [1-9]/m)
    assert.match(
      body,
      /^keelson_s3_request_duration_seconds_count\{operation="CompleteMultipartUpload"\} [1-9]/m,
    )
    await site.run('scrub')
    assertRefused(await client.get(`/v2/damaged/blobs/${digestOf(bytes)}`), 404, 'BLOB_UNKNOWN')
    await client.pushBlob('damaged', bytes)
    const again = await client.get(`/v2/damaged/blobs/${digestOf(bytes)}`)
    assert.ok(assertStatus(again, 200).body.equals(bytes))
  })

  test('while the bucket is away what needs it is 503, and never absent', async () => {
    const { client } = site
    const bytes = randomBytes(200_000)
    await client.pushBlob('away', bytes)
    await site.s3.crash()
    assertRefused(await client.get(`/v2/away/blobs/${digestOf(bytes)}`), 503, 'UNAVAILABLE')
    const patched = await client.patch(await client.startUpload('away'), bytes)
    assertRefused(patched, 503, 'UNAVAILABLE')
    await site.s3.start()
    // What found it away may have opened a circuit, which stays open for up to 300 ms.
    const got = await poll('the circuit is closed', async () => {
      const answer = await client.get(`/v2/away/blobs/${digestOf(bytes)}`)
      return answer.status === 503 ? undefined : answer
    })
    assert.ok(assertStatus(got, 200).body.equals(bytes))
  })

  test('another bucket is refused, and so is one whose records are away', async () => {
    await site.stop()
    const { bucket } = site
    site.bucket = await site.s3.bucket()
    await assert.rejects(site.start(), /is not the blob store of these records/)
    assert.deepEqual(await site.s3.keys(site.bucket), [])
    const stranger = new Site(site.s3, bucket)
    await assert.rejects(stranger.start(), /there are no records of them/)
    rmSync(stranger.folder, { recursive: true, force: true })
    site.bucket = bucket
    await site.start()
  })

  test("a bucket of docker-registry is adopted, and keeps its blobs; keys may be the environment's", async () => {
    const adopting = new Site(site.s3, await site.s3.bucket())
    const bytes = randomBytes(1000)
    const scene = openS3Scene(site.s3.endpoint, adopting.bucket)
    await putObject(scene.bucket, keyOf(digestOf(bytes).slice(7)), bytes)
    const link = `${root}/repositories/app/_layers/sha256/link`
    await putObject(scene.bucket, link, Buffer.from(digestOf(bytes)))
    await scene.close()
    const { accessKeyId, secretAccessKey } = s3Keys
    await adopting.start({
      base: adopting.configuration.replace(/^(access_key_id|secret_access_key) = .*\n/gm, ''),
      env: { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey },
    })
    assert.ok(adopting.server.log.some((line) => line.includes('import --take-over')))
    assert.match((await adopting.run('gc')).out, /nothing is condemned or destroyed: .* adopted/)
    // Its bytes are there already, so that those that are pushed are the same object.
    await adopting.client.pushBlob('app', bytes)
    const got = await adopting.client.get(`/v2/app/blobs/${digestOf(bytes)}`)
    assert.ok(assertStatus(got, 200).body.equals(bytes))
    await adopting.stop()
    rmSync(adopting.folder, { recursive: true, force: true })
  })

  test('a backup of a bucket is whole, grows by what is new, and is restored to a directory', async () => {
    const { client } = site
    const bytes = randomBytes(7 * mib)
    await client.pushBlob('backed-up', bytes)
    const to = join(site.folder, 'backup')
    mkdirSync(to)
    for (const expected of [/blobs/, /0 blobs/]) {
      const made = await site.run('backup', 'create', '--to', to)
      assert.equal(made.code, 0, made.out)
      assert.match(made.out, expected)
    }
    const verified = await site.run('backup', 'verify', to)
    assert.equal(verified.code, 0, verified.out)
    const rootDir = join(site.folder, 'restored')
    const file = join(site.folder, 'restored.toml')
    writeFileSync(
      file,
      `[blob_store.fs]\nroot_dir = ${JSON.stringify(rootDir)}\n[global.access_policy]\n`,
    )
    const restored = await runCommand(['-c', file, 'backup', 'restore', to], site.folder)
    assert.equal(restored.code, 0, restored.out)
    const server = await startServer({ rootDir })
    const other = new RegistryClient(server.url)
    const got = await other.get(`/v2/backed-up/blobs/${digestOf(bytes)}`)
    assert.ok(assertStatus(got, 200).body.equals(bytes))
    other.close()
    assert.equal((await server.stop()).code, 0)
    const again = new Site(site.s3, await site.s3.bucket())
    const filled = await again.run('backup', 'restore', to)
    assert.equal(filled.code, 0, filled.out + filled.err)
    await again.start()
    const from = await again.client.get(`/v2/backed-up/blobs/${digestOf(bytes)}`)
    assert.ok(assertStatus(from, 200).body.equals(bytes))
    await again.stop()
    rmSync(again.folder, { recursive: true, force: true })
  })

  test('the doctor asks the bucket, and tells what is wrong with it', async () => {
    const well = await site.run('doctor')
    assert.match(well.out, /127\.0\.0\.1:\d+\/bucket-\d+ answers in/)
    const { bucket } = site
    site.bucket = 'nowhere-to-be-found'
    const ill = await site.run('doctor')
    site.bucket = bucket
    assert.match(ill.out, /NoSuchBucket/)
  })

  test('the server is not ready while the bucket is away', async () => {
    assert.equal((await site.admin('/readyz')).status, 200)
    await site.s3.crash()
    await untilReady(503)
    await untilCircuits((open) => open > 0)
    const answer = await site.client.get(`/v2/app/blobs/${digest}`)
    assertRefused(answer, 503, 'UNAVAILABLE')
    assert.ok(answer.headers['retry-after'] !== undefined)
    await site.s3.start()
    await untilReady(200)
    // Each client has to try by itself, and only those do that are asked for something.
    await untilCircuits(
      (open) => open === 0,
      async () => {
        await site.client.get(`/v2/app/blobs/${digest}`)
        await site.client.pushBlob('app', randomBytes(10)).catch(() => undefined)
      },
    )
    assertStatus(await site.client.get(`/v2/app/blobs/${digest}`), 200)
  })

  /** As metrics and status tell them, which have to agree. */
  async function untilCircuits(
    is: (open: number) => boolean,
    use: () => Promise<void> = async () => undefined,
  ): Promise<void> {
    await poll(
      'the circuits are as expected',
      async () => {
        await use()
        const { body } = await site.admin('/metrics')
        const open = Number(/^keelson_s3_circuit_open (\d+)$/m.exec(body)?.[1])
        const { bucket } = JSON.parse((await site.admin('/status')).body)
        return (is(open) && is(bucket.circuitsOpen)) || undefined
      },
      60_000,
    )
  }

  async function untilReady(status: number): Promise<void> {
    const found = async () => (await site.admin('/readyz')).status === status || undefined
    await poll(`/readyz is ${status}`, found, 60_000)
  }
})

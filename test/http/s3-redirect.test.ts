// Goal: a pull of a large blob is answered with a URL of the bucket that works, after everything that a served pull
// passes, and the URL is in no log. Method: the built product on both transports beside a real S3 server, and the
// clients that people use.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import {
  assertRefused,
  assertStatus,
  digestOf,
  RegistryClient,
} from '../support/registry-client.ts'
import { run } from '../support/run.ts'
import { type Server, startServer } from '../support/server.ts'
import { needs } from '../support/tools.ts'
import { needsVersitygw, S3Server, s3Keys } from '../support/versitygw.ts'
import { adminCall, poll } from './product.ts'

const mib = 1024 * 1024
const large = randomBytes(3 * mib)
const digest = digestOf(large)
const small = randomBytes(1000)

for (const transport of ['uws', 'node']) {
  describe(`redirects to the bucket, on ${transport}`, needsVersitygw, () => {
    const folder = mkdtempSync(join(tmpdir(), 'keelson-s3-redirect-'))
    let s3: S3Server
    let bucket: string
    let server: Server
    let client: RegistryClient

    async function start(more = ''): Promise<void> {
      const base = `
[server]
port = 0
transport = "${transport}"
[log]
access = "all"
level = "debug"
[admin]
socket = ${JSON.stringify(join(folder, 'admin.sock'))}
[blob_store.s3]
endpoint = "${s3.endpoint}"
bucket = "${bucket}"
path_style = true
access_key_id = "${s3Keys.accessKeyId}"
secret_access_key = "${s3Keys.secretAccessKey}"
redirect = true
${more}
[metadata_store.lmdb]
path = ${JSON.stringify(join(folder, 'metadata'))}
[global.access_policy]
default = "allow"
[repository."closed".access_policy]
default = "deny"
`
      server = await startServer({ base, rootDir: join(folder, 'root') })
      client = new RegistryClient(server.url)
    }
    async function stop(): Promise<void> {
      client?.close()
      const exit = await server.stop()
      assert.deepEqual(exit, { code: 0, signal: null }, server.log.slice(-20).join('\n'))
      // What gives its bearer the bytes is for him alone.
      assert.ok(!server.log.some((line) => /X-Amz|Signature/i.test(line)))
    }

    before(async () => {
      s3 = await S3Server.start()
      bucket = await s3.bucket()
      await start()
      await client.pushBlob('app', large)
      await client.pushBlob('app', small)
    })
    after(async () => {
      await stop()
      await s3?.stop()
      rmSync(folder, { recursive: true, force: true })
    })

    test('it leads to the bytes, whole or a range of them, and to nothing else', async () => {
      const answer = assertStatus(await client.get(`/v2/app/blobs/${digest}`), 307)
      assert.equal(answer.body.length, 0)
      assert.equal(answer.headers['docker-content-digest'], digest)
      assert.equal(answer.headers['cache-control'], 'no-store')
      const location = answer.headers['location'] ?? ''
      const expires = Number(new URL(location).searchParams.get('X-Amz-Expires'))
      assert.equal(expires, 300)
      const got = await fetch(location)
      assert.equal(got.status, 200)
      assert.ok(Buffer.from(await got.arrayBuffer()).equals(large))
      const part = await fetch(location, { headers: { Range: 'bytes=10-19' } })
      assert.equal(part.status, 206)
      assert.ok(Buffer.from(await part.arrayBuffer()).equals(large.subarray(10, 20)))
      const other = location.replace(digest.slice(7), digestOf(small).slice(7))
      assert.equal((await fetch(other)).status, 403)
      assert.equal((await fetch(location, { method: 'DELETE' })).status, 403)
    })

    test('HEAD, small blobs, ranges, what the client has, and unproven clients are answered here', async () => {
      const target = `/v2/app/blobs/${digest}`
      const head = assertStatus(await client.head(target), 200)
      assert.equal(head.headers['content-length'], String(large.length))
      const whole = assertStatus(await client.get(`/v2/app/blobs/${digestOf(small)}`), 200)
      assert.ok(whole.body.equals(small))
      const range = assertStatus(await client.get(target, { Range: 'bytes=5-9' }), 206)
      assert.ok(range.body.equals(large.subarray(5, 10)))
      assertStatus(await client.get(target, { 'If-None-Match': `"${digest}"` }), 304)
      const far = { Range: `bytes=${large.length}-` }
      assertRefused(await client.get(target, far), 416, 'RANGE_INVALID')
      for (const name of ['X-Forwarded-For', 'Forwarded']) {
        const served = assertStatus(await client.get(target, { [name]: '192.0.2.1' }), 200)
        assert.ok(served.body.equals(large))
      }
    })

    test('what may not be pulled is not redirected, and each redirect is counted', async () => {
      const refused = await client.get(`/v2/closed/blobs/${digest}`)
      assert.equal(refused.status, 401)
      assert.equal(refused.headers['location'], undefined)
      assertRefused(await client.get(`/v2/other/blobs/${digest}`), 404, 'BLOB_UNKNOWN')
      await poll('the figures of redirects', async () => {
        const { body } = await adminCall(join(folder, 'admin.sock'), '/metrics')
        return /^keelson_s3_redirects_total [1-9]/m.test(body) || undefined
      })
    })

    test('curl follows, and skopeo pulls an image', needs('curl', 'skopeo'), async () => {
      const out = join(folder, 'blob')
      const url = `${server.url}/v2/app/blobs/${digest}`
      await run('curl', ['--silent', '--fail', '-L', '-o', out, url])
      assert.ok((await readFile(out)).equals(large))
      const config = Buffer.from(
        JSON.stringify({
          architecture: 'amd64',
          os: 'linux',
          rootfs: { type: 'layers', diff_ids: [digest] },
        }),
      )
      await client.pushBlob('app', config)
      const described = (mediaType: string, bytes: Uint8Array): object => ({
        ...{ mediaType, digest: digestOf(bytes), size: bytes.length },
      })
      const mediaType = 'application/vnd.oci.image.manifest.v1+json'
      await client.putManifest('app', 'latest', {
        ...{ schemaVersion: 2, mediaType },
        config: described('application/vnd.oci.image.config.v1+json', config),
        layers: [described('application/vnd.oci.image.layer.v1.tar', large)],
      })
      const layout = join(folder, 'layout')
      await mkdir(layout)
      const policy = join(folder, 'policy.json')
      await writeFile(policy, '{"default":[{"type":"insecureAcceptAnything"}]}')
      await run('skopeo', [
        ...['--policy', policy, 'copy', '--preserve-digests', '--src-tls-verify=false'],
        ...[`docker://${server.host}/app:latest`, `dir:${layout}`],
      ])
      assert.ok((await readdir(layout)).includes(digest.slice(7)))
      assert.ok((await readFile(join(layout, digest.slice(7)))).equals(large))
    })

    test('other networks are served, ranges are redirected where that is asked for, an endpoint of its own is named', async () => {
      await stop()
      await start('redirect_networks = ["192.0.2.0/24"]')
      assertStatus(await client.get(`/v2/app/blobs/${digest}`), 200)
      await stop()
      const more = ['redirect_ranges = true', 'redirect_endpoint = "https://public.test:444"']
      await start([...more, 'redirect_expiry = "1h"', 'redirect_min_size = "0B"'].join('\n'))
      const range = await client.get(`/v2/app/blobs/${digest}`, { Range: 'bytes=5-9' })
      const { location = '' } = assertStatus(range, 307).headers
      assert.ok(location.startsWith(`https://public.test:444/${bucket}/docker/`), location)
      assert.equal(new URL(location).searchParams.get('X-Amz-Expires'), '3600')
    })

    test('a blob that the bucket does not have is no redirect, but the fault that it is', async () => {
      await stop()
      const [, hex = ''] = digest.split(':')
      const folder = 'docker/registry/v2/blobs/sha256'
      await s3.remove(bucket, `${folder}/${hex.slice(0, 2)}/${hex}/data`)
      await start()
      const answer = await client.get(`/v2/app/blobs/${digest}`)
      assert.ok(answer.status >= 500, String(answer.status))
      assert.equal(answer.headers['location'], undefined)
    })
  })
}

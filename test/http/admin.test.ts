// Goal: health and status are there for the service's own user, on a socket that nobody else can
// open, and nowhere else. Method: the socket's mode and its answers, beside the public listener.
import assert from 'node:assert/strict'
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { RawConnection } from '../support/raw-http.ts'
import { assertRefused, assertStatus } from '../support/registry-client.ts'
import { startServer } from '../support/server.ts'
import { adminCall, Product, poll, temporaryFolder, useProduct } from './product.ts'

function socketOf(product: Product): string {
  return join(product.server.rootDir, '_keelson', 'admin.sock')
}

describe('admin socket', () => {
  const product = useProduct()

  test('only its owner can reach it', async () => {
    const found = await stat(socketOf(product))
    assert.ok(found.isSocket())
    assert.equal(found.mode & 0o777, 0o600)
    assert.equal(found.uid, process.getuid?.())
  })

  test('/healthz and /readyz answer 200', async () => {
    const healthy = await product.admin('/healthz')
    assert.equal(healthy.status, 200)
    const { status, ...busy } = JSON.parse(healthy.body) as Readonly<Record<string, unknown>>
    assert.equal(status, 'ok')
    assert.deepEqual(Object.keys(busy).sort(), ['loopDelayMs', 'loopUtilization'])
    const ready = await product.admin('/readyz')
    const { checks, ...told } = JSON.parse(ready.body) as { checks: readonly { ok: boolean }[] }
    assert.deepEqual([ready.status, told], [200, { status: 'ready' }])
    assert.ok(checks.length > 4 && checks.every(({ ok }) => ok), ready.body)
  })

  test('/status counts sessions and requests as they come and go', async () => {
    assert.equal((await product.status()).pid, product.server.pid)
    const location = await product.client.startUpload('counted')
    assert.equal((await product.status()).uploadsOpen, 1)
    const connection = await RawConnection.open(product.server.port)
    connection.write(`PATCH ${location} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf`)
    const isBusy = (figure: number) => (status: { requestsInFlight: number }) =>
      status.requestsInFlight === figure
    await product.untilStatus('one request', isBusy(1))
    connection.reset()
    await product.untilStatus('no request', isBusy(0))
    assertStatus(await product.client.delete(location), 204)
    const { uploadsOpen, ingest } = await product.status()
    assert.deepEqual([uploadsOpen, ingest.receiving, ingest.slabBytesInUse], [0, 0, 0])
  })

  test('it answers nothing else', async () => {
    for (const path of ['/', '//', '/v2/', '/metrics/../x', '/status/', '/toString', 'http://[']) {
      assert.equal((await product.admin(path)).status, 404, path)
    }
    for (const method of ['POST', 'PUT', 'DELETE']) {
      assert.equal((await adminCall(socketOf(product), '/status', method)).status, 405)
    }
  })

  test('the public listener knows of it only what policies can be asked about', async () => {
    for (const path of ['/status', '/usage', '/tokens', '/decisions', '/v2/healthz', '/metrics/']) {
      assertRefused(await product.client.get(path), 404, 'ROUTE_UNKNOWN')
    }
  })

  test('a store that cannot be written is not ready, and is again when it can', async () => {
    const uploads = join(product.server.rootDir, '_keelson', 'uploads')
    await rename(uploads, `${uploads}.away`)
    const until = (status: number): Promise<true> =>
      poll(`/readyz says ${status}`, async () => {
        return (await product.admin('/readyz')).status === status || undefined
      })
    await until(503)
    assert.equal((await product.admin('/healthz')).status, 200)
    await rename(`${uploads}.away`, uploads)
    await until(200)
  })
})

describe('admin socket of a server that was killed', () => {
  const folder = temporaryFolder()

  test('is replaced by the next server, and that of a living one is not', async () => {
    // Named in the configuration this time, as an operator may.
    const socket = join(folder.path, 'elsewhere.sock')
    const options = { rootDir: folder.path, toml: `[admin]\nsocket = ${JSON.stringify(socket)}\n` }
    const first = new Product()
    await first.start(options)
    assert.equal((await adminCall(socket, '/healthz')).status, 200)
    assert.equal((await stat(socket)).mode & 0o777, 0o600)
    first.client.close()
    first.server.kill()
    await first.server.exited
    assert.ok((await stat(socket)).isSocket())
    const second = new Product()
    await second.start(options)
    const status = async (): Promise<unknown> =>
      JSON.parse((await adminCall(socket, '/status')).body).pid
    assert.equal(await status(), second.server.pid)
    await assert.rejects(startServer(options), /lock|in use|another/i)
    assert.equal(await status(), second.server.pid)
    await second.stop()
    await assert.rejects(stat(socket), { code: 'ENOENT' })
  })

  test('a file that is no socket is left alone', async () => {
    const file = join(folder.path, 'notes.txt')
    await writeFile(file, 'keep me')
    const toml = `[admin]\nsocket = ${JSON.stringify(file)}\n`
    await assert.rejects(startServer({ toml }), /no socket/)
    assert.equal(await readFile(file, 'utf8'), 'keep me')
  })
})

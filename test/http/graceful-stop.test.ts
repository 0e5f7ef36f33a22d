// Goal: SIGTERM ends the server without cutting what it has begun, and not later than it was told.
// Method: requests held open from outside while the signal comes; then they go on, or do not.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { describe, test } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { RawConnection } from '../support/raw-http.ts'
import { assertStatus, digestOf } from '../support/registry-client.ts'
import { until, within } from '../support/until.ts'
import { Product, poll, setups, temporaryFolder } from './product.ts'

const bytes = seededBytes('graceful-stop', 4_000_000)
const digest = digestOf(bytes)
const half = 2_000_000
// More than the kernel's buffers hold, so that the server is not done before it is read.
const large = seededBytes('graceful-stop', 16_000_000)
const largeDigest = digestOf(large)
const clean = { code: 0, signal: null }

/** The server has noticed the signal: it takes no new connection. */
async function untilRefusing(port: number): Promise<void> {
  await poll('new connections are refused', async () => {
    const socket = connect({ port, host: '127.0.0.1' })
    const refused = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(false))
      socket.once('error', () => resolve(true))
    })
    socket.destroy()
    return refused || undefined
  })
}

async function beginBody(product: Product, line: string): Promise<RawConnection> {
  const connection = await RawConnection.open(product.server.port)
  connection.write(`${line} HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes.length}\r\n\r\n`)
  connection.write(bytes.subarray(0, half))
  await connection.flushed()
  return connection
}

/** Kept connections, and those that never sent a byte, with a session open besides. */
async function assertIdleHoldsNothingUp(product: Product): Promise<void> {
  const idle = await RawConnection.open(product.server.port)
  idle.write('GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n')
  assert.equal((await idle.reply()).status, 200)
  const silent = await RawConnection.open(product.server.port)
  await product.client.startUpload('idle')
  process.kill(product.server.pid, 'SIGTERM')
  assert.deepEqual(await within('the end', product.server.exited, 5000), clean)
  await until('both closed', () => idle.isOver && silent.isOver)
  product.client.close()
}

async function assertSecondSignalEnds(product: Product): Promise<void> {
  const location = await product.client.startUpload('twice')
  const stuck = await beginBody(product, `PATCH ${location}`)
  await product.untilStatus('the body', ({ ingest }) => ingest.receiving === 1)
  process.kill(product.server.pid, 'SIGTERM')
  await untilRefusing(product.server.port)
  process.kill(product.server.pid, 'SIGTERM')
  const exit = await within('the end', product.server.exited, 5000)
  assert.deepEqual(exit, { code: null, signal: 'SIGTERM' })
  await stuck.over()
  product.client.close()
}

for (const setup of setups('alone', 'node')) {
  describe(`graceful stop, ${setup.name}`, () => {
    const folder = temporaryFolder()

    async function begin(shutdownTimeout: string): Promise<Product> {
      const product = new Product()
      const transport = setup.name === 'node' ? 'transport = "node"\n' : ''
      const toml = `[server]\n${transport}shutdown_timeout = "${shutdownTimeout}"\n`
      await product.start({ toml, rootDir: folder.path })
      return product
    }

    test('requests in flight are finished, new connections refused, idle ones closed', async () => {
      const product = await begin('20s')
      const location = await product.client.startUpload('streamed')
      const session = await product.client.startUpload('closed')
      const patch = await beginBody(product, `PATCH ${location}`)
      const put = await beginBody(product, `PUT ${session}?digest=${digest}`)
      await product.client.pushBlob('pulled', large)
      const pull = await product.client.open('GET', `/v2/pulled/blobs/${largeDigest}`)
      pull.pause()
      await product.untilStatus('both bodies', ({ ingest }) => ingest.receiving === 2)
      process.kill(product.server.pid, 'SIGTERM')
      await untilRefusing(product.server.port)
      // A reload that comes too late is no reason to drop them.
      process.kill(product.server.pid, 'SIGHUP')
      patch.write(bytes.subarray(half))
      put.write(bytes.subarray(half))
      for (const [connection, status] of [
        [patch, 202],
        [put, 201],
      ] as const) {
        const reply = await connection.reply()
        assert.equal(reply.status, status)
        assert.equal(reply.headers['connection'], 'close')
        await connection.over()
      }
      const chunks: Buffer[] = []
      for await (const chunk of pull) chunks.push(chunk as Buffer)
      assert.equal(digestOf(Buffer.concat(chunks)), largeDigest)
      assert.deepEqual(await within('the end', product.server.exited), clean)

      const next = await begin('20s')
      assertStatus(await next.client.get(`/v2/closed/blobs/${digest}`), 200)
      const standing = assertStatus(await next.client.get(location), 204)
      assert.equal(standing.headers['range'], `0-${bytes.length - 1}`)
      assertStatus(await next.client.finish(location, digest), 201)
      await assertIdleHoldsNothingUp(next)
    })

    test('shutdown_timeout cuts what has not ended by then, a second signal does at once', async () => {
      const product = await begin('300ms')
      const location = await product.client.startUpload('cut')
      const stuck = await beginBody(product, `PATCH ${location}`)
      await product.untilStatus('the body', ({ ingest }) => ingest.receiving === 1)
      const begun = performance.now()
      process.kill(product.server.pid, 'SIGTERM')
      assert.deepEqual(await within('the end', product.server.exited, 5000), clean)
      assert.ok(performance.now() - begun >= 300)
      await stuck.over()
      assert.equal(stuck.pendingBytes, 0, 'no answer')
      assert.ok(product.server.log.some((line) => line.includes('shutdown_timeout')))
      product.client.close()

      const next = await begin('20s')
      const standing = assertStatus(await next.client.get(location), 204)
      assert.equal(standing.headers['range'], '0-0')
      assertStatus(await next.client.finish(location, digest, bytes), 201)
      await assertSecondSignalEnds(next)
    })
  })
}

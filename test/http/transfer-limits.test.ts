// Goal: nobody has more uploads and pulls under way than the limits allow, what has ended in whatever
// way counts no more, and uploads come at the rate that their identity has. Method: transfers held open
// by the test, cut at random, and timed; on both transports.
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { Dice, randomFrom } from '../support/dice.ts'
import { seededBytes } from '../support/images.ts'
import { kernelBytesMax } from '../support/kernel-buffers.ts'
import { RawConnection } from '../support/raw-http.ts'
import { type Answer, assertRefused, assertStatus, digestOf } from '../support/registry-client.ts'
import { poll, setups, useProduct } from './product.ts'

const repository = 'transfer/limits'
const uploads = `/v2/${repository}/blobs/uploads/`
const counts = '[limits]\nuploads_per_identity = 3\npulls_per_identity = 2\n'
const mebibyte = 1024 * 1024

function assertFull(answer: Answer, limit: string): void {
  assert.deepEqual(assertRefused(answer, 429, 'TOOMANYREQUESTS'), { limit })
  assert.equal(answer.headers['retry-after'], '5')
}

for (const { name, toml = '' } of setups('alone', 'node')) {
  describe(`transfers at a time, ${name}`, () => {
    const product = useProduct({ toml: toml + counts })
    // More than the kernel takes from the server while nobody reads.
    const large = seededBytes('transfer', kernelBytesMax + 4 * mebibyte)
    const largeUrl = `/v2/${repository}/blobs/${digestOf(large)}`
    const small = Buffer.from('small')

    before(async () => {
      await product.client.pushBlob(repository, large)
    })

    async function open(head: string, ...body: readonly string[]): Promise<RawConnection> {
      const connection = await RawConnection.open(product.server.port)
      connection.socket.pause()
      connection.write(`${head} HTTP/1.1\r\nHost: a\r\n`, ...body)
      return connection
    }

    const openPull = (): Promise<RawConnection> => open(`GET ${largeUrl}`, '\r\n')

    async function openUpload(): Promise<RawConnection> {
      const location = await product.client.startUpload(repository)
      return open(`PATCH ${location}`, 'Content-Length: 1000\r\n\r\n', 'x'.repeat(10))
    }

    async function free(...connections: readonly RawConnection[]): Promise<void> {
      for (const connection of connections) connection.reset()
      await product.untilStatus('nothing under way', ({ requestsInFlight, ingest }) => {
        return requestsInFlight === 0 && ingest.receiving === 0
      })
    }

    async function holdUploads(): Promise<readonly RawConnection[]> {
      const held = [await openUpload(), await openUpload(), await openUpload()]
      await product.untilStatus('three uploads', ({ ingest }) => ingest.receiving === 3)
      return held
    }

    async function holdPulls(): Promise<readonly RawConnection[]> {
      const held = [await openPull(), await openPull()]
      await product.untilStatus('two pulls', ({ requestsInFlight }) => requestsInFlight === 2)
      return held
    }

    async function assertNoUpload(sessions: readonly string[]): Promise<void> {
      const limit = 'uploads_per_identity'
      for (const session of sessions) {
        assertFull(await product.client.patch(session, small), limit)
        assertFull(await product.client.patch(session, [small, small]), limit)
        assertFull(await product.client.finish(session, digestOf(small), small), limit)
      }
      assertFull(await product.client.call('POST', uploads), limit)
      const monolithic = `${uploads}?digest=${digestOf(small)}`
      assertFull(await product.client.call('POST', monolithic, { body: small }), limit)
      assertFull((await product.client.putManifest(repository, 'v1', small, 'a/b')).answer, limit)
    }

    test('one more upload than allowed is refused, and its session stands', async () => {
      const session = await product.client.startUpload(repository)
      const held = await holdUploads()
      await assertNoUpload([session])
      assertStatus(await product.client.get(session), 204)
      assertStatus(await product.client.head(largeUrl), 200)
      assertStatus(await product.client.get(largeUrl, { range: 'bytes=0-9' }), 206)
      held[0]?.socket.resume()
      held[0]?.write('x'.repeat(990))
      assert.equal((await held[0]?.reply())?.status, 202)
      assertStatus(await product.client.patch(session, small), 202)
      // A request that ends the session without a body needs no place.
      const again = await openUpload()
      await product.untilStatus('three uploads', ({ ingest }) => ingest.receiving === 3)
      assertStatus(await product.client.finish(session, digestOf(small)), 201)
      await free(again, ...held)
    })

    test('one more pull than allowed is refused, HEAD and manifests are not', async () => {
      const held = await holdPulls()
      const limit = 'pulls_per_identity'
      assertFull(await product.client.get(largeUrl), limit)
      assertFull(await product.client.get(largeUrl, { range: 'bytes=0-9' }), limit)
      assertStatus(await product.client.head(largeUrl), 200)
      assertStatus(await product.client.get(`/v2/${repository}/manifests/none`), 404)
      await product.client.pushBlob(repository, small)
      held[0]?.socket.resume()
      assert.equal((await held[0]?.reply())?.body.length, large.length)
      assertStatus(await product.client.get(largeUrl, { range: 'bytes=0-9' }), 206)
      await free(...held)
    })

    for (const seed of [1, 2]) {
      test(`transfers cut at random leave every place free, and no more (seed ${seed})`, async () => {
        const dice = new Dice(randomFrom(seed))
        for (let round = 0; round < 40; round += 1) {
          const upload = dice.chance(0.5)
          const connection = upload ? await openUpload().catch(() => undefined) : await openPull()
          if (dice.chance(0.3)) connection?.socket.resume()
          if (upload && dice.chance(0.3)) connection?.write('x'.repeat(dice.below(990)))
          const turns = dice.below(12)
          for (let turn = 0; turn < turns; turn += 1) await new Promise(setImmediate)
          if (dice.chance(0.5)) connection?.reset()
          else connection?.close()
        }
        await free()
        // Sessions that were begun while there was no place for their body.
        const session = await product.client.startUpload(repository)
        const held = [...(await holdUploads()), ...(await openBoth())]
        await assertNoUpload([session])
        assertFull(await product.client.get(largeUrl), 'pulls_per_identity')
        await free(...held)
      })
    }

    async function openBoth(): Promise<readonly RawConnection[]> {
      const held = [await openPull(), await openPull()]
      await product.untilStatus('two pulls', ({ requestsInFlight }) => requestsInFlight === 5)
      return held
    }
  })

  describe(`rate of uploads, ${name}`, () => {
    // Slower than a client may be, so that one which is cut for our own pauses would show.
    const pace = `
[server.limits]
receive_rate_min = "1MiB"
rate_grace = "1s"
stall_timeout = "1s"
[limits]
upload_rate_per_identity = "512KiB"
`
    const product = useProduct({ toml: toml + pace })
    const rate = 512 * 1024
    // What a transport may deliver in spite of a pause; the last of it is not waited for.
    const overshoot = 512 * 1024

    function assertTook(ms: number, bytes: number, bodies: number): void {
      const leastMs = ((bytes - rate - bodies * overshoot) / rate) * 1000
      const mostMs = (bytes / rate) * 1000 + 10_000
      assert.ok(ms >= leastMs && ms <= mostMs, `${bytes} bytes in ${ms} ms`)
    }

    test('one upload comes at its rate, in one piece and in chunks, and is not cut for it', async () => {
      for (const isChunked of [false, true]) {
        const bytes = seededBytes(`paced ${isChunked}`, 2.5 * mebibyte)
        const session = await product.client.startUpload(repository)
        const began = performance.now()
        const body = isChunked ? [bytes.subarray(0, 1000), bytes.subarray(1000)] : bytes
        assertStatus(await product.client.finish(session, digestOf(bytes), body), 201)
        assertTook(performance.now() - began, bytes.length, 1)
        assertStatus(await product.client.head(`/v2/${repository}/blobs/${digestOf(bytes)}`), 200)
      }
    })

    test('several uploads share the rate, and small requests pass', async () => {
      const bodies = ['a', 'b', 'c'].map((seed) => seededBytes(seed, 1.25 * mebibyte))
      const began = performance.now()
      const pushing = bodies.map((bytes) => product.client.pushBlob(repository, bytes))
      assertStatus(await product.client.get('/v2/'), 200)
      await Promise.all(pushing)
      assertTook(performance.now() - began, 3 * 1.25 * mebibyte, 3)
    })

    test('a client that leaves while it is held back leaves nothing behind', async () => {
      const session = await product.client.startUpload(repository)
      const connection = await RawConnection.open(product.server.port)
      connection.write(`PATCH ${session} HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n`)
      connection.write(Buffer.alloc(3 * mebibyte))
      await product.untilStatus('it arrives', ({ ingest }) => ingest.receiving === 1)
      connection.reset()
      await poll('the end of it', async () => {
        const { requestsInFlight, ingest } = await product.status()
        return requestsInFlight === 0 && ingest.receiving === 0 && ingest.slabBytesInUse === 0
          ? true
          : undefined
      })
      assertStatus(await product.client.delete(session), 204)
    })
  })
}

// Goal: one session has one writer; bytes of two requests are never mixed, and a client that vanished
// in the middle of a chunk costs no more than sending that chunk again.
// Method: raw connections that send part of a body and then wait, are reset, or fall silent. The
// set-ups run side by side, since a silence takes seconds to count as one.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { RawConnection } from '../support/raw-http.ts'
import { assertRefused, assertStatus, digestOf, locationOf } from '../support/registry-client.ts'
import { type Product, poll, setups, useProduct } from './product.ts'

const bytes = seededBytes('rival-writers', 2_000_000)
const digest = digestOf(bytes)
const half = 1_000_000
const first = bytes.subarray(0, half)
const second = bytes.subarray(half)
const junk = Buffer.alloc(600_000, 'junk')

/** A request that announces `length` bytes and has sent `sent` of them. */
async function beginBody(
  product: Product,
  method: 'PATCH' | 'PUT',
  location: string,
  length: number,
  sent: Buffer,
): Promise<RawConnection> {
  const connection = await RawConnection.open(product.server.port)
  const head = [
    `${method} ${location} HTTP/1.1`,
    'Host: registry',
    'Content-Type: application/octet-stream',
    `Content-Length: ${length}`,
  ]
  connection.write(`${head.join('\r\n')}\r\n\r\n`, sent)
  await connection.flushed()
  return connection
}

/** Until the server takes a body: then another writer is a rival. */
async function untilWritten(product: Product): Promise<void> {
  await product.untilStatus('a body is being received', (status) => status.ingest.receiving === 1)
}

/** Repeats a request while another writer holds the session. */
function insist(attempt: () => Promise<{ readonly status: number }>): Promise<number> {
  const ask = async (): Promise<number | undefined> => {
    const { status } = await attempt()
    return status === 409 ? undefined : status
  }
  return poll('the session is free', ask, 20_000)
}

describe('rival writers', { concurrency: true }, () => {
  for (const setup of setups('alone', 'node', 'shared')) {
    describe(setup.name, { concurrency: 1 }, () => {
      const product = useProduct(setup)

      async function standingAtHalf(): Promise<{ repository: string; location: string }> {
        const repository = product.repository()
        const location = await product.client.startUpload(repository)
        const answer = assertStatus(await product.client.patch(location, [first]), 202)
        return { repository, location: locationOf(answer) }
      }

      async function assertWhole(repository: string): Promise<void> {
        const pulled = await product.client.get(`/v2/${repository}/blobs/${digest}`)
        assert.ok(assertStatus(pulled, 200).body.equals(bytes))
      }

      test('a rival of a writer at work is refused with 409, whatever it wants', async () => {
        const { repository, location } = await standingAtHalf()
        const writer = await beginBody(
          product,
          'PATCH',
          location,
          half,
          second.subarray(0, 300_000),
        )
        await untilWritten(product)
        for (const answer of [
          await product.client.patch(location, junk),
          await product.client.patch(location, [junk]),
          await product.client.finish(location, digestOf(Buffer.concat([first, junk])), junk),
          await product.client.finish(location, digestOf(first)),
          await product.client.delete(location),
        ]) {
          assertRefused(answer, 409, 'BLOB_UPLOAD_INVALID')
        }
        const status = assertStatus(await product.client.get(location), 204)
        assert.equal(status.headers['range'], `0-${half - 1}`, 'a chunk counts when it is whole')
        writer.write(second.subarray(300_000))
        assert.equal((await writer.reply()).status, 202)
        assertStatus(await product.client.finish(location, digest), 201)
        await assertWhole(repository)
        writer.close()
      })

      for (const method of ['PATCH', 'PUT'] as const) {
        test(`a ${method} whose connection breaks can be repeated at the committed offset`, async () => {
          const { repository, location } = await standingAtHalf()
          const target = method === 'PUT' ? `${location}?digest=${digest}` : location
          const broken = await beginBody(product, method, target, half, junk)
          await untilWritten(product)
          broken.reset()
          const range = `${half}-${bytes.length - 1}`
          const status = await insist(() => product.client.finish(location, digest, second, range))
          assert.equal(status, 201)
          await assertWhole(repository)
        })
      }

      test('a session whose stream broke can be closed at what it had before', async () => {
        const { repository, location } = await standingAtHalf()
        const broken = await beginBody(product, 'PATCH', location, half, junk)
        await untilWritten(product)
        broken.reset()
        const status = await insist(() => product.client.finish(location, digestOf(first)))
        assert.equal(status, 201)
        const pulled = await product.client.get(`/v2/${repository}/blobs/${digestOf(first)}`)
        assert.ok(assertStatus(pulled, 200).body.equals(first))
      })

      test('a session whose stream broke can be cancelled', async () => {
        const { location } = await standingAtHalf()
        const broken = await beginBody(product, 'PATCH', location, half, junk)
        await untilWritten(product)
        broken.reset()
        assert.equal(await insist(() => product.client.delete(location)), 204)
        assertRefused(await product.client.get(location), 404, 'BLOB_UPLOAD_UNKNOWN')
      })

      test('a retry pushes aside a writer whose client has fallen silent', async () => {
        const { repository, location } = await standingAtHalf()
        // The connection stays open: nothing but time can tell that nobody is there.
        const silent = await beginBody(product, 'PATCH', location, half, junk)
        await untilWritten(product)
        const status = await insist(() => product.client.patch(location, Buffer.alloc(0)))
        assert.equal(status, 202)
        assertStatus(await product.client.finish(location, digest, second), 201)
        await assertWhole(repository)
        silent.write(junk)
        await assertWhole(repository)
        silent.close()
      })

      test('of many rivals that begin at once one at a time writes, and the blob is right', async () => {
        const repository = product.repository()
        const location = await product.client.startUpload(repository)
        const answers = await Promise.all(
          Array.from({ length: 8 }, () => product.client.patch(location, [first], `0-${half - 1}`)),
        )
        // Who comes while another writes gets 409; who comes after it starts at the wrong place.
        const statuses = answers.map(({ status }) => status).sort()
        assert.equal(statuses[0], 202)
        assert.ok(
          statuses.slice(1).every((status) => status === 409 || status === 416),
          statuses.join(' '),
        )
        const range = `${half}-${bytes.length - 1}`
        assertStatus(await product.client.finish(location, digest, second, range), 201)
        await assertWhole(repository)
      })

      test('clients that vanish leave no request, no buffer and no writer behind', async () => {
        const { location } = await standingAtHalf()
        for (let i = 0; i < 10; i++) {
          const broken = await beginBody(product, 'PATCH', location, half, junk)
          broken.reset()
        }
        await product.untilStatus(
          'all is at rest',
          ({ requestsInFlight, ingest }) =>
            requestsInFlight === 0 && ingest.receiving === 0 && ingest.slabBytesInUse === 0,
        )
        assertStatus(await product.client.patch(location, [second]), 202)
        assertStatus(await product.client.finish(location, digest), 201)
      })
    })
  }
})

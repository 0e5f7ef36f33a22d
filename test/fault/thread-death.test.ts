// Goal: a thread that dies, however it dies, costs the requests it was busy with and nothing else: their
// uploads go on where they stood, and another thread is there at once. Method: whole servers, faults
// planted in their threads in the midst of bodies and hashes, and the bytes compared afterwards.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { hashSync } from '@node-rs/argon2'
import { Product, poll } from '../http/product.ts'
import { seededBytes } from '../support/images.ts'
import {
  type Answer,
  assertStatus,
  digestOf,
  locationOf,
  RegistryClient,
} from '../support/registry-client.ts'
import { gatedBody } from './gated-body.ts'

const preload = fileURLToPath(new URL('./plant.js', import.meta.url))
const mib = 1 << 20
const password = 'tuesday-fjord-lemon'
const cheap = hashSync(password, { memoryCost: 8192, timeCost: 1, parallelism: 1 })
const users = `[auth.identity.someone]\nusername = "someone"\npassword = "${cheap}"\n`
const login = { authorization: `Basic ${Buffer.from(`someone:${password}`).toString('base64')}` }

async function withProduct(
  fault: string,
  body: (product: Product) => Promise<void>,
): Promise<void> {
  const product = new Product()
  await product.start({
    toml: `${users}[ingest]\nworkers = 1\n`,
    env: { NODE_OPTIONS: `--import=${preload}`, KEELSON_TEST_FAULT: fault },
  })
  try {
    await body(product).catch((error: unknown) => {
      throw new Error(product.server.log.slice(-20).join('\n'), { cause: error })
    })
  } finally {
    product.client.close()
    const exit = await product.server.stop()
    assert.deepEqual(exit, { code: 0, signal: null }, product.server.log.slice(-20).join('\n'))
  }
}

interface Threads {
  readonly ingest: {
    readonly inThreads: Readonly<Record<'replaced' | 'sessions' | 'syncing', number>>
  }
}

const faults = ['thread exit', 'thread exception', 'thread rejection', 'thread memory']

for (const fault of faults) {
  for (const kind of ['streamed', 'chunked'] as const) {
    test(`a ${kind} upload goes on where it stood after a ${fault}`, () =>
      withProduct(fault, async (product) => {
        const { client, server } = product
        const blob = seededBytes(`${fault} ${kind}`, 6 * mib)
        const range = (from: number, to: number): string | undefined =>
          kind === 'chunked' ? `${from}-${to - 1}` : undefined
        const location = await client.startUpload('app')
        assertStatus(await client.patch(location, blob.subarray(0, mib), range(0, mib)), 202)
        // A thread that dies while they are synced takes them with it: nobody would hear of an error.
        await product.untilStatus('its bytes are on the disk', ({ ingest }) => {
          const { sessions, syncing } = (ingest as unknown as Threads['ingest']).inThreads
          return sessions + syncing === 0
        })
        const gate = gatedBody()
        const busy = new RegistryClient(server.url)
        const lost = busy.patch(location, gate.body, range(mib, blob.length))
        gate.feed(blob.subarray(mib, 4 * mib))
        await product.untilStatus('bytes are in the thread', ({ ingest }) => {
          return (ingest as unknown as { bytesReceived: number }).bytesReceived >= 4 * mib
        })
        process.kill(server.pid, 'SIGCONT')
        const answer = assertStatus(await lost, 503)
        assert.match(answer.headers['retry-after'] ?? '', /^\d+$/)
        gate.end()
        busy.close()

        const status = assertStatus(await client.get(location), 204)
        assert.equal(status.headers['range'], `0-${mib - 1}`)
        const patched = await untilTaken(() =>
          client.patch(location, blob.subarray(mib), range(mib, blob.length)),
        )
        assertStatus(await client.finish(locationOf(patched), digestOf(blob)), 201)
        const pulled = await client.get(`/v2/app/blobs/${digestOf(blob)}`)
        assert.ok(assertStatus(pulled, 200).body.equals(blob))
        const { ingest } = (await product.status()) as unknown as Threads
        assert.equal(ingest.inThreads.replaced, 1)
        const told = server.log.filter((line) => line.includes('an ingest thread died'))
        assert.equal(told.length, 1, told.join('\n'))
        assert.equal((await product.admin('/readyz')).status, 200)
      }))
  }

  test(`logins go on after a ${fault}`, () =>
    withProduct(fault, async (product) => {
      const { client, server } = product
      assertStatus(await client.get('/v2/', login), 200)
      // A thread that still starts would not hear of the fault.
      await poll('all threads answer', async () => {
        return (await product.admin('/readyz')).status === 200 || undefined
      })
      process.kill(server.pid, 'SIGCONT')
      // Filling the memory of a thread takes its time where others are at work.
      await poll(
        'threads were replaced',
        async () => {
          const { ingest } = (await product.status()) as unknown as Threads
          return ingest.inThreads.replaced > 0 || undefined
        },
        60_000,
      )
      // One that nobody has shown before, so that a thread has to check it.
      const wrong = Buffer.from('someone:another').toString('base64')
      const refused = await poll('a thread says no', async () => {
        const asked = await client.get('/v2/', { authorization: `Basic ${wrong}` })
        return asked.status === 401 || undefined
      })
      assert.ok(refused)
      assertStatus(await client.get('/v2/', login), 200)
      await poll('all threads answer', async () => {
        return (await product.admin('/readyz')).status === 200 || undefined
      })
    }))
}

/** What a client does with a 503. */
function untilTaken(push: () => Promise<Answer>): Promise<Answer> {
  return poll('the upload is taken', async () => {
    const answer = await push()
    if (answer.status === 503) return undefined
    return assertStatus(answer, 202)
  })
}

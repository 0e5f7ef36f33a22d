// Goal: whoever sends many large manifests at a time gets 503 beyond a budget, and the server keeps within
// its memory, serves small ones and gives everything back. Method: raw sockets that send all of a
// manifest but its last byte; the server's own figures and those of the kernel.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { RawConnection } from '../support/raw-http.ts'
import { assertRefused, assertStatus, RegistryClient } from '../support/registry-client.ts'
import { type Server, startServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { adminCall, poll } from './product.ts'
import { sampleIndex, types } from './sample-content.ts'

const mib = 1024 * 1024
const budget = 4 * mib
const senders = 160
// Of 1 MiB each, that fit into the budget.
const senderMost = budget / mib
const memoryGrowthMax = 96 * mib
const limits = `
[global]
max_manifest_size = "1MiB"
[ingest]
body_budget = "4MiB"
`
const small = Buffer.from(JSON.stringify(sampleIndex([])))
const large = Buffer.from(small.toString().padEnd(mib, ' '))

type Framing = 'length' | 'chunked'

/** Sends manifests of 1 MiB, but for their last byte. */
class Sender {
  readonly connection: RawConnection
  readonly #framing: Framing

  private constructor(connection: RawConnection, framing: Framing) {
    this.connection = connection
    this.#framing = framing
  }

  static async begin(port: number, framing: Framing): Promise<Sender> {
    const sender = new Sender(await RawConnection.open(port), framing)
    const length = framing === 'length' ? `Content-Length: ${mib}` : 'Transfer-Encoding: chunked'
    sender.connection.write(
      `PUT /v2/held/manifests/${randomUUID()} HTTP/1.1\r\nHost: registry\r\n`,
      `Content-Type: ${types.index}\r\n${length}\r\n\r\n`,
      framing === 'chunked' ? `${mib.toString(16)}\r\n` : '',
      large.subarray(0, 1),
    )
    return sender
  }

  send(): void {
    this.connection.write(large.subarray(1, -1))
  }

  end(): void {
    this.connection.write(large.subarray(-1), this.#framing === 'chunked' ? '\r\n0\r\n\r\n' : '')
  }

  get isAnswered(): boolean {
    return this.connection.pendingBytes > 0
  }
}

for (const transport of ['uws', 'node']) {
  describe(`the budget for bodies, ${transport}`, () => {
    let server: Server
    let client: RegistryClient
    before(async () => {
      server = await startServer({ toml: `${limits}[server]\ntransport = "${transport}"\n` })
      client = new RegistryClient(server.url)
    })
    after(async () => {
      client.close()
      assert.deepEqual(await server.stop(), { code: 0, signal: null })
    })

    const figure = async (name: string): Promise<number> => {
      const socket = join(server.rootDir, '_keelson', 'admin.sock')
      const { body } = await adminCall(socket, '/metrics')
      return Number(new RegExp(`^${name} (.+)$`, 'm').exec(body)?.[1])
    }

    const untilAllIsBack = (): Promise<true> =>
      poll('every byte is back', async () => {
        return (await figure('keelson_body_bytes')) === 0 || undefined
      })

    async function push(bytes: Buffer): ReturnType<RegistryClient['putManifest']> {
      return client.putManifest('held', 'pushed', bytes, types.index)
    }

    for (const framing of ['length', 'chunked'] as const) {
      test(`holds for many at a time, which end well or leave (${framing})`, async () => {
        const refusedBefore = await figure('keelson_bodies_refused_total')
        const residentBefore = residentBytes(server.pid)
        const all = await Promise.all(
          Array.from({ length: senders }, () => Sender.begin(server.port, framing)),
        )
        // They are all let in, since a byte of each is next to nothing.
        await poll('a byte of each', async () => {
          return (await figure('keelson_requests_in_flight')) >= senders || undefined
        })
        let residentMost = 0
        for (const sender of all) {
          sender.send()
          await sender.connection.flushed(30_000)
          residentMost = Math.max(residentMost, residentBytes(server.pid))
        }
        // Nobody is answered before its last byte but by a refusal.
        const countRefused = async (): Promise<number> =>
          (await figure('keelson_bodies_refused_total')) - refusedBefore
        await poll('all but a few are refused', async () => {
          const isAll = (await countRefused()) >= senders - senderMost
          residentMost = Math.max(residentMost, residentBytes(server.pid))
          return isAll || undefined
        })
        const refused = await countRefused()
        await until('they are told', () => {
          return all.filter(({ isAnswered }) => isAnswered).length >= refused
        })
        const answered = all.filter(({ isAnswered }) => isAnswered)
        for (const { connection } of answered) {
          const reply = await connection.reply()
          assertRefused(reply, 503, 'UNAVAILABLE')
          assert.equal(reply.headers['retry-after'], '5')
        }
        const held = await figure('keelson_body_bytes')
        assert.ok(held > mib && held <= budget, `${held} are held`)
        assert.equal(await figure('keelson_body_bytes_max'), budget)
        assertRefused((await push(large)).answer, 503, 'UNAVAILABLE')
        assertStatus((await push(small)).answer, 201)
        const grown = residentMost - residentBefore
        assert.ok(grown < memoryGrowthMax, `the server has grown by ${grown} bytes`)

        const [leaves, ...stays] = all.filter((sender) => !answered.includes(sender))
        leaves?.connection.reset()
        for (const sender of stays) sender.end()
        for (const sender of stays) assertStatus(await sender.connection.reply(), 201)
        // The rest of a refused request is read and dropped, and the next one is answered.
        const [first] = answered
        first?.end()
        first?.connection.write('GET /v2/ HTTP/1.1\r\nHost: registry\r\n\r\n')
        assertStatus((await first?.connection.reply())!, 200)
        await untilAllIsBack()
        assertStatus((await push(large)).answer, 201)
        assert.ok((await figure('keelson_bodies_refused_total')) > refusedBefore + refused)
        for (const { connection } of all) connection.close()
        await untilAllIsBack()
      })
    }

    test('what is announced and not sent takes nothing from others', async () => {
      const heads = await Promise.all(
        Array.from({ length: 100 }, async () => {
          const connection = await RawConnection.open(server.port)
          connection.write('PUT /v2/held/manifests/never HTTP/1.1\r\nHost: registry\r\n')
          connection.write(`Content-Type: ${types.index}\r\nContent-Length: ${mib}\r\n\r\n`)
          return connection
        }),
      )
      await poll('they are let in', async () => {
        return (await figure('keelson_requests_in_flight')) >= heads.length || undefined
      })
      assert.equal(await figure('keelson_body_bytes'), 0)
      assertStatus((await push(large)).answer, 201)
      for (const connection of heads) connection.close()
    })
  })
}

test('who holds memory without sending on is cut off, and the memory is back', async () => {
  const server = await startServer({
    toml: `${limits}[server]\ntransport = "node"\n[server.limits]\nstall_timeout = "1s"\n`,
  })
  try {
    const senders = await Promise.all(
      Array.from({ length: 3 }, () => Sender.begin(server.port, 'length')),
    )
    for (const sender of senders) sender.send()
    await until('all are cut off', () => senders.every(({ connection }) => connection.isOver))
    const client = new RegistryClient(server.url)
    for (let i = 0; i < 3; i++) {
      const pushed = await client.putManifest('held', 'pushed', large, types.index)
      assertStatus(pushed.answer, 201)
    }
    client.close()
  } finally {
    await server.stop()
  }
})

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}

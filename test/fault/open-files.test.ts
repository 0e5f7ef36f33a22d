// Goal: a server that can open no more files tells so where it still can, loses no upload, and is the same
// as before once there are files again. Method: connections that take all that a lowered limit leaves, on
// both transports.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { Product, poll } from '../http/product.ts'
import { seededBytes } from '../support/images.ts'
import { assertStatus, digestOf, locationOf, RegistryClient } from '../support/registry-client.ts'
import { needs } from '../support/tools.ts'
import { until } from '../support/until.ts'

const mib = 1 << 20
const blob = seededBytes('open files', 3 * mib)
const spare = 24

for (const transport of ['uws', 'node'] as const) {
  test(
    `files that run out cost no upload and no listener, transport ${transport}`,
    needs('prlimit'),
    async (t) => {
      const product = new Product()
      t.after(async () => {
        product.client.close()
        const exit = await product.server.stop()
        assert.deepEqual(exit, { code: 0, signal: null }, product.server.log.slice(-20).join('\n'))
      })
      await product.start({ toml: `[server]\ntransport = "${transport}"\n` })
      const { client, server } = product
      const open = (): number => readdirSync(`/proc/${server.pid}/fd`).length
      const digest = await client.pushBlob('app', blob)
      const location = await client.startUpload('app')
      assertStatus(await client.patch(location, blob.subarray(0, mib), `0-${mib - 1}`), 202)

      const limit = open() + spare
      execFileSync('prlimit', ['--pid', String(server.pid), `--nofile=${limit}:${limit}`])
      const crowd = await crowdAt(server.port, 100)
      t.after(() => crowd.leave())
      await until('no file is left', () => open() >= limit)
      // On the connection that is there already.
      const refused = await client.patch(location, blob.subarray(mib), `${mib}-${blob.length - 1}`)
      assertStatus(refused, 503)

      crowd.leave()
      await until('files are back', () => open() < limit - spare / 2)
      const late = new RegistryClient(server.url)
      t.after(() => late.close())
      assertStatus(await late.get('/v2/'), 200)
      const pulled = await late.get(`/v2/app/blobs/${digest}`)
      assert.ok(assertStatus(pulled, 200).body.equals(blob))
      const status = assertStatus(await late.get(location), 204)
      assert.equal(status.headers['range'], `0-${mib - 1}`)
      const rest = await late.patch(location, blob.subarray(mib), `${mib}-${blob.length - 1}`)
      assertStatus(await late.finish(locationOf(assertStatus(rest, 202)), digestOf(blob)), 201)
      await poll('it is ready', async () => {
        return (await product.admin('/readyz')).status === 200 || undefined
      })
    },
  )
}

test(
  'a process that has hardly a file left is not ready, and says why',
  needs('prlimit'),
  async (t) => {
    const product = new Product()
    t.after(() => product.stop())
    await product.start({})
    const { pid } = product.server
    const limit = readdirSync(`/proc/${pid}/fd`).length + 8
    execFileSync('prlimit', ['--pid', String(pid), `--nofile=${limit}:${limit}`])
    const { body } = await poll('it is not ready', async () => {
      const answer = await product.admin('/readyz')
      return answer.status === 503 ? answer : undefined
    })
    const { checks } = JSON.parse(body) as {
      checks: { name: string; ok: boolean; reason: string }[]
    }
    const failed = checks.filter(({ ok }) => !ok)
    assert.deepEqual(
      failed.map(({ name }) => name),
      ['open files'],
    )
    assert.match(failed[0]?.reason ?? '', /^\d+ of \d+ open: raise LimitNOFILE/)
  },
)

/** Connections that say nothing; some may never be accepted. */
async function crowdAt(port: number, count: number): Promise<{ leave(): void }> {
  const sockets: Socket[] = []
  for (let i = 0; i < count; i++) {
    const socket = connect({ host: '127.0.0.1', port })
    socket.on('error', () => undefined)
    sockets.push(socket)
  }
  return {
    leave: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
}

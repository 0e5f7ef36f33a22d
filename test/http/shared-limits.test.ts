// Goal: a limit that says so counts across servers, and across nothing else; without Redis each server
// keeps it alone, says so once, and a reload turns it on and off. Method: servers with stores of their own
// behind which stands one redis-server, which is killed and comes back.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { needsRedis, RedisServer } from '../support/redis.ts'
import { type Server, startServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { adminCall, poll, temporaryFolder } from './product.ts'

const hashKey = 'a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5'
const requests = 40
/** A twentieth of the requests for each server but one. */
const slack = 2

interface Shared {
  readonly connected: boolean
  readonly alone: number
}

class Host {
  readonly server: Server
  readonly #socket: string
  readonly #file: string
  readonly #tomlOf: (shared: boolean) => string

  constructor(server: Server, socket: string, tomlOf: (shared: boolean) => string) {
    this.server = server
    this.#socket = socket
    this.#file = server.configFile
    this.#tomlOf = tomlOf
  }

  static async start(folder: string, redisUrl: string, name: string): Promise<Host> {
    const socket = join(folder, `${name}.sock`)
    const tomlOf = (shared: boolean): string => `
[server]
port = 0
[admin]
socket = ${JSON.stringify(socket)}
[blob_store.memory]
[metadata_store.memory]
[global.access_policy]
default = "allow"
[redis]
url = "${redisUrl}"
hash_key = "${hashKey}"
timeout = "1s"
[limits.rate.pulls]
per = "address"
actions = ["get-manifest"]
requests = ${requests}
period = "1d"
shared = ${shared}
[limits.rate.lists]
per = "address"
actions = ["list-tags"]
requests = ${requests}
period = "1d"
`
    const server = await startServer({ base: tomlOf(true) })
    return new Host(server, socket, tomlOf)
  }

  /** How many of `count`, all at once, were let through; nothing of them fails in another way. */
  async admitted(count: number, target = 'manifests/x'): Promise<number> {
    const statuses = await Promise.all(
      Array.from({ length: count }, async () => {
        const response = await fetch(`${this.server.url}/v2/a/${target}`)
        const body = await response.text()
        if (response.status === 429) assert.match(body, /TOOMANYREQUESTS.*rate\.(pulls|lists)/)
        else assert.equal(response.status, 404, body)
        return response.status
      }),
    )
    return statuses.filter((status) => status === 404).length
  }

  async shared(): Promise<Shared> {
    const { body } = await adminCall(this.#socket, '/status')
    return (JSON.parse(body) as { limits: { shared: Shared } }).limits.shared
  }

  async metrics(): Promise<string> {
    return (await adminCall(this.#socket, '/metrics')).body
  }

  async untilConnected(isConnected: boolean): Promise<void> {
    const what = `connected is ${isConnected}`
    await poll(what, async () =>
      (await this.shared()).connected === isConnected ? true : undefined,
    )
  }

  async reload(shared: boolean): Promise<void> {
    const before_ = await this.#reloads()
    await writeFile(this.#file, this.#tomlOf(shared))
    process.kill(this.server.pid, 'SIGHUP')
    await poll('it is reloaded', async () => ((await this.#reloads()) > before_ ? true : undefined))
  }

  async #reloads(): Promise<number> {
    const { body } = await adminCall(this.#socket, '/status')
    return (JSON.parse(body) as { reload: { reloads: number } }).reload.reloads
  }

  async stop(): Promise<void> {
    assert.equal((await this.server.stop()).code, 0, this.server.log.slice(-5).join('\n'))
  }
}

describe('limits that servers share', needsRedis, () => {
  const { path } = temporaryFolder()
  let redis: RedisServer
  let hosts: [Host, Host, Host]
  before(async () => {
    await mkdir(join(path, 'redis'))
    redis = await RedisServer.start({ dir: join(path, 'redis') })
    const start = (name: string): Promise<Host> => Host.start(path, redis.url, name)
    hosts = await Promise.all([start('a'), start('b'), start('c')])
    for (const host of hosts) await host.untilConnected(true)
  })
  after(async () => {
    await Promise.all(hosts.map((host) => host.stop()))
    await redis.stop()
  })

  const aloneInAll = async (): Promise<number> => {
    const all = await Promise.all(hosts.map((host) => host.shared()))
    return all.reduce((sum, { alone }) => sum + alone, 0)
  }

  test('three let through what one would, and little more; what is not shared each in full', async () => {
    const all = await Promise.all(hosts.map((host) => host.admitted(requests)))
    const admitted = all.reduce((sum, count) => sum + count, 0)
    // On a busy machine some wait for too long, and are counted where they are.
    const most = requests + 2 * slack + (await aloneInAll())
    assert.ok(admitted >= requests && admitted <= most, `${all.join(' + ')} of ${most}`)
    await poll('all have heard', async () => {
      const more = await Promise.all(hosts.map((host) => host.admitted(1)))
      return more.every((count) => count === 0) ? true : undefined
    })
    const lists = await Promise.all(hosts.map((host) => host.admitted(requests + 3, 'tags/list')))
    assert.deepEqual(lists, [requests, requests, requests])
    const keys = await redis.cli('KEYS', '*limits*')
    assert.ok(!keys.includes('127.0.0.1'), keys)
    for (const line of [
      'connected 1',
      'rounds_total [1-9]',
      'failures_total 0',
      'alone_total \\d',
    ]) {
      assert.match(await hosts[0].metrics(), new RegExp(`^keelson_limit_shared_${line}`, 'm'))
    }
  })

  test('a Redis that is killed and comes back empty: alone, together again, and said once', async () => {
    await redis.cli('FLUSHALL')
    await redis.kill()
    for (const host of hosts) await host.untilConnected(false)
    // What each has let through before counts against it.
    const all = await Promise.all(hosts.map((host) => host.admitted(2 * requests)))
    for (const count of all) assert.ok(count <= requests, all.join())
    assert.match(await hosts[1].metrics(), /^keelson_limit_shared_connected 0/m)
    await redis.start()
    for (const host of hosts) await host.untilConnected(true)
    for (const host of hosts) {
      await poll('it has heard', async () => ((await host.admitted(1)) === 0 ? true : undefined))
      const said = (): readonly string[] =>
        host.server.log
          .filter((line) => /[Ss]hared limits count/.test(line))
          .map((line) => (JSON.parse(line) as { msg: string }).msg)
      const outage = [
        'Redis cannot be used: shared limits count on this host alone',
        'Shared limits count across hosts again',
      ]
      await until('both are said', () => said().length >= 2, 60_000)
      // A busy machine may have had another one before; each is said once.
      assert.deepEqual(said().slice(-2), outage)
      assert.ok(
        said().every((line, index) => line === outage[index % 2]),
        said().join(),
      )
    }
  })

  test('a Redis that answers nothing holds nobody up for long', async () => {
    await redis.cli('FLUSHALL')
    const fresh = await Host.start(path, redis.url, 'd')
    try {
      await fresh.untilConnected(true)
      redis.pause()
      const began = performance.now()
      assert.equal(await fresh.admitted(requests), requests)
      assert.ok(performance.now() - began < 10_000)
      await fresh.untilConnected(false)
      redis.resume()
      await fresh.untilConnected(true)
    } finally {
      redis.resume()
      await fresh.stop()
    }
  })

  test('processes of one host share it, too', async () => {
    const socket = join(path, 'processes.sock')
    const server = await startServer({
      toml: `
[server]
processes = 2
[admin]
socket = ${JSON.stringify(socket)}
[redis]
url = "${redis.url}"
hash_key = "${hashKey}"
[limits.rate.processes]
per = "address"
actions = ["get-manifest"]
requests = ${requests}
period = "1d"
shared = true
`,
    })
    try {
      const metric = async (name: string): Promise<number> => {
        const { body } = await adminCall(socket, '/metrics')
        return Number(new RegExp(`^keelson_limit_shared_${name} (.*)$`, 'm').exec(body)?.[1])
      }
      // The least of both.
      await poll('both share', async () => ((await metric('connected')) === 1 ? true : undefined))
      const asked = Array.from({ length: 3 * requests }, async () => {
        // Of connections of their own, so that both processes have some.
        const headers = { connection: 'close' }
        const response = await fetch(`${server.url}/v2/a/manifests/x`, { headers })
        await response.arrayBuffer()
        return response.status
      })
      const admitted = (await Promise.all(asked)).filter((status) => status === 404).length
      const most = requests + slack + (await metric('alone_total'))
      assert.ok(admitted >= requests && admitted <= most, `${admitted} of ${most}`)
    } finally {
      assert.equal((await server.stop()).code, 0)
    }
  })

  test('a reload turns it on and off', async () => {
    await redis.cli('FLUSHALL')
    const fresh = await Host.start(path, redis.url, 'e')
    const other = await Host.start(path, redis.url, 'f')
    try {
      for (const host of [fresh, other]) await host.untilConnected(true)
      await fresh.reload(false)
      assert.equal(await fresh.admitted(2 * requests), requests)
      assert.ok((await other.admitted(10)) > 0)
      await fresh.reload(true)
      const admitted = await fresh.admitted(2 * requests)
      assert.ok(admitted <= requests, String(admitted))
    } finally {
      await Promise.all([fresh.stop(), other.stop()])
    }
  })
})

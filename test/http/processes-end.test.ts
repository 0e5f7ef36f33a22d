// Goal: what happens to one process costs the others nothing, and what happens to the supervisor leaves
// nothing behind. Method: SIGKILL and SIGSTOP while clients work on connections whose process is known.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { RawConnection } from '../support/raw-http.ts'
import { digestOf } from '../support/registry-client.ts'
import { startServer } from '../support/server.ts'
import { needsTransport } from '../support/transport.ts'
import { until } from '../support/until.ts'
import { isRunning, type Pinned, type Processes, startProcesses } from './processes-scene.ts'
import { temporaryFolder } from './product.ts'

/** Pushes on one connection until it is told to stop, or the connection ends. */
class Pusher {
  readonly pinned: Pinned
  readonly acknowledged: string[] = []
  fault: unknown
  #isDone = false
  readonly #work: Promise<void>

  constructor(pinned: Pinned, name: string) {
    this.pinned = pinned
    this.#work = this.#push(name).catch((error: unknown) => {
      this.fault = error
    })
  }

  async #push(name: string): Promise<void> {
    for (let count = 0; !this.#isDone; count += 1) {
      const bytes = seededBytes(`${name}-${count}`, 20_000)
      this.acknowledged.push(await this.pinned.push('load/image', bytes))
    }
  }

  end(): Promise<void> {
    this.#isDone = true
    return this.#work
  }
}

for (const transport of ['uws', 'node'] as const) {
  describe(`the end of a process, ${transport}`, needsTransport(transport), () => {
    test('a killed process costs its own connections alone, and is back soon', async (t) => {
      const processes = await startProcesses({ toml: `[server]\ntransport = "${transport}"\n` })
      const pinned = await processes.connectToEach()
      const pushers = pinned.map((each, number) => new Pusher(each, `kill-${transport}-${number}`))
      const [victim] = await processes.status()
      const pid = victim?.pid ?? 0
      await until('pushes on each', () => pushers.every((each) => each.acknowledged.length > 2))
      const killedAt = performance.now()
      process.kill(pid, 'SIGKILL')
      const back = await processes.until(
        'another process in its place',
        ([first]) => first?.state === 'serving' && first.restarts === 1,
      )
      t.diagnostic(`back after ${Math.round(performance.now() - killedAt)} ms`)
      assert.notEqual(back[0]?.pid, pid)
      await Promise.all(pushers.map((each) => each.end()))
      for (const {
        pinned: { pid: owner },
        fault,
      } of pushers) {
        if (owner === pid) assert.ok(fault)
        else assert.equal(fault, undefined)
      }
      assert.ok(pushers.some(({ pinned: { pid: owner } }) => owner === pid))
      const readers = await processes.connectToEach()
      const all = pushers.flatMap(({ acknowledged }) => acknowledged)
      for (const [number, digest] of all.entries()) {
        const reader = readers[number % readers.length] as Pinned
        const { status, body } = await reader.call('GET', `/v2/load/image/blobs/${digest}`)
        assert.equal(status, 200)
        assert.equal(digestOf(body), digest)
      }
      await processes.end()
    })

    test('what a process had counted when it was killed stays in the sums', async () => {
      const processes = await startProcesses({ toml: `[server]\ntransport = "${transport}"\n` })
      await processes.connectToEach()
      const before = await processes.metric('keelson_connections_total')
      const [victim] = await processes.status()
      process.kill(victim?.pid ?? 0, 'SIGKILL')
      await processes.until(
        'a successor',
        ([first]) => first?.state === 'serving' && first.restarts === 1,
      )
      const after = await processes.metric('keelson_connections_total')
      assert.ok(after >= before, `${after} after ${before}`)
      assert.equal(await processes.metric('keelson_process_restarts_total'), 1)
      await processes.end()
    })

    test('a process that hangs holds up neither the operator nor the stop', async () => {
      const processes = await startProcesses({ toml: `[server]\ntransport = "${transport}"\n` })
      const [victim] = await processes.status()
      const pid = victim?.pid ?? 0
      process.kill(pid, 'SIGSTOP')
      await processes.until('it is seen', ([first]) => first?.state === 'silent')
      for (const [path, status] of [
        ['/readyz', 503],
        ['/healthz', 200],
        ['/metrics', 200],
        ['/usage?repository=none', 200],
      ] as const) {
        assert.equal((await processes.admin(path)).status, status, path)
      }
      assert.equal(await processes.metric('keelson_process_up'), 1)
      process.kill(pid, 'SIGCONT')
      await processes.until('it is seen again', ([first]) => first?.state === 'serving')
      assert.equal((await processes.admin('/readyz')).status, 200)
      process.kill(pid, 'SIGSTOP')
      const exit = await processes.server.stop()
      assert.deepEqual(exit, { code: 0, signal: null })
      assert.equal(isRunning(pid), false)
    })
  })
}

describe('the end of a supervisor', () => {
  async function pidsOf(processes: Processes): Promise<readonly number[]> {
    const pids = await processes.pids()
    assert.equal(pids.length, 2)
    return pids
  }

  test('processes without one end what they have begun, and stop', async () => {
    const processes = await startProcesses()
    const pids = await pidsOf(processes)
    const busy = await processes.connect()
    const bytes = seededBytes('orphan', 1_000_000)
    const push = busy.push('orphans/image', bytes)
    process.kill(processes.server.pid, 'SIGKILL')
    await push.catch(() => {})
    await until('they stop', () => !pids.some(isRunning))
    busy.close()
  })

  test('a second signal ends everything at once', async () => {
    const processes = await startProcesses({ toml: '[server]\nshutdown_timeout = "1h"\n' })
    const pids = await pidsOf(processes)
    const stuck = await RawConnection.open(processes.server.port)
    stuck.write('POST /v2/stuck/image/blobs/uploads/?digest=x HTTP/1.1\r\nHost: a\r\n')
    stuck.write('Content-Length: 100\r\n\r\nhalf')
    const busy = pids.map((pid) => process.kill(pid, 'SIGSTOP'))
    assert.deepEqual(busy, [true, true])
    process.kill(processes.server.pid, 'SIGTERM')
    await until('it stops', () => processes.server.log.some((line) => line.includes('"stopping')))
    process.kill(processes.server.pid, 'SIGTERM')
    assert.deepEqual(await processes.server.exited, { code: null, signal: 'SIGTERM' })
    await until('all are gone', () => !pids.some(isRunning))
    stuck.close()
  })
})

describe('several processes that cannot start', () => {
  const folder = temporaryFolder()

  test('the first one tells why, and that is the end', async () => {
    const alone = await startServer({ rootDir: folder.path })
    await assert.rejects(startProcesses({ rootDir: folder.path }), (error: Error) => {
      assert.match(error.message, /ended before it was ready \(code 1\)/)
      assert.match(error.message, /in use by process/)
      return true
    })
    await alone.stop()
  })
})

// Goal: several processes serve as one registry, on both transports.
// Method: connections whose process is known from the kernel's tables; what one process was given is asked
// of the others, and what they count is compared with what was sent.
import assert from 'node:assert/strict'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { RawConnection } from '../support/raw-http.ts'
import { needsTransport } from '../support/transport.ts'
import { isRunning, type Pinned, type Processes, startProcesses } from './processes-scene.ts'
import { poll, temporaryFolder } from './product.ts'

for (const transport of ['uws', 'node'] as const) {
  describe(`several processes, ${transport}`, needsTransport(transport), () => {
    let processes: Processes
    let pinned: readonly Pinned[]

    before(async () => {
      processes = await startProcesses({ toml: `[server]\ntransport = "${transport}"\n` })
      pinned = await processes.connectToEach()
    })
    after(() => processes.end())

    function ofEach(): readonly Pinned[] {
      const pids = [...new Set(pinned.map(({ pid }) => pid))]
      return pids.map((pid) => pinned.find((each) => each.pid === pid) as Pinned)
    }

    test('connections are spread over all processes, none of them the supervisor', async () => {
      const pids = await processes.pids()
      assert.equal(pids.length, 2)
      assert.ok(!pids.includes(processes.server.pid))
      const accepted = (await processes.status()).map(({ edge }) => edge?.connectionsAccepted ?? 0)
      assert.ok(accepted.every((count) => count > 0))
    })

    test('what one process was given the others serve at once', async () => {
      const [first, second] = ofEach() as [Pinned, Pinned]
      for (const [number, [from, to]] of [
        [first, second] as const,
        [second, first] as const,
      ].entries()) {
        const bytes = seededBytes(`processes-${transport}-${number}`, 100_000)
        const digest = await from.push('spread/image', bytes)
        const { status, body } = await to.call('GET', `/v2/spread/image/blobs/${digest}`)
        assert.equal(status, 200)
        assert.ok(body.equals(bytes))
        const tag = `/v2/spread/image/manifests/latest`
        const manifest = indexOf(number)
        const put = { body: manifest, headers: { 'Content-Type': indexType } }
        assert.equal((await from.call('PUT', tag, put)).status, 201)
        assert.ok((await to.call('GET', tag)).body.equals(manifest))
      }
    })

    test('an upload may go on in another process', async () => {
      const [first, second] = ofEach() as [Pinned, Pinned]
      const bytes = seededBytes(`processes-upload-${transport}`, 200_000)
      const begun = await first.call('POST', '/v2/spread/upload/blobs/uploads/')
      const location = begun.headers['location'] ?? ''
      const parts = [bytes.subarray(0, 120_000), bytes.subarray(120_000)]
      for (const [number, body] of parts.entries()) {
        const to = number === 0 ? second : first
        assert.equal((await to.call('PATCH', location, { body })).status, 202)
      }
      const digest = await second.push('spread/other', bytes)
      const finished = await second.call('PUT', `${location}?digest=${digest}`)
      assert.equal(finished.status, 201, finished.body.toString())
    })

    test('metrics add up to what was sent', async () => {
      const name = 'keelson_http_requests_total'
      const before = await processes.metric(name)
      for (const each of pinned) {
        for (let count = 0; count < 5; count += 1) await each.call('GET', '/v2/')
      }
      assert.equal((await processes.metric(name)) - before, 5 * pinned.length)
      assert.equal(await processes.metric('keelson_processes'), 2)
      assert.equal(await processes.metric('keelson_process_up'), 2)
      assert.equal(await processes.metric('keelson_connections'), pinned.length)
    })

    test('health is told for all, and by process', async () => {
      for (const path of ['/healthz', '/readyz']) {
        const { status, body } = await processes.admin(path)
        assert.equal(status, 200)
        const { processes: each } = JSON.parse(body) as { processes: { process: number }[] }
        assert.deepEqual(
          each.map(({ process }) => process),
          [1, 2],
        )
      }
    })

    test('each line of the log is whole, and tells whose it is', () => {
      const lines = processes.server.log.map((line) => JSON.parse(line) as { process: unknown })
      const names = new Set(lines.map(({ process }) => process))
      assert.ok([1, 2, 'supervisor'].every((name) => names.has(name)))
    })
  })
}

const indexType = 'application/vnd.oci.image.index.v1+json'

function indexOf(number: number): Buffer {
  const annotations = { number: String(number) }
  return Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [], annotations }),
  )
}

describe('the places of several processes', () => {
  const folder = temporaryFolder()

  test('a unix socket is shared, has its mode, and goes with the last process', async () => {
    const path = join(folder.path, 'registry.sock')
    const listeners = [`socket = ${JSON.stringify(path)}\nsocket_mode = "0660"\n`]
    const processes = await startProcesses({ listeners })
    assert.equal(statSync(path).mode & 0o777, 0o660)
    const counts = async (): Promise<readonly number[]> =>
      (await processes.status()).map(({ edge }) => edge?.connectionsAccepted ?? 0)
    await poll(
      'connections of both',
      async () => {
        const opened = await Promise.all(
          Array.from({ length: 8 }, () => RawConnection.open({ path })),
        )
        for (const each of opened) each.close()
        return (await counts()).every((count) => count > 0) || undefined
      },
      30_000,
    )
    await processes.end()
    assert.equal(existsSync(path), false)
  })

  test('a port that another server has is refused before anything starts', async () => {
    const processes = await startProcesses()
    const toml = `[server]\nport = ${processes.server.port}\n`
    await assert.rejects(startProcesses({ toml }), /EADDRINUSE|in use/)
    await processes.end()
  })

  test('the stop leaves no process behind', async () => {
    const processes = await startProcesses({}, 3)
    const pids = await processes.pids()
    assert.equal(pids.length, 3)
    await processes.end()
    assert.deepEqual(pids.filter(isRunning), [])
  })
})

// Goal: a fault that nothing caught ends the process with a code and a line that says why, after what is
// under way has ended; and a next server has all that was acknowledged. Method: faults planted in the
// event loop of whole servers, beside uploads.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { CrashWatch } from '../../src/cli/crash-watch.ts'
import { seededBytes } from '../support/images.ts'
import { assertStatus, digestOf, locationOf, RegistryClient } from '../support/registry-client.ts'
import { type Server, startServer } from '../support/server.ts'
import { until, within } from '../support/until.ts'

const preload = fileURLToPath(new URL('./plant.js', import.meta.url))
const blob = seededBytes('uncaught', 3 << 20)
const half = 1 << 20

async function withServers(
  fault: string,
  body: (start: () => Promise<Server>) => Promise<void>,
): Promise<void> {
  const rootDir = await mkdtemp(join(tmpdir(), 'keelson-uncaught-'))
  const servers: Server[] = []
  const env = { NODE_OPTIONS: `--import=${preload}`, KEELSON_TEST_FAULT: fault }
  try {
    await body(async () => {
      const server = await startServer({ rootDir, env })
      servers.push(server)
      return server
    })
  } finally {
    for (const server of servers) server.kill()
    for (const server of servers) await server.exited
    await rm(rootDir, { recursive: true, force: true })
  }
}

for (const fault of ['exception', 'rejection', 'storm']) {
  test(`an uncaught ${fault} in the event loop ends the process in order`, () =>
    withServers(fault, async (start) => {
      const server = await start()
      const client = new RegistryClient(server.url)
      const digest = await client.pushBlob('app', blob)
      const location = await client.startUpload('app')
      assertStatus(await client.patch(location, blob.subarray(0, half)), 202)
      process.kill(server.pid, 'SIGCONT')
      const exit = await within('its end', server.exited)
      client.close()
      assert.deepEqual(exit, { code: 70, signal: null }, server.log.join('\n'))
      const told = server.log.filter((line) => line.includes('"level":60'))
      assert.ok(told.length >= 1 && told.length <= 10, String(told.length))
      const { err, msg } = JSON.parse(told[0] ?? '') as { err: Record<string, string>; msg: string }
      assert.equal(msg, 'a fault that nothing caught: the process ends')
      assert.equal(err['message'], 'planted in the loop')
      assert.match(err['stack'] ?? '', /plant\.(js|ts)/)

      const next = await start()
      const again = new RegistryClient(next.url)
      const pulled = await again.get(`/v2/app/blobs/${digest}`)
      assert.ok(assertStatus(pulled, 200).body.equals(blob))
      const rest = assertStatus(await again.patch(location, blob.subarray(half)), 202)
      assertStatus(await again.finish(locationOf(rest), digestOf(blob)), 201)
      again.close()
      assert.deepEqual(await next.stop(), { code: 0, signal: null })
    }))
}

test('what never ends after a fault is not waited for', async () => {
  const told: unknown[] = []
  let raise: (error: unknown, origin: string) => void = () => assert.fail('nobody watches')
  const faults = {
    on: (_event: 'uncaughtException', tell: typeof raise) => {
      raise = tell
    },
  }
  const watch = new CrashWatch(
    { fatal: (line: unknown) => void told.push(line) } as never,
    faults,
    20,
  )
  assert.equal(await watch.during(Promise.resolve('done')), 'done')
  assert.equal(watch.hasHappened, false)
  const endless = watch.during(new Promise<string>(() => {}))
  for (let i = 0; i < 50; i++) raise(new Error(`fault ${i}`), 'uncaughtException')
  assert.equal(await watch.first, 'uncaught fault')
  assert.equal(await within('the end', endless), undefined)
  assert.equal(await watch.during(Promise.resolve('in time')), 'in time')
  assert.equal(told.length, 10)
  await until('all is said', () => watch.hasHappened)
})

// Goal: a clock that is set wrong destroys nothing: neither what is leased, nor what can be brought back; and
// what was leased while it was wrong is leased still when it is right again. Method: the product, whose wall
// clock the test sets, beside the clock that counts since the boot.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { seededBytes } from '../../support/images.ts'
import { assertStatus } from '../../support/registry-client.ts'
import { LiveServer } from './live-server.ts'

const toml = `
[storage]
durability = "none"
[gc]
every = "0s"
grace = "1h"
restore_window = "1h"
`
const daySeconds = 86_400

async function pushed(server: LiveServer, seed: string): Promise<string> {
  return server.client.pushBlob('app', seededBytes(seed, 1000))
}

async function assertStands(server: LiveServer, digest: string, status: number): Promise<void> {
  assertStatus(await server.client.get(`/v2/app/blobs/${digest}`), status, digest)
}

async function assertRefused(server: LiveServer, way: RegExp): Promise<void> {
  const { status, body } = await server.ask('/jobs/start', { kind: 'gc', input: {} })
  assert.equal(status, 503, JSON.stringify(body))
  assert.match(JSON.stringify(body), way)
}

async function serve(t: TestContext): Promise<LiveServer> {
  return LiveServer.start(t, toml)
}

test('forwards: what is leased, and what was dropped, outlives it', async (t) => {
  const server = await serve(t)
  const dropped = await pushed(server, 'dropped')
  server.pass(2 * 3600)
  await server.run('gc')
  await assertStands(server, dropped, 404)
  const leased = await pushed(server, 'leased')
  server.setClock(daySeconds)
  await assertRefused(server, /the clock was set forwards by/)
  await assertStands(server, leased, 200)
  // Pushed meanwhile, it has a lease until tomorrow.
  const ahead = await pushed(server, 'ahead')
  server.setClock(-daySeconds)
  await assertRefused(server, /the clock was set back by/)
  // No lease of before is left when the clock is believed again; the one of tomorrow is.
  server.pass(3600 + 60)
  await server.run('gc')
  await assertStands(server, leased, 404)
  await assertStands(server, ahead, 200)
})

test('forwards: what was dropped can be brought back all the same', async (t) => {
  const server = await serve(t)
  const dropped = await pushed(server, 'dropped')
  server.pass(2 * 3600)
  const { run } = await server.run('gc')
  server.setClock(daySeconds)
  await assertRefused(server, /the clock was set forwards by/)
  assert.equal((await server.ask('/gc/restore', { run })).status, 200)
  await assertStands(server, dropped, 200)
})

test('back: a lease that was given then is no shorter, nor is one of before', async (t) => {
  const server = await serve(t)
  const before = await pushed(server, 'before')
  server.setClock(-daySeconds)
  await assertRefused(server, /the clock was set back by/)
  const behind = await pushed(server, 'behind')
  // A HEAD says that it is there: half of the grace at least from now on, whatever the clock shows.
  assertStatus(await server.client.head(`/v2/app/blobs/${behind}`), 200, behind)
  server.setClock(daySeconds)
  await assertRefused(server, /the clock was set forwards by/)
  await assertStands(server, before, 200)
  await assertStands(server, behind, 200)
  // Renewed by whoever relies on it, before the clock is believed again.
  assertStatus(await server.client.head(`/v2/app/blobs/${behind}`), 200, behind)
  server.pass(1800)
  assertStatus(await server.client.head(`/v2/app/blobs/${behind}`), 200, behind)
  server.pass(1800 + 60)
  await server.run('gc')
  await assertStands(server, behind, 200)
  await assertStands(server, before, 404)
})

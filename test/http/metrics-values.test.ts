// Goal: the figures of /metrics move with what clients do, by as much as they do. Method: a real server, what a
// client pushes and pulls, and the figures before and after.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { assertStatus } from '../support/registry-client.ts'
import { adminCall, useProduct } from './product.ts'
import { ReloadScene } from './reload-scene.ts'
import { sampleIndex } from './sample-content.ts'

const password = 'correct horse battery'

describe('the figures of a server', () => {
  const product = useProduct({
    toml: `
[auth.identity.ann]
username = "ann"
password = ${JSON.stringify(hashPassword(password))}
`,
  })

  const figures = (): Promise<ReadonlyMap<string, number>> => readFigures(product.server.rootDir)

  /** By how much each figure grows. */
  async function growth(action: () => Promise<unknown>): Promise<(name: string) => number> {
    const before = await figures()
    await action()
    const after = await figures()
    return (name) => (after.get(name) ?? 0) - (before.get(name) ?? 0)
  }

  test('count what is pushed, hashed and stored', async () => {
    const bytes = randomBytes(3 << 20)
    const grew = await growth(() => product.client.pushBlob('team/app', bytes))
    assert.equal(grew('keelson_ingest_bytes_total'), bytes.length)
    assert.equal(grew('keelson_hash_bytes_total'), bytes.length)
    assert.ok(grew('keelson_hash_seconds_total') > 0)
    assert.ok(grew('keelson_thread_busy_seconds_total{pool="ingest"}') > 0)
    assert.ok(grew('keelson_lmdb_entries') > 0)
    const now = await figures()
    for (const name of ['keelson_ingest_slab_bytes', 'keelson_ingest_queue_bytes']) {
      assert.equal(now.get(name), 0, name)
    }
    assert.ok((now.get('keelson_disk_free_bytes{store="blobs"}') ?? 0) > 0)
    assert.ok((now.get('keelson_lmdb_used_bytes') ?? 0) > 0)
  })

  test('count what caches know', async () => {
    const pushed = await product.client.putManifest('team/app', 'v1', sampleIndex([]))
    assertStatus(pushed.answer, 201)
    const get = (): Promise<unknown> => product.client.get('/v2/team/app/manifests/v1')
    const first = await growth(get)
    assert.equal(first('keelson_cache_requests_total{cache="replies",result="miss"}'), 1)
    assert.equal(first('keelson_cache_entries{cache="replies"}'), 1)
    assert.ok(first('keelson_cache_bytes{cache="replies"}') > pushed.bytes.length)
    const second = await growth(get)
    assert.equal(second('keelson_cache_requests_total{cache="replies",result="hit"}'), 1)
    assert.equal(second('keelson_cache_requests_total{cache="replies",result="miss"}'), 0)
  })

  test('count passwords that are checked, and those that are remembered', async () => {
    const authorization = `Basic ${Buffer.from(`ann:${password}`).toString('base64')}`
    const login = (): Promise<unknown> => product.client.get('/v2/', { authorization })
    const first = await growth(login)
    assert.equal(first('keelson_credentials_checked_total{kind="passwords"}'), 1)
    assert.ok(first('keelson_thread_busy_seconds_total{pool="passwords"}') > 0)
    const second = await growth(login)
    assert.equal(second('keelson_credentials_checked_total{kind="passwords"}'), 0)
    assert.equal(second('keelson_cache_requests_total{cache="credentials",result="hit"}'), 1)
  })
})

test('the figures tell how the last reload went', async () => {
  const scene = await ReloadScene.start('[log]\nlevel = "info"\n')
  const stamp = 'config_last_reload_timestamp_seconds'
  const now = async (): Promise<ReadonlyMap<string, number>> => {
    return readFigures(scene.server.rootDir)
  }
  const before = await now()
  assert.equal(before.get('config_last_reload_success'), 1)
  await scene.change('[server]\nno_such_key = 1\n')
  const refused = await now()
  assert.equal(refused.get('config_last_reload_success'), 0)
  assert.equal(refused.get(stamp), before.get(stamp))
  assert.equal(refused.get('keelson_config_reloads_total{result="refused"}'), 1)
  await scene.change('[log]\nlevel = "debug"\nformat = "human"\n')
  const taken = await now()
  assert.equal(taken.get('config_last_reload_success'), 1)
  assert.ok((taken.get(stamp) ?? 0) > (before.get(stamp) ?? 0))
  assert.equal(taken.get('keelson_config_restart_required_keys'), 1)
  assert.deepEqual(await scene.server.stop(), { code: 0, signal: null })
})

async function readFigures(rootDir: string): Promise<ReadonlyMap<string, number>> {
  const { body } = await adminCall(join(rootDir, '_keelson', 'admin.sock'), '/metrics')
  const lines = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const blank = line.lastIndexOf(' ')
      return [line.slice(0, blank), Number(line.slice(blank + 1))]
    }),
  )
}

// Goal: docs/several-hosts.md shows a configuration that loads, and names the metrics that there are.
// Method: load what it shows; look for the names in what /metrics is made of.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Registry } from 'prom-client'
import { parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { LimitCounts } from '../../src/telemetry/limit-counts.ts'
import { registerUseMetrics } from '../../src/telemetry/use-metrics.ts'

const page = readFileSync('docs/several-hosts.md', 'utf8')
const folder = mkdtempSync(join(tmpdir(), 'keelson-page-'))
after(() => rmSync(folder, { recursive: true }))

const [oneStore = '', storeEach = ''] = [...page.matchAll(/```toml\n(.*?)```/gs)].map(
  ([, text]) => text,
)

function load(text: string): Config {
  const file = join(folder, 'config.toml')
  const at = text.replaceAll('/etc/keelson', folder)
  return parseConfig([{ file, text: `[global.access_policy]\n${at}` }])
}

test('its configuration of one store loads', () => {
  process.env['S3_KEY'] = 'key'
  process.env['S3_SECRET'] = 's3cret'
  process.env['PGPASSWORD'] = 's3cret'
  const { blobStore, metadataStore, storage } = load(oneStore)
  assert.equal(blobStore.kind, 's3')
  assert.equal(metadataStore.kind, 'postgres')
  assert.equal(storage.sharing, 'shared')
})

test('its configuration of a store each loads', () => {
  writeFileSync(join(folder, 'redis-password'), 's3cret\n', { mode: 0o600 })
  const { redis } = load(`[blob_store.memory]\n[metadata_store.memory]\n${storeEach}`)
  assert.equal(redis?.username, 'keelson')
  assert.equal(redis?.password?.reveal(), 's3cret')
})

test('it names every metric of Redis, and no other', async () => {
  const registry = new Registry()
  registerUseMetrics(registry, {
    ...{ guards: [], limits: new LimitCounts(), audit: () => undefined },
    quotas: async () => [],
    ...{ gatewayHeadersIgnored: () => 0, ldap: () => [], introspections: () => [] },
    redis: () => undefined,
    sharedLimits: () => undefined,
  })
  const metrics = await registry.getMetricsAsArray()
  const known = metrics.map(({ name }) => name).filter((name) => name.startsWith('keelson_redis_'))
  const named = page
    .match(/`(keelson_redis|…)_\w+`/g)
    ?.map((name) => name.replaceAll('`', '').replace('…', 'keelson_redis'))
  assert.deepEqual(named?.toSorted(), known.toSorted())
})

// Goal: the OCI distribution-spec's own conformance suite finds nothing wrong. Method: its next
// version with every switch on, against a fresh registry; a skipped check counts as a fault.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { goTool, needsGo } from '../support/go-tools.ts'
import { needsPostgres, PostgresServer } from '../support/postgres.ts'
import { attempt } from '../support/run.ts'
import { openScene } from '../support/scene.ts'
import type { ServerOptions } from '../support/server.ts'
import { needsVersitygw, S3Server, s3Keys } from '../support/versitygw.ts'
import { type Results, readCounts, readResults, readTroubles } from './results.ts'

const suite = 'github.com/opencontainers/distribution-spec/conformance'
// Many of the suite's checks are single requests; a healthy registry answers them in seconds.
const suiteTimeoutMs = 180_000

interface Outcome {
  readonly code: number | null
  readonly stderr: string
  readonly counts: Readonly<Record<string, number>>
  readonly troubles: readonly string[]
  readonly results: Results
}

async function runSuite(
  t: TestContext,
  options: ServerOptions,
  switches: NodeJS.ProcessEnv,
): Promise<Outcome | undefined> {
  const program = await goTool(t, 'test/conformance/suite', suite)
  if (program === undefined) return undefined
  const { dir, server } = await openScene(t, options)
  const { code, stdout, stderr } = await attempt(program, [], {
    cwd: dir,
    env: {
      PATH: process.env['PATH'],
      HOME: dir,
      OCI_REGISTRY: server.host,
      OCI_TLS: 'disabled',
      OCI_RESULTS_DIR: join(dir, 'results'),
      OCI_VERSION: 'dev',
      ...switches,
    },
    timeoutMs: suiteTimeoutMs,
  })
  assert.notEqual(code, null, `the suite hung\n${stderr.slice(-2000)}`)
  const counts = readCounts(stdout)
  t.diagnostic(`conformance: ${JSON.stringify(counts)}`)
  const results = readResults(await readFile(join(dir, 'results', 'results.yaml'), 'utf8'))
  return { code, stderr, counts, troubles: readTroubles(stdout), results }
}

/** The names in a section of the results with another status than `Pass`. */
function othersThanPass(found: Readonly<Record<string, string>>, countMin: number): string[] {
  const names = Object.keys(found)
  assert.ok(names.length >= countMin, `only ${names.length} of at least ${countMin} are reported`)
  return names.filter((name) => found[name] !== 'Pass')
}

function assertNothingLeftOut(counts: Readonly<Record<string, number>>, passMin: number): void {
  const { Pass = 0, ...rest } = counts
  assert.deepEqual(rest, { Disabled: 0, Skip: 0, FAIL: 0, Error: 0 })
  assert.ok(Pass >= passMin, `only ${Pass} checks passed`)
}

const cases: readonly (readonly [
  of: string,
  transport: string,
  elsewhere: readonly Elsewhere[],
])[] = [
  ['transport uws', 'uws', []],
  ['transport node', 'node', []],
  ['metadata in PostgreSQL', 'uws', ['metadata']],
  ['blobs in a bucket', 'uws', ['blobs']],
  ['blobs in a bucket and metadata in PostgreSQL', 'uws', ['blobs', 'metadata']],
]

type Elsewhere = 'blobs' | 'metadata'

const needed: Readonly<Record<Elsewhere, { readonly skip: string | false }>> = {
  blobs: needsVersitygw,
  metadata: needsPostgres,
}

/** In place of the base configuration, with a bucket of its own; metadata is in LMDB unless it is elsewhere. */
async function bucketBase(t: TestContext, hasMetadata: boolean): Promise<string> {
  const s3 = await S3Server.start()
  t.after(() => s3.stop())
  const folder = await mkdtemp(join(tmpdir(), 'keel-s3-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return `
[server]
bind_address = "127.0.0.1"
port = 0
[blob_store.s3]
endpoint = "${s3.endpoint}"
bucket = "${await s3.bucket()}"
path_style = true
access_key_id = "${s3Keys.accessKeyId}"
secret_access_key = "${s3Keys.secretAccessKey}"
${hasMetadata ? `[metadata_store.lmdb]\npath = ${JSON.stringify(join(folder, 'metadata'))}` : ''}
[global.access_policy]
default = "allow"
`
}

/** Of a database of its own. */
async function postgresTable(t: TestContext): Promise<string> {
  const postgres = await PostgresServer.start()
  t.after(() => postgres.stop())
  const { host, database, user } = await postgres.database()
  return `[metadata_store.postgres]\nhost = "${host}"\ndatabase = "${database}"\nusername = "${user}"\n`
}

for (const [of, transport, elsewhere] of cases) {
  const title = `the OCI conformance suite passes with nothing skipped on ${of}`
  const lacking = elsewhere.map((each) => needed[each]).find(({ skip }) => skip !== false)
  test(title, lacking ?? needsGo(), async (t) => {
    const isInDatabase = elsewhere.includes('metadata')
    const table = isInDatabase ? await postgresTable(t) : ''
    const isInBucket = elsewhere.includes('blobs')
    const base = isInBucket ? { base: await bucketBase(t, !isInDatabase) } : {}
    const toml = `[server]\ntransport = "${transport}"\n[global]\nallow_missing_blobs = true\n${table}`
    // The one switch that the suite's next version leaves off.
    const outcome = await runSuite(t, { toml, ...base }, { OCI_DATA_SPARSE: 'true' })
    if (outcome === undefined) return
    const { code, stderr, counts, troubles, results } = outcome
    assert.equal(troubles.length, 0, troubles.slice(0, 80).join('\n'))
    assert.equal(code, 0, stderr)
    const { switches, apis, data } = results
    const names = Object.keys(switches)
    assert.deepEqual(
      names.filter((name) => switches[name] !== 'true'),
      [],
    )
    assert.ok(names.length >= 29, 'the suite reports fewer switches than it has')
    assert.deepEqual(othersThanPass(apis, 28), [])
    assert.deepEqual(othersThanPass(data, 24), [])
    assertNothingLeftOut(counts, 1000)
  })
}

test('the default configuration passes all but what it refuses', needsGo(), async (t) => {
  const outcome = await runSuite(t, {}, {})
  if (outcome === undefined) return
  const { code, stderr, counts, results } = outcome
  assert.equal(code, 0, stderr)
  assert.deepEqual(othersThanPass(results.apis, 28), [])
  assert.deepEqual(othersThanPass(results.data, 24), ['Sparse Manifests'])
  assert.equal(results.data['Sparse Manifests'], 'Disabled')
  assertNothingLeftOut(counts, 950)
})

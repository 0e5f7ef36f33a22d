// Goal: a configuration that is read again while a job runs is in force for what it says so of, and leaves the
// run whole. Method: the product, jobs at a rate that never lets them end, and a reload that does.
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { JobStatus } from '../../../src/maintain/job/admin.ts'
import { sampleImage } from '../../http/sample-content.ts'
import { runCommand } from '../../support/command-line.ts'
import { seededBytes } from '../../support/images.ts'
import { assertStatus, type RegistryClient } from '../../support/registry-client.ts'
import { LiveServer } from './live-server.ts'

const quiet = '[storage]\ndurability = "none"\n'

async function pushBlobs(client: RegistryClient, count: number): Promise<readonly string[]> {
  const digests: string[] = []
  for (let i = 0; i < count; i++) {
    digests.push(await client.pushBlob('app', seededBytes(`reloaded ${i}`, 4096)))
  }
  return digests
}

async function pushTags(client: RegistryClient, tags: readonly string[]): Promise<void> {
  for (const tag of tags) {
    const { manifest, blobs } = sampleImage(tag)
    for (const bytes of blobs) await client.pushBlob('app', bytes)
    await client.putManifest('app', tag, manifest)
  }
}

async function assertBlobs(server: LiveServer, digests: readonly string[], status: number) {
  for (const digest of digests) {
    assertStatus(await server.client.get(`/v2/app/blobs/${digest}`), status, digest)
  }
}

function countOf({ details }: JobStatus, name: string): number {
  const amount = (details as Readonly<Record<string, number | { readonly count: number }>>)[name]
  return typeof amount === 'number' ? amount : (amount?.count ?? Number.NaN)
}

async function serve(t: TestContext, toml: string): Promise<LiveServer> {
  return LiveServer.start(t, `${quiet}${toml}`)
}

test('gc: a longer window holds at once, also for what the run has dropped before', async (t) => {
  const gc = (rate: number, window: string): string =>
    `[gc]\nevery = "0s"\ngrace = "1m"\nblobs_per_second = ${rate}\nrestore_window = "${window}"\n`
  const server = await serve(t, gc(1, '1m'))
  const digests = await pushBlobs(server.client, 45)
  server.pass(120)
  await server.startSlow('gc')
  const refused = await server.reload(`${quiet}${gc(1, 'soon')}`)
  assert.ok(refused.problems, 'what cannot be read changes nothing')
  const { changed } = await server.reload(`${quiet}${gc(0, '1h')}`)
  assert.deepEqual(changed.toSorted(), ['gc.blobs_per_second', 'gc.restore_window'])
  const job = await server.ended('gc')
  assert.equal(countOf(job, 'condemned'), digests.length)
  await assertBlobs(server, digests, 404)
  server.pass(120)
  assert.equal(countOf(await server.run('gc'), 'destroyed'), 0, 'none before the new window')
  assert.equal((await server.ask('/gc/restore', { run: job.run })).status, 200)
  await assertBlobs(server, digests, 200)
})

test('scrub: a run goes on at the new rate, over all that is there', async (t) => {
  const scrub = (rate: string): string => `[scrub]\nevery = "0s"\nbytes_per_second = "${rate}"\n`
  const server = await serve(t, scrub('1KiB'))
  const digests = await pushBlobs(server.client, 12)
  await server.startSlow('scrub')
  assert.deepEqual((await server.reload(`${quiet}${scrub('0B')}`)).changed, [
    'scrub.bytes_per_second',
  ])
  const job = await server.ended('scrub')
  assert.equal(countOf(job, 'blobs'), digests.length)
  await assertBlobs(server, digests, 200)
})

test('prune: the rules of its begin hold to its end', async (t) => {
  const retention = (rate: number, rule: string): string =>
    `[retention]\nevery = "0s"\ntags_per_second = ${rate}\n[global.retention_policy]\nrules = ["${rule}"]\n`
  const server = await serve(t, retention(1, "image.tag.startsWith('keep')"))
  const kept = ['keep-1', 'keep-2', 'keep-3']
  await pushTags(server.client, [...kept, 'drop-1', 'drop-2', 'drop-3'])
  await server.startSlow('prune')
  const { changed } = await server.reload(`${quiet}${retention(0, "image.tag.startsWith('drop')")}`)
  assert.ok(changed.includes('global.retention_policy.rules'), changed.join(' '))
  assert.equal(countOf(await server.ended('prune'), 'freed'), 3)
  const tags = async (): Promise<unknown> =>
    JSON.parse((await server.client.get('/v2/app/tags/list')).body.toString()).tags
  assert.deepEqual(await tags(), kept)
  // The next one goes by those of now.
  assert.equal(countOf(await server.run('prune'), 'freed'), 3)
  assert.notDeepEqual(await tags(), kept)
})

test('backup: a run goes on at the new rate, and is whole', async (t) => {
  const backup = (rate: string): string => `[backup]\nbytes_per_second = "${rate}"\n`
  const server = await serve(t, backup('1KiB'))
  await pushBlobs(server.client, 12)
  await pushTags(server.client, ['latest'])
  const to = join(server.folder, 'backup')
  await mkdir(to)
  await server.startSlow('backup', { to })
  assert.deepEqual((await server.reload(`${quiet}${backup('0B')}`)).changed, [
    'backup.bytes_per_second',
  ])
  await server.ended('backup')
  const { code, out, err } = await runCommand(['backup', 'verify', to], server.folder)
  assert.equal(code, 0, out + err)
})

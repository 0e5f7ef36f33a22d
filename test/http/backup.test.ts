// Goal: a backup that is made while others push and delete is a moment of the store: a new host that it is
// restored to serves every tag of it, byte for byte. Method: the product, black box; its commands run inside the test.

import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { withFolder } from '../maintain/backup/scene.ts'
import { type Ran, runCommand } from '../support/command-line.ts'
import { seededBytes } from '../support/images.ts'
import { assertStatus, digestOf, json, RegistryClient } from '../support/registry-client.ts'
import { type Server, startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const manifestType = 'application/vnd.oci.image.manifest.v1+json'

interface Manifest {
  readonly config: { readonly digest: string }
  readonly layers: readonly { readonly digest: string }[]
}

/** In this process: starting one for each command takes most of the time. */
function keelson(config: string, ...args: readonly string[]): Promise<Ran> {
  return runCommand(['-c', config, ...args], '/')
}

async function pushImage(client: RegistryClient, repository: string, tag: string): Promise<string> {
  const config = Buffer.from(JSON.stringify({ repository, tag }))
  const layer = seededBytes(`${repository}:${tag}`, 20_000)
  const shared = seededBytes('shared', 50_000)
  const descriptors = []
  for (const bytes of [config, layer, shared]) {
    const digest = await client.pushBlob(repository, bytes)
    descriptors.push({ mediaType: 'application/octet-stream', digest, size: bytes.length })
  }
  const [first, ...layers] = descriptors
  const manifest = { schemaVersion: 2, mediaType: manifestType, config: first, layers }
  const { answer, digest } = await client.putManifest(repository, tag, manifest)
  assertStatus(answer, 201)
  return digest
}

/** Every tag, with its manifest and all blobs of it, each of which must have its digest. */
async function pullAll(client: RegistryClient): Promise<ReadonlyMap<string, string>> {
  const pulled = new Map<string, string>()
  const { repositories } = json<{ repositories: string[] }>(await client.get('/v2/_catalog'))
  for (const repository of repositories) {
    const target = `/v2/${repository}`
    const { tags } = json<{ tags: string[] }>(await client.get(`${target}/tags/list`))
    for (const tag of tags ?? []) {
      const answer = await client.call('GET', `${target}/manifests/${tag}`, {
        headers: { Accept: manifestType },
      })
      assertStatus(answer, 200, `${repository}:${tag}`)
      pulled.set(`${repository}:${tag}`, digestOf(answer.body))
      const { config, layers } = json<Manifest>(answer)
      for (const { digest } of [config, ...layers]) {
        const blob = assertStatus(await client.get(`${target}/blobs/${digest}`), 200, digest)
        assert.equal(digestOf(blob.body), digest)
      }
    }
  }
  return pulled
}

async function withServer(
  rootDir: string,
  body: (server: Server, client: RegistryClient) => Promise<void>,
): Promise<void> {
  const server = await startServer({ rootDir })
  const client = new RegistryClient(server.url)
  try {
    await body(server, client)
  } finally {
    client.close()
    await server.stop()
  }
}

/** A configuration with its stores in `rootDir`, for commands that need no server. */
async function configFor(rootDir: string, file: string): Promise<string> {
  await writeFile(file, `[blob_store.fs]\nroot_dir = ${JSON.stringify(rootDir)}\n`)
  return file
}

test('a backup that is made under pushes and deletes is restored to a new host whole', () =>
  withFolder(async (folder) => {
    const old = join(folder, 'old')
    const fresh = join(folder, 'new')
    const to = join(folder, 'backup')
    await mkdir(to)
    const settled = new Map<string, string>()
    await withServer(old, async (server, client) => {
      for (let i = 0; i < 10; i++) {
        settled.set(`team/app:v${i}`, await pushImage(client, 'team/app', `v${i}`))
      }
      let isOver = false
      let pushed = 0
      const busy = Array.from({ length: 3 }, async (_, lane) => {
        for (let i = 0; !isOver; i++) {
          await pushImage(client, `busy/lane${lane}`, `v${i}`)
          pushed += 1
          if (i % 2 === 0) continue
          assertStatus(await client.delete(`/v2/busy/lane${lane}/manifests/v${i - 1}`), 202)
        }
      })
      try {
        for (let round = 0; round < 2; round++) {
          const before = pushed
          await until('pushes go on', () => pushed >= before + 6)
          const made = await keelson(server.configFile, 'backup', 'create', '--to', to, '--json')
          assert.equal(made.code, 0, made.out + made.err)
        }
      } finally {
        isOver = true
        await Promise.all(busy)
      }
      const verified = await keelson(server.configFile, 'backup', 'verify', to)
      assert.equal(verified.code, 0, verified.out + verified.err)
    })
    const config = await configFor(fresh, join(folder, 'new.toml'))
    const restored = await keelson(config, 'backup', 'restore', to)
    assert.equal(restored.code, 0, restored.out + restored.err)
    await withServer(fresh, async (server, client) => {
      const pulled = await pullAll(client)
      for (const [name, digest] of settled) assert.equal(pulled.get(name), digest)
      assert.ok(
        [...pulled.keys()].some((name) => name.startsWith('busy/')),
        'pushes were under way',
      )
      // It goes on with the same backup, which has all of it.
      const next = await keelson(server.configFile, 'backup', 'create', '--to', to, '--json')
      assert.equal(next.code, 0, next.out + next.err)
      const { details } = JSON.parse(next.out) as { details: { copied: { count: number } } }
      assert.equal(details.copied.count, 0)
      const again = await keelson(config, 'backup', 'restore', to)
      assert.equal(again.code, 1)
      assert.match(again.err, /is in use by process \d+/)
    })
  }))

test('what a backup has lost or changed is found by verify, and never restored', () =>
  withFolder(async (folder) => {
    const old = join(folder, 'old')
    const to = join(folder, 'backup')
    await mkdir(to)
    const config = await configFor(old, join(folder, 'old.toml'))
    await withServer(old, async (_server, client) => {
      await pushImage(client, 'team/app', 'v1')
    })
    // Without a server it opens the store itself.
    const made = await keelson(config, 'backup', 'create', '--to', to)
    assert.equal(made.code, 0, made.out + made.err)
    assert.match(
      made.out,
      /^snapshot \d{8}T\d{6}Z-[0-9a-f]{8}\n1 repository, 1 tag, 1 manifest, 3 blobs/,
    )
    const listed = await keelson(config, 'backup', 'list', to)
    assert.match(listed.out, /1 repository, 1 tag, 3 blobs/)
    const blob = (await readdir(to, { recursive: true })).find((path) =>
      /blobs\/sha256\/..\/./.test(path),
    )
    await truncate(join(to, blob!), (await stat(join(to, blob!))).size - 1)
    const verified = await keelson(config, 'backup', 'verify', to, '--quick')
    assert.equal(verified.code, 1)
    assert.match(verified.out, /bytes instead of/)
    const elsewhere = await configFor(join(folder, 'new'), join(folder, 'new.toml'))
    const restored = await keelson(elsewhere, 'backup', 'restore', to)
    assert.equal(restored.code, 1)
    assert.match(restored.err, /bytes instead of .*--incomplete/)
    await rm(join(to, blob!))
    // A new backup heals it.
    assert.equal((await keelson(config, 'backup', 'create', '--to', to)).code, 0)
    assert.equal((await keelson(config, 'backup', 'verify', to)).code, 0)
    const pruned = await keelson(config, 'backup', 'prune', to, '--keep', '1')
    assert.match(pruned.out, /1 snapshot stays; removed: 1 snapshot,/)
    const notes = (await readFile(join(to, 'pruned.jsonl'), 'utf8')).trim().split('\n')
    const events = notes.map((line) => JSON.parse(line) as { event: string; dropped: string[] })
    assert.deepEqual(
      events.map(({ event, dropped }) => [event, dropped.length]),
      [
        ['begin', 1],
        ['end', 1],
      ],
    )
    assert.equal((await keelson(elsewhere, 'backup', 'restore', to)).code, 0)
  }))

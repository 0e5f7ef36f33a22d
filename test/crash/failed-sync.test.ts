// Goal: what could not be synced is never acknowledged, and shows to nobody after a restart as more than
// it was. Method: strace lets the kernel's answer to a sync of one file be EIO in a running server.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startDaemon } from '../support/daemon.ts'
import { seededBytes } from '../support/images.ts'
import {
  assertRefused,
  assertStatus,
  digestOf,
  locationOf,
  RegistryClient,
} from '../support/registry-client.ts'
import { type Server, startServer } from '../support/server.ts'
import { needsStraceOfRunning } from '../support/strace.ts'

interface Scene {
  readonly rootDir: string
  server: Server
  client: RegistryClient
}

const traceable = await needsStraceOfRunning()
const repository = 'failed/sync'
const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const bytes = seededBytes('failed sync', 200_000)
const digest = digestOf(bytes)
const hex = digest.slice('sha256:'.length)

async function openScene(t: TestContext): Promise<Scene> {
  const rootDir = await mkdtemp(join(tmpdir(), 'keelson-sync-'))
  let scene: Scene | undefined
  t.after(async () => {
    scene?.client.close()
    scene?.server.kill()
    await scene?.server.exited
    await rm(rootDir, { recursive: true, force: true })
  })
  const server = await startServer({ rootDir })
  scene = { rootDir, server, client: new RegistryClient(server.url) }
  return scene
}

async function restart(scene: Scene): Promise<void> {
  scene.client.close()
  scene.server.kill()
  await scene.server.exited
  scene.server = await startServer({ rootDir: scene.rootDir })
  scene.client = new RegistryClient(scene.server.url)
}

/** Runs `work` while every sync of `path` by the server fails. */
async function failingSyncs<T>(scene: Scene, path: string, work: () => Promise<T>): Promise<T> {
  const calls = 'fsync,fdatasync'
  const fault = ['-P', path, '-e', `trace=${calls}`, '-e', `inject=${calls}:error=EIO`]
  const strace = await startDaemon({
    command: 'strace',
    args: ['-f', '-p', String(scene.server.pid), ...fault],
    // Written when every thread is held; the calls themselves come on the same stream.
    onLine: (line) => (line.includes(' attached') ? true : undefined),
  })
  try {
    const result = await work()
    assert.ok(
      strace.log.some((line) => line.includes('INJECTED')),
      `no sync failed:\n${strace.log.join('\n')}`,
    )
    return result
  } finally {
    await strace.stop()
  }
}

async function push(client: RegistryClient): Promise<string> {
  const location = await client.startUpload(repository)
  return locationOf(assertStatus(await client.patch(location, [bytes]), 202))
}

test(
  'data that could not be synced is not acknowledged, and may be sent again',
  traceable,
  async (t) => {
    const scene = await openScene(t)
    const location = await scene.client.startUpload(repository)
    const id = location.slice(location.lastIndexOf('/') + 1)
    const staged = join(scene.rootDir, '_keelson', 'uploads', id)
    const refused = await failingSyncs(scene, staged, () => {
      return scene.client.finish(location, digest, bytes)
    })
    assertRefused(refused, 503, 'UNAVAILABLE')
    assertRefused(await scene.client.get(`/v2/${repository}/blobs/${digest}`), 404, 'BLOB_UNKNOWN')
    assertStatus(await scene.client.finish(location, digest, bytes), 201)
  },
)

test('streamed data that could not be synced is never acknowledged', traceable, async (t) => {
  const scene = await openScene(t)
  const location = await scene.client.startUpload(repository)
  const id = location.slice(location.lastIndexOf('/') + 1)
  const staged = join(scene.rootDir, '_keelson', 'uploads', id)
  const refused = await failingSyncs(scene, staged, async () => {
    // The sync that begins after the answer fails; the kernel tells of it once only.
    assertStatus(await scene.client.patch(location, [bytes]), 202)
    return scene.client.finish(location, digest)
  })
  assertRefused(refused, 503, 'UNAVAILABLE')
  assertRefused(await scene.client.finish(location, digest), 503, 'UNAVAILABLE')
  assertRefused(await scene.client.get(`/v2/${repository}/blobs/${digest}`), 404, 'BLOB_UNKNOWN')
})

test('a blob whose directory could not be synced is not acknowledged', traceable, async (t) => {
  const scene = await openScene(t)
  const location = await push(scene.client)
  const prefix = join(scene.rootDir, 'blobs', 'sha256', hex.slice(0, 2))
  const refused = await failingSyncs(scene, prefix, () => scene.client.finish(location, digest))
  assertRefused(refused, 503, 'UNAVAILABLE')
  assertRefused(await scene.client.get(`/v2/${repository}/blobs/${digest}`), 404, 'BLOB_UNKNOWN')
  assertStatus(await scene.client.finish(location, digest), 201)
})

test(
  'metadata that could not be synced is not acknowledged, and ends all writes till a restart',
  traceable,
  async (t) => {
    const scene = await openScene(t)
    const config = await scene.client.pushBlob(repository, Buffer.from('{}'))
    const manifest = {
      schemaVersion: 2,
      mediaType: manifestType,
      config: { mediaType: 'application/octet-stream', digest: config, size: 2 },
      layers: [],
    }
    const put = (tag: string) => scene.client.putManifest(repository, tag, manifest)
    assertStatus((await put('before')).answer, 201)
    const data = join(scene.rootDir, '_keelson', 'metadata', 'data.mdb')
    const { answer } = await failingSyncs(scene, data, () => put('after'))
    assertRefused(answer, 503, 'UNAVAILABLE')
    // What the kernel holds of the file is unknown from here on, so it takes no write till a restart.
    assertRefused((await put('later')).answer, 503, 'UNAVAILABLE')
    assertStatus(await scene.client.get(`/v2/${repository}/manifests/before`), 200)
    await restart(scene)
    assertStatus(await scene.client.get(`/v2/${repository}/manifests/before`), 200)
    assertStatus((await put('later')).answer, 201)
  },
)

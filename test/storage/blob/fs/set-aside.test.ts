// Goal: what is not a blob is moved out of its way, what has just taken its place is not, and who has it open notices.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { link, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { digestOfBytes } from '../../../../src/oci/digest.ts'
import type { BlobAudit } from '../../../../src/storage/blob/audit.ts'
import type { BlobStore } from '../../../../src/storage/blob/contract.ts'
import { openFsBlobStore } from '../../../../src/storage/blob/fs/store.ts'
import { dataKey } from '../../../../src/storage/blob/keys.ts'

const digest = digestOfBytes('sha256', Buffer.from('right'))

interface Scene {
  readonly store: BlobStore
  readonly audit: BlobAudit
  readonly path: string
}

async function withBlob(body: (scene: Scene) => Promise<void>): Promise<void> {
  const rootDir = await mkdtemp(join(tmpdir(), 'keelson-aside-'))
  try {
    const store = await openFsBlobStore({ rootDir, durability: 'none' })
    const path = join(rootDir, dataKey(digest))
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, 'wrong', { mode: 0o600 })
    await body({ store, audit: store.audit!, path })
    await store.close()
  } finally {
    await rm(rootDir, { recursive: true })
  }
}

async function markOf({ audit }: Scene): Promise<string> {
  const sight = await audit.look(digest)
  assert.equal(sight.kind, 'file')
  return sight.kind === 'file' ? sight.mark : ''
}

test('what was seen is moved, and can be looked at', async () => {
  await withBlob(async (scene) => {
    const { store, audit } = scene
    const reader = await store.open(digest)
    assert.equal(reader?.fateNow?.(), 'kept')
    const place = await store.quarantine(digest, await markOf(scene))
    assert.ok(place)
    assert.equal(await readFile(place, 'utf8'), 'wrong')
    assert.equal(reader?.fateNow?.(), 'overwritten')
    reader?.close()
    assert.deepEqual(await audit.look(digest), { kind: 'absent' })
    assert.equal(await store.quarantine(digest, 'any'), undefined)
  })
})

test('another file in its place stays', async () => {
  await withBlob(async (scene) => {
    const seen = await markOf(scene)
    await rm(scene.path)
    await writeFile(scene.path, 'right', { mode: 0o600 })
    assert.equal(await scene.store.quarantine(digest, seen), undefined)
    assert.equal(await readFile(scene.path, 'utf8'), 'right')
    assert.equal((await stat(scene.path)).mode & 0o7777, 0o600)
  })
})

test('a second name of the file keeps its permissions', async () => {
  await withBlob(async (scene) => {
    const other = `${scene.path}.${randomUUID()}`
    await link(scene.path, other)
    assert.ok(await scene.store.quarantine(digest, await markOf(scene)))
    assert.equal((await stat(other)).mode & 0o7777, 0o600)
  })
})

// Goal: records and blobs that do not belong together are never served, whichever of the two disks is away, and a start
// that is cut short, or has company, is no stranger to the next. Method: the decision on real directories, and real
// servers whose directories are moved away.

import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Config } from '../../src/config/schema.ts'
import { digestOfBytes } from '../../src/oci/digest.ts'
import {
  pairAnew,
  pairingProblem,
  requireFreeBlobs,
  requirePaired,
} from '../../src/runtime/pairing.ts'
import { dataKey } from '../../src/storage/blob/keys.ts'
import { StorageError } from '../../src/storage/error.ts'
import { MemoryMetadataStore } from '../../src/storage/metadata/memory/store.ts'
import { repository } from '../contract/metadata/scene.ts'
import { runCommand } from '../support/command-line.ts'
import { startServer } from '../support/server.ts'
import { withFolder } from './backup/scene.ts'

interface Scene {
  readonly config: Config
  readonly metadata: MemoryMetadataStore
  readonly ofBlobs: string
  readonly ofRecords: string
  start(): Promise<void>
  record(text: string): Promise<void>
  store(text: string): Promise<void>
}

function withPlaces(body: (scene: Scene) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    const rootDir = join(folder, 'blobs')
    const path = join(folder, 'metadata')
    await mkdir(path)
    const metadata = new MemoryMetadataStore()
    const config = {
      blobStore: { kind: 'fs', rootDir },
      metadataStore: { kind: 'lmdb', path },
    } as unknown as Config
    await body({
      ...{ config, metadata },
      ofBlobs: join(rootDir, '_keelson', 'store-id'),
      ofRecords: join(path, 'blob-store-id'),
      start: async () => (await requirePaired(config, metadata))(),
      record: async (text) => {
        const bytes = Buffer.from(text)
        const digest = digestOfBytes('sha256', bytes)
        const of = { repository: repository('app'), digest, size: bytes.length }
        await metadata.linkBlob({ ...of, leaseUntilMs: 1e15, quotas: [] })
      },
      store: async (text) => {
        const bytes = Buffer.from(text)
        const file = join(rootDir, dataKey(digestOfBytes('sha256', bytes)))
        await mkdir(dirname(file), { recursive: true })
        await writeFile(file, bytes)
      },
    })
  })
}

async function idIn(path: string): Promise<string> {
  return (await readFile(path, 'utf8')).trim()
}

test('a first start gives both the same id, and the next finds it', () =>
  withPlaces(async ({ start, ofBlobs, ofRecords }) => {
    await start()
    const id = await idIn(ofBlobs)
    assert.match(id, /^[0-9a-f-]{36}$/)
    assert.equal(await idIn(ofRecords), id)
    await start()
    assert.equal(await idIn(ofBlobs), id)
    assert.deepEqual(await readdir(dirname(ofBlobs)), ['store-id'])
    assert.deepEqual(await readdir(dirname(ofRecords)), ['blob-store-id'])
  }))

test('an older store gets one where any of its blobs is there', () =>
  withPlaces(async ({ start, record, store, ofBlobs, ofRecords }) => {
    for (const text of ['a', 'b', 'c', 'd']) await record(text)
    await store('c')
    await start()
    assert.equal(await idIn(ofBlobs), await idIn(ofRecords))
  }))

test('an older store whose blobs are away is refused, and nothing is made there', () =>
  withPlaces(async ({ start, record, ofBlobs, config }) => {
    await record('a')
    await assert.rejects(start(), /has none of the blobs that the records name: mount its disk/)
    assert.equal(await pairingProblem(config), undefined)
    const { rootDir } = config.blobStore as { readonly rootDir: string }
    await assert.rejects(readdir(rootDir), { code: 'ENOENT' })
    // As the message says.
    await mkdir(dirname(ofBlobs), { recursive: true })
    await writeFile(ofBlobs, '01234567-89ab-cdef-0123-456789abcdef\n')
    await start()
  }))

test('blobs without the id, or with another one, are refused', () =>
  withPlaces(async ({ start, config, record, store, ofBlobs }) => {
    await start()
    await record('a')
    await store('a')
    const id = await idIn(ofBlobs)
    await rm(ofBlobs)
    await assert.rejects(start(), /is not the blob store of these records/)
    assert.match((await pairingProblem(config)) ?? '', new RegExp(`write ${id}, which`))
    await writeFile(ofBlobs, '01234567-89ab-cdef-0123-456789abcdef\n')
    await assert.rejects(start(), /is the blob store of other records/)
    await writeFile(ofBlobs, id)
    await start()
  }))

test('blobs whose records are away are refused; restored records take them', () =>
  withPlaces(async ({ start, record, store, ofBlobs, ofRecords }) => {
    await start()
    await store('a')
    await rm(ofRecords)
    await assert.rejects(start(), /there are no records of them: mount the disk of the records/)
    await record('a')
    await start()
    assert.equal(await idIn(ofBlobs), await idIn(ofRecords))
  }))

test('a start that was cut short anywhere is gone on with', () =>
  withPlaces(async ({ start, store, ofBlobs, ofRecords }) => {
    const id = '01234567-89ab-cdef-0123-456789abcdef'
    await writeFile(ofRecords, `pending ${id}\n`)
    await start()
    assert.deepEqual([await idIn(ofBlobs), await idIn(ofRecords)], [id, id])
    await store('a')
    await writeFile(ofRecords, `pending ${id}\n`)
    await start()
    assert.equal(await idIn(ofRecords), id)
    await writeFile(ofRecords, 'pending fedcba98-89ab-cdef-0123-456789abcdef\n')
    await assert.rejects(start(), /of other records/)
  }))

test('several processes that start at once agree', () =>
  withPlaces(async ({ config, metadata, ofBlobs, ofRecords }) => {
    const pairs = await Promise.all(
      Array.from({ length: 8 }, () => requirePaired(config, metadata)),
    )
    await Promise.all(pairs.map((pair) => pair()))
    assert.equal(await idIn(ofBlobs), await idIn(ofRecords))
    const again = await requirePaired(config, metadata)
    await again()
  }))

test('moved records take the blobs over at their first start, and the old ones are refused from then on', () =>
  withPlaces(async ({ start, config, metadata, record, store, ofBlobs, ofRecords }) => {
    await start()
    await record('a')
    await store('a')
    const old = await idIn(ofBlobs)
    const path = join(dirname(ofRecords), 'moved')
    await mkdir(path)
    const next = { ...config, metadataStore: { kind: 'lmdb', path } } as unknown as Config
    const open = async (): Promise<void> => (await requirePaired(next, metadata))()
    await pairAnew(next, metadata, { isMoved: true })
    assert.equal(await pairingProblem(next), undefined)
    // Until then the old ones are good, but what was moved is out of date once they are used.
    await start()
    assert.equal(await idIn(ofBlobs), old)
    await assert.rejects(open(), /moved from were used again since/)
    assert.equal(await idIn(ofBlobs), old)
    await pairAnew(next, metadata, { isMoved: true })
    // Cut short between the two.
    const said = await idIn(join(path, 'blob-store-id'))
    const id = said.split(' ')[1] ?? ''
    await writeFile(ofBlobs, `${id}\n`)
    assert.equal(await pairingProblem(next), undefined)
    await writeFile(ofBlobs, `${old}\n`)
    const opening = await Promise.all(
      Array.from({ length: 8 }, () => requirePaired(next, metadata)),
    )
    await Promise.all(opening.map((take) => take()))
    assert.deepEqual([await idIn(ofBlobs), await idIn(join(path, 'blob-store-id'))], [id, id])
    await assert.rejects(start(), /other records: .* these are the old records/)
    await open()
    await writeFile(join(path, 'blob-store-id'), `takes ${id} from ${id}\n`)
    await writeFile(ofBlobs, 'fedcba98-89ab-cdef-0123-456789abcdef\n')
    await assert.rejects(open(), /other records/)
    await rm(ofBlobs)
    await assert.rejects(open(), /is not the blob store of these records/)
  }))

test('blobs with an id are no place for records that do not know it', () =>
  withPlaces(async ({ start, config, metadata, ofBlobs, ofRecords }) => {
    await requireFreeBlobs(config, metadata)
    await start()
    await requireFreeBlobs(config, metadata)
    await writeFile(ofRecords, `pending ${await idIn(ofBlobs)}\n`)
    await requireFreeBlobs(config, metadata)
    await rm(ofRecords)
    await assert.rejects(requireFreeBlobs(config, metadata), /is the blob store of other records/)
  }))

test('an id that cannot be read is no id that is absent', () =>
  withPlaces(async ({ start, ofBlobs }) => {
    await start()
    await rm(ofBlobs)
    await mkdir(ofBlobs)
    await assert.rejects(start(), (error) => error instanceof StorageError)
    await rm(ofBlobs, { recursive: true })
    await writeFile(ofBlobs, 'nonsense!')
    await assert.rejects(start(), /holds no id of a store/)
  }))

async function served(t: TestContext, folder: string): Promise<{ readonly base: string }> {
  const at = (name: string): string => JSON.stringify(join(folder, name))
  const base = `[server]\nport = 0\n[blob_store.fs]\nroot_dir = ${at('blobs')}\n[metadata_store.lmdb]\npath = ${at('metadata')}\n[global.access_policy]\ndefault = "allow"\n`
  const server = await startServer({ base })
  t.after(() => server.stop())
  const bytes = Buffer.from('a blob')
  const digest = digestOfBytes('sha256', bytes)
  const url = `http://127.0.0.1:${server.port}/v2/app/blobs/uploads/?digest=${digest}`
  assert.equal((await fetch(url, { method: 'POST', body: bytes })).status, 201)
  await server.stop()
  return { base }
}

test('a server does not start without the disk of its blobs, nor do jobs, and doctor says why', (t) =>
  withFolder(async (folder) => {
    const { base } = await served(t, folder)
    await rename(join(folder, 'blobs'), join(folder, 'unmounted'))
    await mkdir(join(folder, 'blobs'))
    const file = join(folder, 'config.toml')
    await writeFile(file, base)
    const ran = (...args: readonly string[]): ReturnType<typeof runCommand> =>
      runCommand(['-c', file, ...args], folder)
    const said = /is not the blob store of these records/
    await assert.rejects(startServer({ base }), said)
    for (const command of [['gc'], ['scrub'], ['doctor', '--quick']]) {
      const { code, out, err } = await ran(...command)
      assert.notEqual(code, 0, command.join(' '))
      assert.match(out + err, said, command.join(' '))
    }
    assert.deepEqual(await readdir(join(folder, 'blobs')), [])
    await rm(join(folder, 'blobs'), { recursive: true })
    await rename(join(folder, 'unmounted'), join(folder, 'blobs'))
    assert.equal((await ran('gc')).code, 0)
  }))

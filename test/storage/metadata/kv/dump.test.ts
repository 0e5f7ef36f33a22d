// Goal: a dump is one moment of the store without what belongs to processes that live, and comes back as it was.
// Method: the same cases on memory and LMDB; writes go on between the pages of the dump.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DumpEntry } from '../../../../src/storage/metadata/dump.ts'
import type { KeyValueStore } from '../../../../src/storage/metadata/kv/contract.ts'
import { KeyValueRestore } from '../../../../src/storage/metadata/kv/restore.ts'
import { KeyValueMetadataStore } from '../../../../src/storage/metadata/kv/store.ts'
import { openLmdb } from '../../../../src/storage/metadata/lmdb/open.ts'
import { MemoryKeyValueStore } from '../../../../src/storage/metadata/memory/store.ts'
import {
  app,
  digestOf,
  latest,
  lease,
  link,
  manifest,
  now,
  repository,
  upload,
} from '../../../contract/metadata/scene.ts'
import { breaches } from '../../../simulate/metadata-invariants.ts'
import { withFolder } from '../folder.ts'

type Body = (records: KeyValueStore, store: KeyValueMetadataStore) => Promise<void>

const backends: Readonly<Record<string, (body: Body) => Promise<void>>> = {
  memory: async (body) => {
    const records = new MemoryKeyValueStore()
    await body(records, new KeyValueMetadataStore(records))
  },
  lmdb: (body) =>
    withFolder(async (path) => {
      const options = { path, durability: 'none', sharing: 'exclusive', now: Date.now } as const
      const { store } = await openLmdb(options)
      try {
        await body(store, new KeyValueMetadataStore(store))
      } finally {
        await store.close()
      }
    }),
}

async function fill(store: KeyValueMetadataStore, images: number): Promise<void> {
  for (let i = 0; i < images; i++) {
    const blob = digestOf(`blob ${i}`)
    await link(store, blob)
    const tags = i === 0 ? [latest] : []
    await store.putManifest(manifest(`manifest ${i}`, { blobs: [blob], tags }))
  }
  await link(store, digestOf('loose'), { repository: repository('other') })
}

async function entriesOf(store: KeyValueMetadataStore): Promise<DumpEntry[]> {
  const dump = store.openDump()
  const all: DumpEntry[] = []
  for (let page = await dump.next(); page.length > 0; page = await dump.next()) all.push(...page)
  dump.close()
  return all
}

/** A store in memory has no format of its own. */
function isContent(entry: DumpEntry): boolean {
  return entry.kind !== 'record' || entry.key !== 's!format'
}

const times = { takenAtMs: now, nowMs: now, leaseUntilMs: 0 }

for (const [name, on] of Object.entries(backends)) {
  test(`${name}: writes between the pages of a dump are not in it`, () =>
    on(async (_records, store) => {
      await fill(store, 300)
      const whole = await entriesOf(store)
      const dump = store.openDump()
      const found: DumpEntry[] = []
      for (let page = await dump.next(), i = 0; page.length > 0; page = await dump.next(), i++) {
        found.push(...page)
        await link(store, digestOf(`later ${i}`))
        await store.deleteManifest(app, manifest(`manifest ${i}`).digest, now, lease)
        await new Promise((resolve) => setImmediate(resolve))
      }
      assert.deepEqual(found, whole)
      assert.deepEqual(dump.counts, { repositories: 1, manifests: 300, tags: 1 })
      dump.close()
      assert.notDeepEqual(await entriesOf(store), whole)
    }))

  test(`${name}: records come by key, blobs by digest, and bodies after them`, () =>
    on(async (_records, store) => {
      await fill(store, 20)
      const entries = await entriesOf(store)
      const keys = (kind: DumpEntry['kind']): string[] =>
        entries.flatMap((entry) => {
          if (entry.kind !== kind) return []
          return entry.kind === 'blob' ? [entry.digest] : [entry.key]
        })
      for (const kind of ['record', 'blob', 'body'] as const) {
        assert.deepEqual(keys(kind), [...keys(kind)].sort())
      }
      assert.equal(keys('blob').length, 21)
      assert.equal(keys('body').length, 20)
      assert.equal(
        entries.findLastIndex(({ kind }) => kind === 'record') <
          entries.findIndex(({ kind }) => kind === 'body'),
        true,
      )
    }))

  test(`${name}: what belongs to processes that live is left out`, () =>
    on(async (_records, store) => {
      await fill(store, 1)
      await store.createUpload(upload())
      await store.probe()
      await store.claimJob(
        { kind: 'backup', run: 'r', owner: 'o', input: {}, nowMs: now },
        () => false,
      )
      const doomed = digestOf('doomed')
      await link(store, doomed)
      await store.condemn([{ untilMs: lease, digest: doomed, repository: app }], {
        ...{ nowMs: lease + 1, run: 'r' },
      })
      await store.beginDestroy(store.listDropped({ limit: 10 }))
      await store.setAdoption({ sinceMs: now, of: 'docker-registry' })
      const entries = await entriesOf(store)
      const found = entries.filter((entry) =>
        entry.kind === 'blob'
          ? entry.digest === doomed
          : /^(u!|y!|s!lock|s!probe|s!job|s!adoption)/.test(entry.key) ||
            entry.key === `b!${doomed}`,
      )
      assert.deepEqual(found, [])
    }))

  test(`${name}: a dump that is restored is the same store`, () =>
    on(async (source, store) => {
      await fill(store, 50)
      await store.ensureSecret('secret')
      const entries = await entriesOf(store)
      await on(async (records, restored) => {
        const target = new KeyValueRestore(records)
        assert.deepEqual(await target.readState(), { kind: 'empty' })
        await target.begin('snapshot')
        assert.deepEqual(await target.readState(), { kind: 'begun', snapshot: 'snapshot' })
        await target.load(entries, times, new Set())
        assert.deepEqual(await target.end({}), [])
        assert.equal((await target.readState()).kind, 'used')
        assert.deepEqual((await entriesOf(restored)).filter(isContent), entries.filter(isContent))
        assert.equal(restored.readStoreId(), store.readStoreId())
        assert.deepEqual(breaches(records.reader), [])
        assert.deepEqual(breaches(source.reader), [])
      })
    }))

  test(`${name}: a restore begins with nothing of what was there`, () =>
    on(async (records, store) => {
      await fill(store, 30)
      const target = new KeyValueRestore(records)
      assert.deepEqual(await target.readState(), {
        kind: 'used',
        holds: 'the repository library/app',
      })
      await target.begin('snapshot')
      await target.end({})
      assert.deepEqual(
        (await entriesOf(store)).filter(({ kind }) => kind !== 'record'),
        [],
      )
      assert.equal((await target.readState()).kind, 'empty')
    }))

  test(`${name}: a record that cannot be read is told of, and stops neither dump nor restore`, () =>
    on(async (records, store) => {
      await fill(store, 3)
      const key = `b!${digestOf('blob 1')}`
      await records.write('durable', (transaction) => transaction.put(key, 'poison'))
      await assert.rejects(() => entriesOf(store), /cannot be read/)
      const told: string[] = []
      const dump = store.openDump({ onCorrupt: ({ message }) => told.push(message) })
      const entries: DumpEntry[] = []
      for (let page = await dump.next(); page.length > 0; page = await dump.next())
        entries.push(...page)
      dump.close()
      assert.equal(told.length, 1)
      assert.ok(told[0]?.includes(key))
      await on(async (restored) => {
        const target = new KeyValueRestore(restored)
        await target.begin('snapshot')
        await target.load(entries, times, new Set())
        await target.end({ onCorrupt: () => {} })
        assert.equal(restored.reader.get(key), 'poison')
      })
    }))

  test(`${name}: rows of another format are refused`, () =>
    on(async (records) => {
      const target = new KeyValueRestore(records)
      await target.begin('snapshot')
      const entries = [{ kind: 'record', key: 's!format', value: '2' }] as const
      await assert.rejects(target.load(entries, times, new Set()), /of format 2, not 1/)
    }))
}

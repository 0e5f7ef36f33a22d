// Goal: when LMDB or the disk fails, every write knows its fate, the store goes on where that is safe, and
// refuses writes where it is not. Method: a database whose writes fail, a really full file system, and a
// kernel that fails syncs.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Database, open } from 'lmdb'
import type { KeyValueStore } from '../../../src/storage/metadata/kv/contract.ts'
import { KeyValueMetadataStore } from '../../../src/storage/metadata/kv/store.ts'
import type { OpenRoot } from '../../../src/storage/metadata/lmdb/databases.ts'
import { openLmdb, openLmdbMetadataStore } from '../../../src/storage/metadata/lmdb/open.ts'
import {
  app,
  digestOf,
  isKind,
  lease,
  link,
  manifest,
  now,
  tag,
} from '../../contract/metadata/scene.ts'
import { breaches } from '../../simulate/metadata-invariants.ts'
import { needsTmpfs, withTmpfs } from '../../support/small-tmpfs.ts'
import { needs } from '../../support/tools.ts'
import { within } from '../../support/until.ts'
import { withFolder } from './folder.ts'
import { lmdbOptions } from './lmdb-scene.ts'
import { StoreChild } from './store-child.ts'

const mapFull = Object.assign(new Error('MDB_MAP_FULL: planted'), { code: -30792 })

/** The package's `open`, but for what happens before each write of a record. */
function opening(beforePut: (key: string) => void): OpenRoot {
  const openRoot = (...args: Parameters<typeof open>): ReturnType<typeof open> => {
    const root = open(...args)
    const openDb = root.openDB.bind(root) as (...args: unknown[]) => Database
    const wrapped = (...args: unknown[]): Database => {
      const database = openDb(...args)
      const put = database.putSync.bind(database)
      return Object.assign(database, {
        putSync: (key: string, value: unknown) => {
          beforePut(key)
          return put(key, value)
        },
      })
    }
    return Object.assign(root, { openDB: wrapped })
  }
  return openRoot as OpenRoot
}

interface Scene {
  readonly records: KeyValueStore
  readonly store: KeyValueMetadataStore
  readonly notices: string[]
}

async function withStore(
  beforePut: (key: string) => void,
  body: (scene: Scene) => Promise<void>,
): Promise<void> {
  await withFolder(async (path) => {
    const notices: string[] = []
    const { store: records } = await openLmdb({
      ...lmdbOptions(path),
      openRoot: opening(beforePut),
      onNotice: (notice) => notices.push(notice),
    })
    try {
      await body({ records, store: new KeyValueMetadataStore(records), notices })
    } finally {
      await records.close()
    }
  })
}

test('a write that LMDB refuses fails alone among those of its commit', async () => {
  const refuse = (key: string): void => {
    if (key.includes('!refused')) throw mapFull
  }
  await withStore(refuse, async ({ records, store, notices }) => {
    const puts = Array.from({ length: 9 }, (_, i) =>
      manifest(`m${i}`, { tags: [tag(i === 4 ? 'refused' : `v${i}`), tag('latest')] }),
    )
    const results = await Promise.allSettled(puts.map((put) => store.putManifest(put)))
    for (const [i, result] of results.entries()) {
      if (i !== 4) assert.deepEqual(result, { status: 'fulfilled', value: { kind: 'stored' } })
      else assert.ok(result.status === 'rejected' && isKind('full')(result.reason))
    }
    assert.equal(store.readManifest(app, puts[4]!.digest), undefined)
    assert.equal(store.readTagHistory(app, tag('latest'), 99).length, 8)
    assert.deepEqual(breaches(records.reader), [])
    assert.deepEqual(notices, [])
  })
})

test('a write fails whole wherever LMDB fails it', async () => {
  let left = Number.POSITIVE_INFINITY
  const count = (): void => {
    if (--left < 0) throw mapFull
  }
  await withStore(count, async ({ records, store }) => {
    await link(store, digestOf('layer'))
    const put = manifest('image', { blobs: [digestOf('layer')], tags: [tag('v1')] })
    let failures = 0
    for (let limit = 0; ; limit++) {
      left = limit
      const result = store.putManifest(put)
      const isStored = await result.then(
        () => true,
        () => false,
      )
      left = Number.POSITIVE_INFINITY
      assert.deepEqual(breaches(records.reader), [])
      assert.equal(store.readManifest(app, put.digest) !== undefined, isStored)
      if (isStored) break
      await assert.rejects(result, isKind('full'))
      failures++
    }
    assert.ok(failures > 5, `${failures}`)
  })
})

test('an action that throws takes no neighbour with it', async () => {
  await withStore(
    () => {},
    async ({ records, store }) => {
      const results = await Promise.allSettled([
        store.putManifest(manifest('one')),
        records.write('durable', (transaction) => {
          transaction.put('t!x!y', 'half')
          throw new Error('planted')
        }),
        store.putManifest(manifest('two')),
      ])
      assert.deepEqual(
        results.map(({ status }) => status),
        ['fulfilled', 'rejected', 'fulfilled'],
      )
      assert.equal(records.reader.get('t!x!y'), undefined)
    },
  )
})

test('own writes are visible as soon as they resolve, over an older snapshot', async () => {
  await withStore(
    () => {},
    async ({ store }) => {
      for (let i = 0; i < 300; i++) {
        const put = manifest(`m${i}`, { tags: [tag('latest')] })
        // Takes a snapshot that must not outlive the commit.
        store.readTag(app, tag('latest'))
        await store.putManifest(put)
        assert.equal(store.readTag(app, tag('latest')), put.digest)
      }
    },
  )
})

test('a full disk fails writes whole, and the store goes on', needsTmpfs, async () => {
  await withTmpfs(12 << 20, async (folder) => {
    const path = join(folder, 'metadata')
    const notices: string[] = []
    const options = { ...lmdbOptions(path), onNotice: (notice: string) => notices.push(notice) }
    const { store: records } = await openLmdb(options)
    const store = new KeyValueMetadataStore(records)
    const stored: ReturnType<typeof manifest>[] = []
    let refused = 0
    for (let i = 0; refused < 3; i++) {
      assert.ok(i < 100, 'the disk does not fill')
      const put = manifest('', {
        bytes: Buffer.alloc(300_000, `manifest ${i} `),
        tags: [tag(`v${i}`)],
      })
      const result = store.putManifest(put)
      const isStored = await result.then(
        () => true,
        () => false,
      )
      if (!isStored) {
        refused++
        await assert.rejects(result, isKind('full'))
        assert.equal(store.readManifest(app, put.digest), undefined)
        assert.equal(store.readTag(app, tag(`v${i}`)), undefined)
      } else stored.push(put)
    }
    assert.ok(stored.length > 5)
    assert.deepEqual(notices, [])
    for (const put of stored) {
      assert.ok(Buffer.from(store.readManifest(app, put.digest)!.bytes).equals(put.bytes))
    }
    for (const put of stored.slice(0, 8)) {
      assert.equal(await store.deleteManifest(app, put.digest, now, lease), 'removed')
    }
    await store.putManifest(stored[0]!)
    await store.close()
    const opened = await openLmdb(options)
    assert.deepEqual(breaches(opened.store.reader), [])
    await opened.store.close()
  })
})

test('after a failed sync no write is acknowledged any more', needs('strace'), async (t) => {
  await withFolder(async (path) => {
    const inject = 'inject=fdatasync:error=EIO:when=4'
    const wrap = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=fdatasync', '-e', inject]
    const child = new StoreChild(t, path, { wrap })
    await child.opened()
    let failedAt = 0
    for (let number = 0; failedAt === 0; number++) {
      assert.ok(number < 100, 'no sync failed')
      child.say({ kind: 'store', number })
      const answer = await child.next()
      if (answer.kind !== 'failed') continue
      assert.match(answer.reason, /^unavailable: .*Input\/output error/)
      failedAt = number
    }
    // The kernel is well again, but what the failed sync lost may never be written.
    for (let number = failedAt + 1; number < failedAt + 20; number++) {
      child.say({ kind: 'store', number })
      const answer = await child.next()
      assert.ok(answer.kind === 'failed' && answer.reason.startsWith('unavailable: '))
    }
    await child.close()
  })
})

test('a commit that is stuck gives its writes up, and the next ones at once', async () => {
  await withFolder(async (path) => {
    const notices: string[] = []
    let release = (): void => {}
    let isStuck = false
    const openRoot = ((...args: Parameters<typeof open>) => {
      const root = open(...args)
      const transaction = root.transaction.bind(root)
      return Object.assign(root, {
        transaction: async (action: () => unknown) => {
          const result = await transaction(action)
          if (!isStuck) return result
          await new Promise<void>((resolve) => {
            release = resolve
          })
          return result
        },
      })
    }) as OpenRoot
    const store = await openLmdbMetadataStore({
      ...lmdbOptions(path),
      openRoot,
      // Long enough for a commit on a busy machine that is not stuck.
      stallAfterMs: 2000,
      onNotice: (notice) => notices.push(notice),
    })
    await store.probe()
    isStuck = true
    const stuck = store.putManifest(manifest('stuck'))
    await within('the end of the stuck write', assert.rejects(stuck, isKind('unavailable')))
    await assert.rejects(store.probe(), isKind('unavailable'))
    assert.match(notices.join(), /stuck/)
    isStuck = false
    release()
    await within(
      'the store to recover',
      (async () => {
        while (
          !(await store.probe().then(
            () => true,
            () => false,
          ))
        )
          await new Promise(setImmediate)
      })(),
    )
    await store.close()
  })
})

test('a store of another format does not open, and stays as it is', async () => {
  await withFolder(async (path) => {
    const { store } = await openLmdb(lmdbOptions(path))
    await store.write('durable', (transaction) => transaction.put('s!format', '2'))
    await store.close()
    const opened = openLmdbMetadataStore(lmdbOptions(path))
    await assert.rejects(opened, /metadata store has format 2, not 1/)
    await assert.rejects(openLmdbMetadataStore(lmdbOptions(path)), isKind('unavailable'))
  })
})

test('a store opens with either durability, whatever it was written with', async () => {
  await withFolder(async (path) => {
    const stored = []
    for (const durability of ['fsync', 'none', 'fsync', 'none'] as const) {
      const store = await openLmdbMetadataStore(lmdbOptions(path, { durability }))
      const put = manifest(`m${stored.length}`)
      await store.putManifest(put)
      stored.push(put)
      for (const { digest } of stored) assert.ok(store.readManifest(app, digest), durability)
      await store.close()
    }
  })
})

test('a path that is not a folder is unavailable', async () => {
  await withFolder(async (path) => {
    const opened = openLmdbMetadataStore(lmdbOptions(join(path, '\u0000')))
    await assert.rejects(opened, isKind('unavailable'))
    await assert.rejects(openLmdbMetadataStore(lmdbOptions('/dev/null/x')), isKind('unavailable'))
  })
})

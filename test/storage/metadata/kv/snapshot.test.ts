// Goal: a snapshot shows what was committed when it was opened, on every backend, while writes go on.
// Method: the same cases on memory and on LMDB; what is written after, over many turns, must not show.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KeyValueStore } from '../../../../src/storage/metadata/kv/contract.ts'
import { openLmdb } from '../../../../src/storage/metadata/lmdb/open.ts'
import { MemoryKeyValueStore } from '../../../../src/storage/metadata/memory/store.ts'
import { withFolder } from '../folder.ts'

type Body = (store: KeyValueStore) => Promise<void>

const backends: Readonly<Record<string, (body: Body) => Promise<void>>> = {
  memory: (body) => body(new MemoryKeyValueStore()),
  'lmdb, exclusive': (body) => onLmdb('exclusive', body),
  'lmdb, shared': (body) => onLmdb('shared', body),
}

function onLmdb(sharing: 'exclusive' | 'shared', body: Body): Promise<void> {
  return withFolder(async (path) => {
    const { store } = await openLmdb({ path, durability: 'none', sharing, now: Date.now })
    try {
      await body(store)
    } finally {
      await store.close()
    }
  })
}

const all = { start: 'r', end: 's' }
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

for (const [name, on] of Object.entries(backends)) {
  test(`${name}: a snapshot does not see what is written after it was opened`, () =>
    on(async (store) => {
      await store.write('durable', (transaction) => {
        for (const key of ['r!a', 'r!b', 'r!c']) transaction.put(key, `old ${key}`)
        transaction.putBody('r!b', Buffer.from('old body'))
        transaction.putBody('r!z', Buffer.alloc(100_000, 'z'))
      })
      const snapshot = store.snapshot()
      for (let i = 0; i < 50; i++) {
        await store.write('durable', (transaction) => {
          transaction.put('r!a', `new ${i}`)
          transaction.remove('r!b')
          transaction.removeBody('r!b')
          transaction.put(`r!new${i}`, '1')
          transaction.putBody(`r!new${i}`, Buffer.alloc(5_000, i))
          transaction.putBody('r!z', Buffer.from('new body'))
        })
        await turn()
        assert.equal(await snapshot.get('r!a'), 'old r!a')
      }
      const keys = (await snapshot.entries(all)).map(({ key }) => key)
      assert.deepEqual(keys, ['r!a', 'r!b', 'r!c'])
      assert.deepEqual(await snapshot.entries({ ...all, start: 'r!b', limit: 1 }), [
        { key: 'r!b', value: 'old r!b' },
      ])
      assert.deepEqual(await snapshot.bodyKeys(all), ['r!b', 'r!z'])
      assert.equal(Buffer.from((await snapshot.getBody('r!b')) ?? []).toString(), 'old body')
      assert.deepEqual((await snapshot.getBody('r!z'))?.length, 100_000)
      assert.equal(await snapshot.getBody('r!new1'), undefined)
      snapshot.close()
      snapshot.close()
      assert.equal(store.reader.get('r!a'), 'new 49')
      assert.equal(store.reader.keys(all).length, 52)
    }))

  test(`${name}: snapshots of different moments stand beside each other, and the store closes after them`, () =>
    on(async (store) => {
      const put = (value: string): Promise<void> =>
        store.write('durable', (transaction) => transaction.put('r!a', value))
      await put('first')
      const first = store.snapshot()
      await put('second')
      const second = store.snapshot()
      await put('third')
      await turn()
      assert.equal(await first.get('r!a'), 'first')
      assert.equal(await second.get('r!a'), 'second')
      first.close()
      await turn()
      assert.equal(await second.get('r!a'), 'second')
      second.close()
      assert.equal(store.reader.get('r!a'), 'third')
    }))
}

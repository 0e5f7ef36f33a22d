// Goal: two nodes of one database get in each other's way, and nothing is lost, doubled or seen late.
// Method: both write the same few records at once; KEELSON_TEST_SEED repeats the choices of a run.

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { StorageError } from '../../../src/storage/error.ts'
import { type OpenPostgres, openPostgres } from '../../../src/storage/metadata/postgres/open.ts'
import { PostgresMetadataStore } from '../../../src/storage/metadata/postgres/store.ts'
import {
  app,
  digestOf,
  latest,
  lease,
  manifest,
  now,
  repository,
  tag,
  upload,
} from '../../contract/metadata/scene.ts'
import { breaches } from '../../simulate/metadata-invariants.ts'
import { Dice, randomFrom } from '../../support/dice.ts'
import { needsPostgres, PostgresServer } from '../../support/postgres.ts'

const seed = Number(process.env['KEELSON_TEST_SEED'] ?? randomInt(2 ** 31))

describe('two nodes of one PostgreSQL', needsPostgres, () => {
  let server: PostgresServer
  const nodes: OpenPostgres[] = []
  const stores: PostgresMetadataStore[] = []
  before(async () => {
    server = await PostgresServer.start()
    const options = {
      ...(await server.database()),
      ...{ connectionsMax: 8, connectTimeoutMs: 60_000, statementTimeoutMs: 60_000 },
      conflictsMaxMs: 60_000,
    }
    // At once: both make the tables.
    nodes.push(...(await Promise.all([openPostgres(options), openPostgres(options)])))
    for (const { store, database } of nodes) stores.push(new PostgresMetadataStore(store, database))
  })
  after(async () => {
    await Promise.all(stores.map((store) => store.close()))
    await server?.stop()
  })

  test('no increment of a counter is lost', async () => {
    const adding = nodes.map(async ({ store }) => {
      // One after the other, or all of a node would be one transaction.
      for (let i = 0; i < 50; i++) {
        await store.write('visible', (transaction) => {
          transaction.put('x!count', String(Number(transaction.get('x!count') ?? '0') + 1))
        })
      }
    })
    await Promise.all(adding)
    for (const { store } of nodes) {
      assert.equal(await store.read(() => store.reader.get('x!count')), '100')
    }
    await nodes[0]!.store.write('visible', (transaction) => transaction.remove('x!count'))
  })

  test('a set that each checks before it writes is never over its bound', async () => {
    // Write skew: each adds a row of its own, where there are fewer than five.
    const range = { start: 'y!', end: 'y"' }
    for (let round = 0; round < 10; round++) {
      const tries = nodes.flatMap(({ store }, node) =>
        [0, 1, 2, 3].map((each) =>
          store.write('visible', (transaction) => {
            if (transaction.keys(range).length >= 5) return false
            transaction.put(`y!${node}-${each}`, '1')
            return true
          }),
        ),
      )
      const made = (await Promise.all(tries)).filter((done) => done).length
      const keys = await nodes[0]!.store.read(() => nodes[0]!.store.reader.keys(range))
      assert.equal(made, 5)
      assert.equal(keys.length, 5)
      await nodes[1]!.store.write('visible', (transaction) => {
        for (const key of keys) transaction.remove(key)
      })
    }
  })

  test('a tag that one has moved is seen by the other at once', async () => {
    const [writer, reader] = stores as [PostgresMetadataStore, PostgresMetadataStore]
    for (let i = 0; i < 40; i++) {
      const put = manifest(`seen ${i}`, { tags: [latest] })
      assert.deepEqual(await writer.putManifest(put), { kind: 'stored' })
      assert.equal(await reader.readTag(app, latest), put.digest)
      const stored = await reader.readManifest(app, put.digest)
      assert.ok(Buffer.from(stored!.bytes).equals(put.bytes))
    }
  })

  test('of all who claim a session at once one has it', async () => {
    const record = upload()
    await stores[0]!.createUpload(record)
    const claims = await Promise.all(
      stores.flatMap((store, node) =>
        [0, 1, 2, 3].map((each) =>
          store
            .claimUpload(record.id, `${node}-${each}`, now, () => false)
            .then(
              (claimed) => claimed?.owner,
              (error: unknown) => {
                assert.ok(error instanceof StorageError && error.kind === 'conflict', String(error))
                return undefined
              },
            ),
        ),
      ),
    )
    assert.equal(claims.filter((owner) => owner !== undefined).length, 1)
    const kept = await stores[1]!.readUpload(record.id)
    assert.ok(claims.includes(kept?.owner))
    await stores[0]!.removeUpload(record.id, kept!.fence)
  })

  test(`what is written at once leaves records that agree (seed ${seed})`, async (t) => {
    const dice = new Dice(randomFrom(seed))
    const names = ['a', 'a/b', 'c'].map(repository)
    const tags = ['v1', 'latest'].map(tag)
    const blobs = ['one', 'two', 'three'].map(digestOf)
    for (let round = 0; round < 25; round++) {
      const at = Array.from({ length: 16 }, (_, each) => {
        const store = stores[each % 2]!
        const [name, blob] = [dice.pick(names), dice.pick(blobs)]
        const until = now + lease
        const what = dice.below(7)
        if (what < 2) {
          const link = {
            repository: name,
            digest: blob,
            size: 100,
            leaseUntilMs: until,
            quotas: [],
          }
          return store.linkBlob(link)
        }
        if (what < 4) {
          const content = `content ${dice.below(4)}`
          const more = { repository: name, tags: [dice.pick(tags)], blobs: [blob] }
          return store.putManifest(manifest(content, more))
        }
        if (what === 4) return store.deleteTag(name, dice.pick(tags), now)
        if (what === 5) return store.unlinkBlob(name, blob, until)
        const { digest } = manifest(`content ${dice.below(4)}`)
        return store.deleteManifest(name, digest, now, until)
      })
      await Promise.all(at)
      const { store } = nodes[round % 2]!
      assert.deepEqual(await store.read(() => breaches(store.reader)), [], `round ${round}`)
      assert.deepEqual(await stores[round % 2]!.recountUsage({ repair: false }), [])
    }
    const conflicts = stores.map((store) => store.figures().conflicts)
    t.diagnostic(`conflicts: ${conflicts.join(', ')}`)
    // Nodes that never meet prove nothing.
    assert.ok(conflicts[0]! + conflicts[1]! > 0)
  })
})

// Goal: a killed process has lost nothing that it acknowledged, leaves nothing half done, and stops nobody
// else. Method: a child that writes without a pause is killed at random moments, again and again on the same
// store; KEELSON_TEST_SEED repeats the moments.

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseUploadId } from '../../../src/oci/upload-id.ts'
import { KeyValueMetadataStore } from '../../../src/storage/metadata/kv/store.ts'
import { openLmdb } from '../../../src/storage/metadata/lmdb/open.ts'
import { app, latest, manifest, tag } from '../../contract/metadata/scene.ts'
import { breaches } from '../../simulate/metadata-invariants.ts'
import { randomFrom } from '../../simulate/metadata-world.ts'
import { within } from '../../support/until.ts'
import { withFolder } from './folder.ts'
import { lmdbOptions } from './lmdb-scene.ts'
import { type ChildOptions, StoreChild } from './store-child.ts'

const seed = Number(process.env['KEELSON_TEST_SEED'] ?? randomInt(2 ** 31))
const rounds = 25
const inFlight = 8

/** Let a child write until it is killed; answers the names of what it acknowledged. */
async function writeUntilKilled(
  t: TestContext,
  path: string,
  options: ChildOptions,
  firstNumber: number,
  killAfterMs: number,
): Promise<string[]> {
  const child = new StoreChild(t, path, options)
  await child.opened()
  const acknowledged: string[] = []
  let number = firstNumber
  const ask = (): void => {
    child.say(number % 3 === 0 ? { kind: 'session' } : { kind: 'store', number })
    number++
  }
  for (let i = 0; i < inFlight; i++) ask()
  const killed = sleep(killAfterMs).then(() => child.kill())
  for (;;) {
    const message = await child.next()
    if (message.kind === 'ended') break
    assert.ok(message.kind === 'stored', JSON.stringify(message))
    acknowledged.push(message.name)
    ask()
  }
  await killed
  return acknowledged
}

test(`${rounds} kills lose nothing that was acknowledged`, async (t) => {
  t.diagnostic(`KEELSON_TEST_SEED=${seed}`)
  const random = randomFrom(seed)
  await withFolder(async (path) => {
    const acknowledged: string[] = []
    for (let round = 0; round < rounds; round++) {
      const killAfterMs = random() * 40
      const names = await writeUntilKilled(t, path, {}, round * 1_000_000, killAfterMs)
      acknowledged.push(...names)
      const { store: records } = await openLmdb(lmdbOptions(path))
      const store = new KeyValueMetadataStore(records)
      const manifests = new Set(
        records.reader
          .keys({ start: `r!${app}!m!`, end: `r!${app}!m"` })
          .map((key) => key.slice(-71)),
      )
      for (const name of acknowledged) {
        const id = parseUploadId(name)
        const isThere = id === undefined ? manifests.has(name) : store.readUpload(id) !== undefined
        assert.ok(isThere, `${name} after round ${round} of seed ${seed}`)
      }
      assert.deepEqual(breaches(records.reader), [])
      assert.equal(store.readTagHistory(app, latest, 1_000_000).length, manifests.size)
      await store.close()
    }
    assert.ok(acknowledged.length > rounds, `only ${acknowledged.length} writes`)
  })
})

test('a process that is killed while it writes does not stop the others', async (t) => {
  const random = randomFrom(seed)
  await withFolder(async (path) => {
    const { store: records } = await openLmdb(lmdbOptions(path, { sharing: 'shared' }))
    const store = new KeyValueMetadataStore(records)
    let number = 0
    for (let round = 0; round < 8; round++) {
      const options = { sharing: 'shared' } as const
      const other = writeUntilKilled(t, path, options, round * 1_000_000, random() * 40)
      let isKilled = false
      void other.finally(() => {
        isKilled = true
      })
      for (let after = 0; after < 3; after += isKilled ? 1 : 0) {
        const put = manifest(`own ${number++}`, { tags: [tag('own')] })
        await within('a write beside the killed process', store.putManifest(put))
      }
      const names = await other
      store.refresh()
      const last = names.findLast((name) => parseUploadId(name) === undefined)
      if (last !== undefined) assert.ok(records.reader.get(`r!${app}!m!${last}`))
    }
    assert.equal(store.readTagHistory(app, tag('own'), 1_000_000).length, number)
    assert.deepEqual(breaches(records.reader), [])
    await store.close()
  })
})

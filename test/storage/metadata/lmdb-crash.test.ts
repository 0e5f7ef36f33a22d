// Goal: a killed process has lost nothing that it acknowledged, leaves nothing half done, and stops nobody
// else. Method: a child that writes without a pause is killed at random moments, again and again on the same
// store; KEELSON_TEST_SEED repeats the moments.

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseDigest } from '../../../src/oci/digest.ts'
import { parseUploadId } from '../../../src/oci/upload-id.ts'
import { below, lastPart, manifestsPrefix } from '../../../src/storage/metadata/kv/keys.ts'
import { KeyValueMetadataStore } from '../../../src/storage/metadata/kv/store.ts'
import { openLmdb } from '../../../src/storage/metadata/lmdb/open.ts'
import { app, latest, manifest, tag } from '../../contract/metadata/scene.ts'
import { breaches } from '../../simulate/metadata-invariants.ts'
import { randomFrom } from '../../simulate/metadata-world.ts'
import { needs } from '../../support/tools.ts'
import { within } from '../../support/until.ts'
import { withFolder } from './folder.ts'
import { lmdbOptions } from './lmdb-scene.ts'
import { type ChildOptions, StoreChild } from './store-child.ts'

const seed = Number(process.env['KEELSON_TEST_SEED'] ?? randomInt(2 ** 31))
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
  // The clock starts with the first answer: on a busy machine it would otherwise run out before it.
  let killed: Promise<void> | undefined
  for (;;) {
    const message = await child.next()
    if (message.kind === 'ended') break
    assert.ok(message.kind === 'stored', JSON.stringify(message))
    acknowledged.push(message.name)
    killed ??= sleep(killAfterMs).then(() => child.kill())
    ask()
  }
  await killed
  return acknowledged
}

/** Errors: AssertionError where anything acknowledged is gone, or anything half done is there. */
async function killAgainAndAgain(
  t: TestContext,
  rounds: number,
  killWithinMs: number,
  options: ChildOptions,
): Promise<void> {
  t.diagnostic(`KEELSON_TEST_SEED=${seed}`)
  const random = randomFrom(seed)
  await withFolder(async (path) => {
    const acknowledged: string[] = []
    for (let round = 0; round < rounds; round++) {
      const killAfterMs = random() * killWithinMs
      const names = await writeUntilKilled(t, path, options, round * 1_000_000, killAfterMs)
      acknowledged.push(...names)
      const { store: records } = await openLmdb(lmdbOptions(path))
      const store = new KeyValueMetadataStore(records)
      const keys = records.reader.keys(below(manifestsPrefix(app)))
      const manifests = new Set(keys.map((key) => lastPart(key, manifestsPrefix(app))))
      for (const name of acknowledged) {
        const id = parseUploadId(name)
        const isThere = id === undefined ? manifests.has(name) : store.readUpload(id) !== undefined
        assert.ok(isThere, `${name} after round ${round} of seed ${seed}`)
      }
      assert.deepEqual(breaches(records.reader), [])
      assert.equal(store.readTagHistory(app, latest, 1_000_000).length, manifests.size)
      await store.close()
    }
    assert.ok(acknowledged.length >= rounds, `only ${acknowledged.length} writes`)
  })
}

test('15 kills lose nothing that was acknowledged', async (t) => {
  await killAgainAndAgain(t, 15, 40, {})
})

// What is acknowledged too early is hardly ever caught otherwise: the commit is as quick as the kill.
test('8 kills amid slow writes lose nothing that was acknowledged', needs('strace'), async (t) => {
  const inject = 'inject=pwrite64:delay_enter=5000'
  const wrap = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=pwrite64', '-e', inject]
  await killAgainAndAgain(t, 8, 400, { wrap })
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
      const digest = parseDigest(last ?? '')
      if (digest !== undefined) assert.ok(store.readManifest(app, digest))
    }
    assert.equal(store.readTagHistory(app, tag('own'), 1_000_000).length, number)
    assert.deepEqual(breaches(records.reader), [])
    await store.close()
  })
})

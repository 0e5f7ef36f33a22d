// Goal: the committed bytes of a session outlive every request that fails, and a request that fails keeps
// no room on the disk. Method: bodies that end early, and a published blob's bytes that are to be copied,
// on a tmpfs without room for it.
import assert from 'node:assert/strict'
import { link, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { StorageError } from '../../src/storage/error.ts'
import { FedBody, patternBody } from '../offload/fed-body.ts'
import { type PoolScene, withPool } from '../offload/scene.ts'
import { patternBytes } from '../support/pattern-source.ts'
import { digestOf } from '../support/registry-client.ts'
import { needsTmpfs, withTmpfs } from '../support/small-tmpfs.ts'

const mib = 1 << 20
const kept = 2 * mib

function isFull(error: unknown): boolean {
  return error instanceof StorageError && error.kind === 'full'
}

async function stageKept({ pool, plan }: PoolScene): Promise<void> {
  await pool.receive(plan('session'), patternBody(kept, 300_000))
}

for (const offset of [0, kept]) {
  test(`a body that breaks off after ${offset} committed bytes gives its room back`, () =>
    withPool({}, async (scene) => {
      if (offset > 0) await stageKept(scene)
      const body = new FedBody()
      const outcome = scene.pool.receive(scene.plan('session', { offset }), body)
      for (let i = 0; i < 4; i++) body.feed(patternBytes(mib))
      while (body.backlog > 0) await new Promise((resolve) => setImmediate(resolve))
      body.abort()
      assert.equal((await outcome).kind, 'aborted')
      assert.equal((await stat(scene.path('session'))).size, offset)
    }))

  test(`a body that is refused after ${offset} committed bytes gives its room back`, () =>
    withPool({}, async (scene) => {
      if (offset > 0) await stageKept(scene)
      const plan = scene.plan('session', { offset, bytesMax: offset + 3 * mib })
      const outcome = await scene.pool.receive(plan, patternBody(4 * mib, 300_000))
      assert.equal(outcome.kind, 'too-large')
      assert.equal((await stat(scene.path('session'))).size, offset)
    }))
}

test(
  'a published blob whose bytes cannot be copied leaves the session where it stood',
  needsTmpfs,
  () =>
    withTmpfs(6 * mib, (directory) =>
      withPool(
        {},
        async (scene) => {
          await stageKept(scene)
          const blob = scene.path('blob')
          await link(scene.path('session'), blob)
          const ballast = scene.path('ballast')
          await writeFile(ballast, Buffer.alloc(3 * mib))
          const plan = scene.plan('session', { offset: kept })
          const rest = (): FedBody => patternBody(1000, 300, { from: kept })
          await assert.rejects(scene.pool.receive(plan, rest()), isFull)
          assert.deepEqual((await readdir(scene.directory)).sort(), ['ballast', 'blob', 'session'])
          await truncate(ballast, 0)
          const outcome = await scene.pool.receive(plan, rest())
          assert.ok(outcome.kind === 'complete')
          assert.equal(outcome.digest, digestOf(patternBytes(kept + 1000)))
          assert.ok((await readFile(blob)).equals(patternBytes(kept)), 'the blob has changed')
          const session = await readFile(scene.path('session'))
          assert.ok(session.equals(patternBytes(kept + 1000)))
        },
        directory,
      ),
    ),
)

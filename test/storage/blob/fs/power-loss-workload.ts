// Run by power-loss.test.ts under a file recorder: uploads of all kinds at once, and some removals.
//
// Arguments: root directory, log of the recorder, seed, durability.

import { randomUUID } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import { type Digest, digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId } from '../../../../src/oci/upload-id.ts'
import { createIngestPool } from '../../../../src/offload/ingest-pool.ts'
import { openFsBlobStore } from '../../../../src/storage/blob/fs/store.ts'
import { FedBody, patternBody } from '../../../offload/fed-body.ts'
import { patternBytes } from '../../../support/pattern-source.ts'
import { seededRandom } from '../../../support/power-loss.ts'

const [root = '', log = '', seed = '1', durability = 'fsync'] = process.argv.slice(2)
const random = seededRandom(Number(seed))
const mode = durability === 'none' ? 'none' : 'fsync'
const store = await openFsBlobStore({ rootDir: root, durability: mode })
const pool = createIngestPool({
  workers: 1,
  slabBytes: 128 << 10,
  slabsPerUpload: 2,
  memoryBudgetBytes: 4 << 20,
  durability: mode,
  writebackBytes: 256 << 10,
})

function promise(text: string): void {
  appendFileSync(log, `${JSON.stringify({ at: 'promise', text })}\n`)
}

const publishes = new Map<Digest, number>()
const removals = new Map<Digest, Promise<boolean>>()
const lengths = [0, 1, 1000, 20_000, 65_536, 100_000, 300_000, 700_000]

function pick<Item>(items: readonly Item[]): Item {
  return items[Math.floor(random() * items.length)] as Item
}

async function upload(): Promise<void> {
  const id = newUploadId(randomUUID)
  const length = pick(lengths)
  const split = random() < 0.3 ? Math.floor(random() * length) : 0
  const sync = random() < 0.5
  const plan = {
    target: store.staging(id),
    algorithm: 'sha256',
    hash: { kind: random() < 0.5 ? 'stream' : 'exportable' },
    bytesMax: 1 << 30,
    sync,
  } as const
  if (split > 0) await pool.receive({ ...plan, offset: 0 }, patternBody(split, 40_000))
  if (random() < 0.3) {
    const interrupted = new FedBody().feed(Buffer.alloc(150_000, 0xff))
    const lost = pool.receive({ ...plan, offset: split }, interrupted)
    setImmediate(() => interrupted.abort())
    await lost
  }
  const rest = patternBody(length - split, 40_000, { from: split })
  await pool.receive({ ...plan, offset: split }, rest)
  if (!sync) await pool.sync(plan.target)
  const digest = digestOfBytes('sha256', patternBytes(length))
  while (removals.has(digest)) await removals.get(digest)
  publishes.set(digest, (publishes.get(digest) ?? 0) + 1)
  await store.publish(id, digest, length)
  promise(`kept ${digest} ${length}`)
  publishes.set(digest, (publishes.get(digest) ?? 0) - 1)
  if (random() < 0.8) await store.discard(id)
  if (random() < 0.2) await remove(digest)
}

// Removing is for holders of the blob's record lock: nobody publishes it meanwhile.
async function remove(digest: Digest): Promise<void> {
  if (publishes.get(digest) !== 0 || removals.has(digest)) return
  promise(`free ${digest}`)
  const removal = store.remove(digest)
  removals.set(digest, removal)
  await removal
  removals.delete(digest)
}

async function lane(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await upload()
}

await Promise.all([lane(6), lane(6), lane(6), lane(6)])
await pool.close()
await store.close()

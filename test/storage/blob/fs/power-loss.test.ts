// Goal: after a power cut at any moment every acknowledged blob is whole, every blob at its final key
// is whole, and what was not acknowledged can be uploaded again.
// Method: record the file calls of a real run, rebuild what a cut may leave of it, and open that. The
// same with one kind of sync left out must fail, or this test would prove nothing.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { type Digest, digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId } from '../../../../src/oci/upload-id.ts'
import type { BlobStore } from '../../../../src/storage/blob/contract.ts'
import { openFsBlobStore } from '../../../../src/storage/blob/fs/store.ts'
import type { FileEvent } from '../../../support/file-events.ts'
import { patternBytes } from '../../../support/pattern-source.ts'
import { parseRecording, seededRandom, writePowerCut } from '../../../support/power-loss.ts'

const run = promisify(execFile)
const seed = Number(process.env['KEELSON_TEST_SEED'] ?? 20_240_607)
const lengths = new Map(
  [0, 1, 1000, 20_000, 65_536, 100_000, 300_000, 700_000].map((length) => [
    digestOfBytes('sha256', patternBytes(length)),
    length,
  ]),
)

interface Recording {
  readonly root: string
  readonly events: readonly FileEvent[]
}

let directory = ''
let recording: Recording

async function recordRun(name: string, durability: string): Promise<Recording> {
  const root = join(directory, name)
  const log = join(directory, `${name}.log`)
  const url = new URL('../../../support/file-recorder.js', import.meta.url)
  url.search = new URLSearchParams({ log, root }).toString()
  const workload = new URL('./power-loss-workload.js', import.meta.url).pathname
  const args = ['--import', url.href, workload, root, log, String(seed), durability]
  await run(process.execPath, args, { timeout: 120_000 })
  return { root, events: parseRecording(await readFile(log, 'utf8')) }
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'keelson-power-'))
  recording = await recordRun('run', 'fsync')
})

after(() => rm(directory, { recursive: true, force: true }))

/** What is wrong after a power cut before event `cut`; the seed of its chances follows from it. */
async function problemsAfter({ root, events }: Recording, cut: number): Promise<string[]> {
  const into = await mkdtemp(join(directory, 'cut-'))
  try {
    const promises = await writePowerCut(events, cut, root, into, seededRandom(seed + cut))
    const store = await openFsBlobStore({ rootDir: into, durability: 'none' })
    const problems: string[] = []
    for (const digest of keptBlobs(promises)) {
      if ((await store.size(digest)) !== lengths.get(digest)) problems.push(`${digest} is lost`)
    }
    for await (const { digest } of store.list()) {
      if (digestOfBytes('sha256', await readBlob(store, digest)) !== digest) {
        problems.push(`${digest} is torn`)
      }
    }
    if (problems.length === 0) await uploadAll(store)
    return problems
  } finally {
    await rm(into, { recursive: true })
  }
}

function keptBlobs(promises: readonly string[]): Set<Digest> {
  const kept = new Set<Digest>()
  for (const promise of promises) {
    const [what, digest] = promise.split(' ') as [string, Digest]
    if (what === 'kept') kept.add(digest)
    else kept.delete(digest)
  }
  return kept
}

async function readBlob(store: BlobStore, digest: Digest): Promise<Buffer> {
  const reader = await store.open(digest)
  assert.ok(reader)
  const bytes = Buffer.alloc(reader.size)
  await reader.read(0, bytes)
  reader.close()
  return bytes
}

async function uploadAll(store: BlobStore): Promise<void> {
  for (const [digest, length] of lengths) {
    const upload = newUploadId(randomUUID)
    const target = store.staging(upload)
    assert.equal(target.kind, 'fs')
    await writeFile(target.path, patternBytes(length))
    await store.publish(upload, digest, length)
    await store.discard(upload)
  }
}

/** Cuts right after each promise, where the most is at stake, and at random moments. */
function chooseCuts({ events }: Recording, count: number): number[] {
  const random = seededRandom(seed)
  const promised = events.flatMap((event, index) => (event.at === 'promise' ? [index + 1] : []))
  const anywhere = Array.from({ length: count }, () => Math.floor(random() * events.length))
  return [...promised, ...anywhere]
}

test('a power cut at any moment loses nothing that was acknowledged and tears nothing', async (t) => {
  t.diagnostic(`KEELSON_TEST_SEED=${seed}`)
  const cuts = chooseCuts(recording, 30)
  assert.ok(cuts.length > 50, 'the run was too short to mean anything')
  for (const cut of cuts) {
    const problems = await problemsAfter(recording, cut)
    assert.deepEqual(problems, [], `seed ${seed}, cut before event ${cut}`)
  }
})

/** Paths by descriptor follow the opens, so a sync can be told by what it is of. */
function withoutSyncsOf({ root, events }: Recording, isOf: (path: string) => boolean): Recording {
  const paths = new Map<number, string>()
  const opening = new Map<string, string>()
  const left = new Set<string>()
  const kept = events.filter((event) => {
    if (event.at === 'promise') return true
    if (event.at === 'end') {
      const path = opening.get(event.id)
      if (path !== undefined && event.value !== undefined) paths.set(event.value, path)
      return !left.has(event.id)
    }
    const { operation } = event
    if (operation.kind === 'open') opening.set(event.id, operation.path)
    if (operation.kind === 'sync' && isOf(paths.get(operation.fd)?.slice(root.length + 1) ?? '')) {
      left.add(event.id)
      return false
    }
    return true
  })
  return { root, events: kept }
}

const faults: ReadonlyArray<readonly [what: string, isOf: (path: string) => boolean]> = [
  ['the data of a staged file', (path) => path.startsWith('_keelson/uploads/')],
  ["a blob's own directory", (path) => /^blobs\/sha256\/..\/[0-9a-f]{64}$/.test(path)],
  ['the directory of a prefix', (path) => /^blobs\/sha256\/..$/.test(path)],
  ['the directory of prefixes', (path) => path === 'blobs/sha256'],
]

for (const [what, isOf] of faults) {
  test(`this test would notice that ${what} is not synced`, async () => {
    const faulty = withoutSyncsOf(recording, isOf)
    assert.notEqual(faulty.events.length, recording.events.length)
    for (const cut of chooseCuts(faulty, 20)) {
      if ((await problemsAfter(faulty, cut)).length > 0) return
    }
    assert.fail('no cut showed it')
  })
}

test('without durability a power cut does lose what was acknowledged', async () => {
  const careless = await recordRun('careless', 'none')
  for (const cut of chooseCuts(careless, 20)) {
    if ((await problemsAfter(careless, cut)).length > 0) return
  }
  assert.fail('no cut showed it')
})

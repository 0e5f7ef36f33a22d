// What does it cost to collect the garbage of a large store, and does that grow with more than its size?
//
// node dist/bench/micro/gc.js [blobs …]         (default: 10000 50000 100000)
// For each size a store in the temporary folder, with LMDB and a file of 16 bytes for each blob: ten references to
// each blob, a hundred from each manifest, no tags. Then, in a fresh process, with sync and at no rate, the four
// runs that end it all: find the manifests unused, delete them, condemn the blobs, destroy them. Prints for
// each run its seconds, and for all of them the processor time, in seconds and in µs a blob; the peak of the
// process' own memory in MiB (in brackets: with the store just open), and with the pages of the mapped database
// that it has touched, which the kernel takes back as it likes; how long its event loop was held up, in ms:
// 99th percentile and most. TMPDIR=/dev/shm leaves out what the disk costs.

import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createGcJob } from '../../src/maintain/gc/job.ts'
import type { GcSettings } from '../../src/maintain/gc/settings.ts'
import type { JobContext } from '../../src/maintain/job/contract.ts'
import { type Digest, digestHex, digestOfBytes } from '../../src/oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../src/oci/name.ts'
import { openFsBlobStore } from '../../src/storage/blob/fs/store.ts'
import { oneHost } from '../../src/storage/liveness.ts'
import { openLmdbMetadataStore } from '../../src/storage/metadata/lmdb/open.ts'
import type { MaintenanceStore } from '../../src/storage/metadata/maintenance.ts'

const sizesDefault = ['10000', '50000', '100000']
const referencesPerBlob = 10
const blobsPerManifest = 100
const atOnce = 500
const hourMs = 3_600_000
const startMs = 1_790_000_000_000
const mediaType = 'application/vnd.oci.image.manifest.v1+json'

const settings: GcSettings = {
  ...{ graceMs: hourMs, restoreWindowMs: hourMs, untagged: 'delete', untaggedAfterMs: hourMs },
  ...{ orphanReferrers: 'keep', blobsPerSecond: 0, rateBytes: 0, overwrite: false },
}

function numbered(what: string, number: number): Buffer {
  return Buffer.from(`${what}${String(number).padStart(16 - what.length, '0')}`)
}

function repositoryOf(manifest: number): RepositoryName {
  const name = parseRepositoryName(`team/r${Math.floor(manifest / 100)}`)
  if (name === undefined) throw new Error('no name')
  return name
}

function openRecords(folder: string, durability: 'fsync' | 'none'): Promise<MaintenanceStore> {
  const path = join(folder, '_keelson', 'metadata')
  mkdirSync(path, { recursive: true })
  return openLmdbMetadataStore({ path, durability, sharing: 'exclusive', now: Date.now })
}

async function inBatches(count: number, work: (at: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < count; from += atOnce) {
    const batch = Array.from({ length: Math.min(atOnce, count - from) }, (_, i) => work(from + i))
    await Promise.all(batch)
  }
}

/** A blob is held by each repository whose manifests name it. */
async function fill(folder: string, blobs: number): Promise<void> {
  await (await openFsBlobStore({ rootDir: folder, durability: 'none' })).close()
  const metadata = await openRecords(folder, 'none')
  const digests: Digest[] = []
  for (let i = 0; i < blobs; i++) {
    const bytes = numbered('b', i)
    const digest = digestOfBytes('sha256', bytes)
    digests.push(digest)
    const hex = digestHex(digest)
    const path = join(folder, 'blobs', 'sha256', hex.slice(0, 2), hex, 'data')
    mkdirSync(dirname(path))
    writeFileSync(path, bytes)
  }
  const manifests = (blobs * referencesPerBlob) / blobsPerManifest
  // The blobs of neighbours overlap, as those of images of one project do.
  const named = (manifest: number): Digest[] =>
    Array.from({ length: blobsPerManifest }, (_, i) => {
      return digests[(manifest * referencesPerBlob + i) % blobs] as Digest
    })
  const never = (): boolean => false
  await inBatches(manifests, async (at) => {
    const repository = repositoryOf(at)
    const wanted = named(at)
    for (const digest of wanted) {
      await metadata.linkBlob({
        ...{ repository, digest, size: 16, leaseUntilMs: startMs, quotas: [] },
      })
    }
    const bytes = numbered('m', at)
    await metadata.putManifest({
      ...{ repository, digest: digestOfBytes('sha256', bytes), mediaType, bytes, tags: [] },
      ...{ blobs: wanted, optionalBlobs: [], children: [], quotas: [], nowMs: startMs },
      ...{ allowMissingBlobs: false, allowMissingChildren: false, isImmutable: never },
    })
  })
  await metadata.close()
}

function memoryMiB(name: 'VmHWM' | 'RssAnon'): number {
  const status = readFileSync('/proc/self/status', 'utf8')
  return Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024)
}

async function collect(folder: string, blobs: number): Promise<void> {
  const metadata = await openRecords(folder, 'fsync')
  const store = await openFsBlobStore({ rootDir: folder, durability: 'fsync' })
  const opened = memoryMiB('RssAnon')
  let peak = 0
  const sampling = setInterval(() => {
    peak = Math.max(peak, memoryMiB('RssAnon'))
  }, 50)
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  let nowMs = startMs
  const job = createGcJob(() => settings)
  const cpuBefore = process.cpuUsage()
  const seconds: number[] = []
  const counts: string[] = []
  for (const what of ['marked', 'removed', 'condemned', 'destroyed']) {
    nowMs += hourMs + 1
    const before = performance.now()
    const { details } = await job.run(
      { dryRun: false, onlyUnfinished: false },
      contextOf(metadata, store, () => nowMs),
    )
    seconds.push((performance.now() - before) / 1000)
    const amount = details[what]
    counts.push(String((amount as { count?: number }).count ?? amount))
  }
  delay.disable()
  clearInterval(sampling)
  const total = seconds.reduce((sum, each) => sum + each, 0)
  const { user, system } = process.cpuUsage(cpuBefore)
  const heldUp = [delay.percentile(99), delay.max].map((each) => (each / 1e6).toFixed(1))
  const row = [
    ...[blobs, blobs * referencesPerBlob],
    ...seconds.map((each, i) => `${each.toFixed(2)} (${counts[i]})`),
    ...[total.toFixed(2), ((user + system) / 1e6).toFixed(2), ((user + system) / blobs).toFixed(0)],
    ...[`${peak} (${opened})`, memoryMiB('VmHWM'), heldUp.join(', ')],
  ]
  console.log(`| ${row.join(' | ')} |`)
  await store.close()
  await metadata.close()
}

function contextOf(
  metadata: MaintenanceStore,
  blobs: JobContext['blobs'],
  now: () => number,
): JobContext {
  return {
    liveness: oneHost,
    ...{ metadata, blobs, now, randomUuid: randomUUID, run: randomUUID(), shared: false },
    ...{ changing: (write) => write(), forgetBytes: () => undefined, resumed: undefined },
    ...{ progress: () => undefined, checkpoint: async () => undefined, record: () => undefined },
    signal: new AbortController().signal,
    requireHeld: () => undefined,
    // As the pace of a server does between two pieces of work.
    pace: () => setImmediate(),
    ingest: undefined as unknown as JobContext['ingest'],
    log: undefined as unknown as JobContext['log'],
  }
}

function inProcessOfItsOwn(...args: readonly string[]): void {
  const { status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), ...args], {
    stdio: 'inherit',
  })
  if (status !== 0) throw new Error(`${args[0]} failed`)
}

const [what = '', folder = '', blobs = ''] = process.argv.slice(2)
if (what === 'fill') await fill(folder, Number(blobs))
else if (what === 'collect') await collect(folder, Number(blobs))
else {
  const given = process.argv.slice(2)
  const titles = ['blobs', 'references', 'find s', 'delete s', 'condemn s', 'destroy s', 'all s']
  const all = [...titles, 'CPU s', 'CPU µs a blob', 'peak MiB', 'with the map MiB', 'held up ms']
  console.log(`| ${all.join(' | ')} |\n|${' --- |'.repeat(all.length)}`)
  for (const size of given.length > 0 ? given : sizesDefault) {
    const folder = mkdtempSync(join(tmpdir(), 'keelson-gc-bench-'))
    try {
      inProcessOfItsOwn('fill', folder, size)
      inProcessOfItsOwn('collect', folder, size)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

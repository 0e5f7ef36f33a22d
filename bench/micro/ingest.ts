// How fast does the ingest pool take bodies from a source in this process?
//
// node dist/bench/micro/ingest.js [directory] [bodyBytes] [bodies] [concurrent] [key=value …]
// Keys are IngestPoolOptions, and `announced=no`, `publish=yes` (with the blob
// store's share of a push). Prints one JSON line.

import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { BodySink, RequestBody } from '../../src/http/body.ts'
import { newUploadId } from '../../src/oci/upload-id.ts'
import { createIngestPool, type IngestPoolOptions } from '../../src/offload/ingest-pool.ts'
import { openFsBlobStore } from '../../src/storage/blob/fs/store.ts'

const chunkBytes = 512 << 10

/** Delivers as fast as the sink allows, one chunk per turn of the event loop, as a socket does. */
class SourceBody implements RequestBody {
  readonly length: number | undefined
  readonly #bytes: number
  readonly #chunk: Uint8Array
  readonly #number: number
  #sent = 0
  #isPaused = false
  #isScheduled = false
  #sink: BodySink | undefined

  constructor(bytes: number, chunk: Uint8Array, isAnnounced: boolean, number: number) {
    this.#number = number
    this.length = isAnnounced ? bytes : undefined
    this.#bytes = bytes
    this.#chunk = chunk
  }

  consume(sink: BodySink): void {
    this.#sink = sink
    this.#deliver()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled || this.#sent === this.#bytes) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      if (!this.#isPaused) this.#deliver()
    })
  }

  #deliver(): void {
    const count = Math.min(this.#chunk.length, this.#bytes - this.#sent)
    // Tells bodies apart, since a blob is published once.
    if (this.#sent === 0 && count >= 8) new DataView(this.#chunk.buffer).setFloat64(0, this.#number)
    this.#sent += count
    this.#sink?.onChunk(this.#chunk.subarray(0, count), this.#sent === this.#bytes)
    this.#schedule()
  }
}

const [directory = '/dev/shm', bodyText, countText, concurrentText, ...pairs] =
  process.argv.slice(2)
const bodyBytes = Number(bodyText ?? 256 << 20)
const count = Number(countText ?? 4)
const concurrent = Number(concurrentText ?? 1)
const settings = new Map(pairs.map((pair) => pair.split('=') as [string, string]))
const numberOf = (key: string, fallback: number): number => Number(settings.get(key) ?? fallback)

const options: IngestPoolOptions = {
  workers: numberOf('workers', 1),
  slabBytes: numberOf('slabBytes', 1 << 20),
  slabsPerUpload: numberOf('slabsPerUpload', 4),
  memoryBudgetBytes: numberOf('memoryBudgetBytes', 64 << 20),
  durability: settings.get('durability') === 'none' ? 'none' : 'fsync',
  niceIncrement: numberOf('niceIncrement', 0),
  writebackBytes: numberOf('writebackBytes', 32 << 20),
}
const isAnnounced = settings.get('announced') !== 'no'
const isPublished = settings.get('publish') === 'yes'
const chunk = new Uint8Array(numberOf('chunkBytes', chunkBytes)).fill(7)
const work = await mkdtemp(join(directory, 'keelson-bench-'))
const store = await openFsBlobStore({ rootDir: work, durability: options.durability })
const pool = createIngestPool(options)

let names = 0

async function one(): Promise<void> {
  names += 1
  const upload = newUploadId(randomUUID)
  const outcome = await pool.receive(
    {
      target: store.staging(upload),
      offset: 0,
      algorithm: 'sha256',
      hash: { kind: 'stream' },
      bytesMax: Number.MAX_SAFE_INTEGER,
      sync: true,
    },
    new SourceBody(bodyBytes, chunk, isAnnounced, names),
  )
  if (outcome.kind !== 'complete') throw new Error(outcome.kind)
  if (!isPublished) return
  await store.publish(upload, outcome.digest, bodyBytes)
  await store.discard(upload)
}

async function drive(total: number): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next++ < total) await one()
  }
  await Promise.all(Array.from({ length: concurrent }, lane))
}

await drive(Math.ceil(count / 8))
const cpuBefore = process.cpuUsage()
const before = performance.now()
await drive(count)
const seconds = (performance.now() - before) / 1000
const cpu = process.cpuUsage(cpuBefore)
await pool.close()
await rm(work, { recursive: true })
process.stdout.write(
  `${JSON.stringify({
    directory,
    bodyBytes,
    count,
    concurrent,
    ...Object.fromEntries(settings),
    bodiesPerSecond: Math.round(count / seconds),
    mbPerSecond: Math.round((count * bodyBytes) / seconds / 1e6),
    cpuMicrosecondsPerBody: Math.round((cpu.user + cpu.system) / count),
    stalls: pool.gauges.stalls,
    rssMiB: Math.round(process.memoryUsage().rss / (1 << 20)),
  })}\n`,
)

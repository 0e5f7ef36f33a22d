// Answers for maintenance in tests: a registry in this process whose stores outlive it, a clock that stands
// until it is moved, jobs that run on both, and kills.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type {
  Job,
  JobContext,
  JobDeed,
  JobProgress,
  JobReport,
} from '../../src/maintain/job/contract.ts'
import { type Digest, digestOfBytes } from '../../src/oci/digest.ts'
import { createIngestPool, type RunningIngestPool } from '../../src/offload/ingest-pool.ts'
import type { Registry } from '../../src/operation/registry.ts'
import { ReplyCache } from '../../src/operation/reply-cache.ts'
import type { BlobStore } from '../../src/storage/blob/contract.ts'
import { openFsBlobStore } from '../../src/storage/blob/fs/store.ts'
import { MemoryBlobStore } from '../../src/storage/blob/memory/store.ts'
import { oneHost } from '../../src/storage/liveness.ts'
import type { KeyValueStore } from '../../src/storage/metadata/kv/contract.ts'
import { KeyValueMetadataStore } from '../../src/storage/metadata/kv/store.ts'
import { openLmdb } from '../../src/storage/metadata/lmdb/open.ts'
import type { MaintenanceStore } from '../../src/storage/metadata/maintenance.ts'
import { MemoryKeyValueStore } from '../../src/storage/metadata/memory/store.ts'
import type { Logger } from '../../src/telemetry/log.ts'
import { InProcess, type SendOptions } from '../fault/in-process.ts'
import { type Delay, Life, mortalBlobs, mortalIngest, mortalRecords } from './mortal.ts'
import { type Answer, assertStatus } from './registry-client.ts'

export type StoreKind = 'memory' | 'lmdb'

export interface MaintainOptions {
  /** `lmdb` has its blobs in files. Default `memory`, which is some twenty times as fast. */
  readonly stores?: StoreKind
  /** With `lmdb`: where its files go, and stay. */
  readonly rootDir?: string
  /** Default an hour. */
  readonly graceMs?: number
  /** Milliseconds since 1970; default some moment of 2026. */
  readonly startMs?: number
  /** Of the registry; `limits` and `rules` among them. */
  readonly registry?: Partial<Registry>
  /** What the process sees of its blobs. */
  readonly wrapBlobs?: (blobs: BlobStore) => BlobStore
  readonly randomUuid?: () => string
  /** Waited for before and after each call of a store. */
  readonly delay?: Delay
}

export interface JobRun {
  readonly id: string
  /** Milliseconds since 1970. */
  readonly startMs: number
  /** The checkpoint of an earlier run, from which it went on. */
  readonly resumed: unknown
  readonly report: JobReport
  readonly deeds: readonly JobDeed[]
  readonly progress: readonly JobProgress[]
}

export interface RunOptions {
  readonly signal?: AbortSignal
  /** Waited for at each `pace`: where a test lets others in. */
  readonly onPace?: (work: { readonly items: number; readonly bytes: number }) => unknown
  readonly context?: Partial<JobContext>
}

interface Disk {
  readonly rootDir: string | undefined
  readonly records: KeyValueStore
  readonly blobs: BlobStore
  readonly ingest: RunningIngestPool
}

const startMsDefault = 1_790_000_000_000
const hourMs = 3_600_000

export class MaintainScene {
  /** What a kill leaves: look at it, and plant faults in it, from outside of any process. */
  readonly disk: Disk
  /** Milliseconds since 1970. Only ever forward. */
  nowMs: number
  readonly #options: MaintainOptions
  /** By kind and input: of runs that did not end. */
  readonly #checkpoints = new Map<string, unknown>()
  #life = new Life()
  #process: InProcess | undefined
  #runs = 0
  #processes = 0

  private constructor(disk: Disk, options: MaintainOptions) {
    this.disk = disk
    this.#options = options
    this.nowMs = options.startMs ?? startMsDefault
  }

  static async open(options: MaintainOptions = {}): Promise<MaintainScene> {
    const scene = new MaintainScene(await openDisk(options), options)
    await scene.#start()
    return scene
  }

  /** The process of now: its kill, and how far it is. */
  get life(): Life {
    return this.#life
  }

  get registry(): Registry {
    return this.#running.registry
  }

  get metadata(): MaintenanceStore {
    return this.registry.metadata as MaintenanceStore
  }

  get blobs(): BlobStore {
    return this.registry.blobs
  }

  get graceMs(): number {
    return this.registry.limits.graceMs
  }

  /** Faults of work that nobody waited for, in the process of now. */
  get backgroundFaults(): readonly unknown[] {
    return this.#running.backgroundFaults
  }

  /** A request, through the whole pipeline. Never resolves where the process dies of it. */
  send(method: string, target: string, options: SendOptions = {}): Promise<Answer> {
    return this.#running.send(method, target, options)
  }

  async pushBlob(repository: string, bytes: Uint8Array): Promise<Digest> {
    const digest = digestOfBytes('sha256', bytes)
    const target = `/v2/${repository}/blobs/uploads/?digest=${digest}`
    assertStatus(await this.send('POST', target, { body: bytes }), 201, 'push blob')
    return digest
  }

  /** Answers its digest. `reference` absent: by digest. */
  async pushManifest(repository: string, manifest: object, reference?: string): Promise<Digest> {
    const bytes = Buffer.from(JSON.stringify(manifest))
    const digest = digestOfBytes('sha256', bytes)
    const target = `/v2/${repository}/manifests/${reference ?? digest}`
    const { mediaType } = manifest as { readonly mediaType: string }
    const answer = await this.send('PUT', target, {
      body: bytes,
      headers: { 'content-type': mediaType },
    })
    assertStatus(answer, 201, 'push manifest')
    return digest
  }

  /** Run a job to its end, as the runner of jobs does. A run that a kill or a fault cuts short goes on at its next. */
  async run<Input>(
    job: Job<Input>,
    input: unknown = {},
    { signal, onPace, context }: RunOptions = {},
  ): Promise<JobRun> {
    const parsed = job.parse(input)
    assert.ok('input' in parsed, JSON.stringify(parsed))
    const deeds: JobDeed[] = []
    const progress: JobProgress[] = []
    const name = `${job.kind} ${JSON.stringify(input)}`
    const life = this.#life
    this.#runs += 1
    const id = `run-${this.#runs}`
    const startMs = this.nowMs
    const resumed = this.#checkpoints.get(name)
    const report = await job.run(parsed.input, {
      ...this.jobParts(),
      run: id,
      signal: signal ?? new AbortController().signal,
      progress: (news) => progress.push(news),
      pace: async (work) => {
        await onPace?.(work)
        await life.perform('job', async () => undefined)
        signal?.throwIfAborted()
      },
      requireHeld: () => undefined,
      resumed,
      checkpoint: async (value) => {
        const text = JSON.stringify(value)
        assert.ok(text.length <= 64 << 10, 'a checkpoint of at most 64 KiB')
        await life.perform('job', async () => this.#checkpoints.set(name, JSON.parse(text)))
      },
      record: (deed) => {
        if (!life.isOver) deeds.push(deed)
      },
      ...context,
    })
    if (signal?.aborted !== true) this.#checkpoints.delete(name)
    return { id, startMs, resumed, report, deeds, progress }
  }

  jobParts(): Omit<
    JobContext,
    'run' | 'signal' | 'progress' | 'pace' | 'requireHeld' | 'resumed' | 'checkpoint' | 'record'
  > {
    const { registry, metadata, blobs } = this
    return {
      ...{ metadata, blobs, ingest: registry.ingest, shared: false, log: silent },
      liveness: oneHost,
      changing: (write) => registry.replies.during(write),
      forgetBytes: (digests) => {
        for (const digest of digests) registry.readers.drop(digest)
      },
      now: () => this.nowMs,
      randomUuid: this.#options.randomUuid ?? randomUUID,
    }
  }

  advance(ms: number): void {
    this.nowMs += ms
  }

  /**
   * Kill the process, where it is not dead yet, and start the next one on what it has left. Memory goes;
   * what is on its way to the stores arrives or not, and nobody is told.
   */
  async restart(): Promise<void> {
    this.#life.kill()
    await this.#life.settled()
    this.#process?.registry.readers.close()
    await this.#start()
  }

  async close(): Promise<void> {
    this.#life.kill()
    await this.#life.settled()
    this.#process?.registry.readers.close()
    const { ingest, blobs, records, rootDir } = this.disk
    await ingest.close()
    await blobs.close()
    await records.close()
    const isOwn = rootDir !== undefined && rootDir !== this.#options.rootDir
    if (isOwn) await rm(rootDir, { recursive: true, force: true })
  }

  get #running(): InProcess {
    assert.ok(this.#process, 'a scene is open')
    return this.#process
  }

  async #start(): Promise<void> {
    const life = new Life(this.#options.delay)
    const { records, blobs, ingest } = this.disk
    const seen = mortalBlobs(this.#options.wrapBlobs?.(blobs) ?? blobs, life)
    const metadata = new KeyValueMetadataStore(mortalRecords(records, life))
    const { graceMs = hourMs, registry = {}, randomUuid = randomUUID } = this.#options
    this.#life = life
    this.#processes += 1
    const processes = this.#processes
    this.#process = await InProcess.open({
      stores: { blobs: seen, metadata, ingest: mortalIngest(ingest, life) },
      registry: {
        // Unlike in tests of faults: what is kept must not outlive what a job takes away.
        replies: new ReplyCache(4 << 20),
        limits: {
          descriptorsMax: 2000,
          allowMissingManifests: false,
          allowMissingBlobs: false,
          graceMs,
        },
        owner: () => `process ${processes}`,
        isOwnerAlive: (owner) => owner === `process ${processes}`,
        now: () => this.nowMs,
        randomUuid,
        ...registry,
      },
    })
  }
}

/** Run `body` with a scene, which is closed after it. */
export async function withScene(
  options: MaintainOptions,
  body: (scene: MaintainScene) => Promise<void>,
): Promise<void> {
  const scene = await MaintainScene.open(options)
  try {
    await body(scene)
  } finally {
    await scene.close()
  }
}

async function openDisk(options: MaintainOptions): Promise<Disk> {
  const plan = { slabBytes: 1 << 20, slabsPerUpload: 4, memoryBudgetBytes: 8 << 20 }
  if (options.stores !== 'lmdb') {
    const blobs = new MemoryBlobStore()
    const ingest = createIngestPool({ ...plan, workers: 0, durability: 'none', memory: blobs })
    return { rootDir: undefined, records: new MemoryKeyValueStore(), blobs, ingest }
  }
  const rootDir = options.rootDir ?? (await mkdtemp(join(tmpdir(), 'keelson-maintain-')))
  const durability = 'none'
  const blobs = await openFsBlobStore({ rootDir, durability })
  const path = join(rootDir, '_keelson', 'metadata')
  const { store: records } = await openLmdb({
    ...{ path, durability, sharing: 'exclusive', now: Date.now },
  })
  return { rootDir, records, blobs, ingest: createIngestPool({ ...plan, workers: 1, durability }) }
}

const silent = {
  ...{ trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore, fatal: ignore },
} as unknown as Logger

function ignore(): undefined {
  return undefined
}

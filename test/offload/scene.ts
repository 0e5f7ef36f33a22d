// Answers for ingest pools in tests: one over a temporary directory, checked for leaks at the end.

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import type { IngestPlan } from '../../src/offload/contract.ts'
import {
  createIngestPool,
  type IngestPoolOptions,
  type RunningIngestPool,
} from '../../src/offload/ingest-pool.ts'
import { openFilesBelow } from '../support/open-files.ts'
import { until } from '../support/until.ts'

export interface PoolScene {
  readonly pool: RunningIngestPool
  readonly directory: string
  /** A plan from the first byte on; `name` is the file's. */
  plan(name: string, changes?: Partial<IngestPlan>): IngestPlan
  path(name: string): string
}

/** Run `body` with a pool, then close it. Errors: AssertionError where slabs or files leak. */
export async function withPool(
  options: Partial<IngestPoolOptions>,
  body: (scene: PoolScene) => Promise<void>,
  parent: string = tmpdir(),
): Promise<void> {
  const directory = await mkdtemp(join(parent, 'keelson-ingest-'))
  const pool = createIngestPool({
    workers: 1,
    slabBytes: 1 << 20,
    slabsPerUpload: 4,
    memoryBudgetBytes: 64 << 20,
    durability: 'fsync',
    ...options,
  })
  const path = (name: string): string => join(directory, name)
  const plan = (name: string, changes: Partial<IngestPlan> = {}): IngestPlan => ({
    target: { kind: 'fs', path: path(name) },
    offset: 0,
    algorithm: 'sha256',
    hash: { kind: 'stream' },
    bytesMax: Number.MAX_SAFE_INTEGER,
    sync: true,
    ...changes,
  })
  try {
    await body({ pool, directory, plan, path })
    await until('every slab is back', () => pool.gauges.slabBytesInUse === 0)
    assert.equal(pool.gauges.receiving, 0)
    await until('every file is closed', () => openFilesBelow(directory).length === 0)
  } finally {
    await pool.close()
    await rm(directory, { recursive: true })
  }
}

/** End a thread of the pool; resolves when another one serves in its place. */
export async function replaceThread(
  pool: RunningIngestPool,
  thread: Worker | undefined = pool.threads[0],
): Promise<void> {
  const { replaced } = pool.gauges.inThreads
  await thread?.terminate()
  await until('it is missed', () => pool.gauges.inThreads.replaced > replaced)
  let isServing = false
  const serves = (): void => {
    isServing = true
  }
  await until('another one serves', () => {
    void pool.ping().then(serves, () => undefined)
    return isServing
  })
}

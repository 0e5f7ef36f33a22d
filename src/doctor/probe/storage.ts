// Reads what there is to know of the directories of the stores, and measures syncs there.
import { randomUUID } from 'node:crypto'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../../config/schema.ts'
import type { PlaceFacts } from '../check/storage.ts'
import type { SyncFacts } from '../check/sync-rate.ts'
import { type Host, nearestThere, within } from '../host.ts'
import { disksOf, mountOf } from './mounts.ts'

export async function readPlaces(host: Host, config: Config): Promise<readonly PlaceFacts[]> {
  const { blobStore, metadataStore, storage } = config
  const places = [
    ...(blobStore.kind === 'fs' ? [{ role: 'blobs' as const, path: blobStore.rootDir }] : []),
    ...(metadataStore.kind === 'lmdb'
      ? [{ role: 'metadata' as const, path: metadataStore.path }]
      : []),
  ]
  const mounts = (await host.text('/proc/self/mountinfo')) ?? ''
  return Promise.all(
    places.map(async ({ role, path }) => {
      const there = await nearestThere(host, path)
      const real = there && (await host.real(there))
      const mount = real === undefined ? undefined : mountOf(real, mounts)
      return {
        ...{ role, path, mount },
        disks: mount === undefined ? [] : await disksOf(host, mount),
        space: there === undefined ? undefined : await host.space(there),
        reserveBytes: storage.reserveBytes,
        isDurable: storage.durability === 'fsync',
      }
    }),
  )
}

const measureMs = 500
const countMax = 64
const blockBytes = 4096

/**
 * Writes and syncs a file of its own in `folder` and takes it away again; a text says why it cannot.
 * Limits: 0.5 s, or what one sync takes, and twice that in all.
 */
export async function measureSync(folder: string): Promise<SyncFacts | string> {
  const path = join(folder, `.keelson-doctor-${randomUUID()}`)
  let file: FileHandle
  try {
    file = await open(path, 'wx', 0o600)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    return `no file can be made in ${folder} (${code})`
  }
  const times: number[] = []
  // Not before: some file systems sync nothing of a file without a name.
  const measured = measure(file, times).finally(async () => {
    await unlink(path).catch(() => undefined)
    await file.close()
  })
  await within(measured, 2 * measureMs)
  if (times.length === 0) return `no sync in ${folder} ended within ${2 * measureMs} ms`
  const sorted = times.toSorted((a, b) => a - b)
  const medianMs = sorted[Math.floor(sorted.length / 2)] ?? 0
  return { path: folder, medianMs, slowestMs: sorted.at(-1) ?? 0, count: sorted.length }
}

async function measure(file: FileHandle, times: number[]): Promise<void> {
  const block = Buffer.alloc(blockBytes, 0x6b)
  const endMs = performance.now() + measureMs
  while (times.length < countMax && performance.now() < endMs) {
    const startMs = performance.now()
    await file.write(block, 0, blockBytes, times.length * blockBytes)
    await file.datasync()
    times.push(performance.now() - startMs)
  }
}

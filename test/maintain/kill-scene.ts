// Answers for stores in which each kind of maintenance has something to do, and for what it leaves of them.

import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { createGcJob } from '../../src/maintain/gc/job.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { openFsBlobStore } from '../../src/storage/blob/fs/store.ts'
import { openLmdb } from '../../src/storage/metadata/lmdb/open.ts'
import { sampleImage } from '../http/sample-content.ts'
import { seededBytes } from '../support/images.ts'
import { MaintainScene } from '../support/maintain.ts'
import { digestOf } from '../support/registry-client.ts'
import { inspectStore, type StoreState } from '../support/store-breaches.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const images = 36
const looseBlobs = 120

/**
 * Images, half of them with a tag that goes; blobs whose lease is over, and others whose restore window is.
 * `damage`: bytes are flipped, cut, lacking and nobody's.
 */
export async function fillStore(rootDir: string, options: { damage: boolean }): Promise<void> {
  const startMs = Date.now() - 20 * dayMs
  const scene = await MaintainScene.open({ stores: 'lmdb', rootDir, startMs, graceMs: hourMs })
  try {
    const pushLoose = (from: number): Promise<readonly Digest[]> =>
      Promise.all(
        Array.from({ length: looseBlobs / 2 }, (_, i) =>
          scene.pushBlob('loose', Buffer.from(`blob ${from + i}`)),
        ),
      )
    await pushLoose(0)
    scene.advance(2 * hourMs)
    const settings = {
      ...{ graceMs: hourMs, restoreWindowMs: 7 * dayMs, untaggedAfterMs: 7 * dayMs },
      ...({ untagged: 'keep', orphanReferrers: 'keep', overwrite: false } as const),
      ...{ blobsPerSecond: 0, rateBytes: 0 },
    }
    await scene.run(createGcJob(() => settings))
    scene.advance(dayMs)
    await pushLoose(looseBlobs)
    for (let i = 0; i < images; i++) {
      const { manifest, blobs } = sampleImage(`image ${i}`)
      for (const bytes of blobs) await scene.pushBlob('app', bytes)
      await scene.pushManifest('app', manifest, i % 2 === 0 ? `keep-${i}` : `drop-${i}`)
    }
  } finally {
    await scene.close()
  }
  if (options.damage) await damage(rootDir)
}

async function damage(rootDir: string): Promise<void> {
  const blobs = join(rootDir, 'blobs', 'sha256')
  const path = (digest: string): string => {
    const hex = digest.slice('sha256:'.length)
    return join(blobs, hex.slice(0, 2), hex, 'data')
  }
  for (let i = 0; i < images; i += 6) {
    const [config = Buffer.alloc(0), layer = Buffer.alloc(0)] = sampleImage(`image ${i}`).blobs
    const changed = Buffer.from(layer)
    changed[0] = (changed[0] ?? 0) ^ 1
    await writeFile(path(digestOf(layer)), changed)
    if (i % 12 === 0) await rm(path(digestOf(config)))
    else await truncate(path(digestOf(config)), 3)
    const orphan = seededBytes(`orphan ${i}`, 50)
    await mkdir(join(path(digestOf(orphan)), '..'), { recursive: true })
    await writeFile(path(digestOf(orphan)), orphan)
  }
}

/** An OCI layout with as many tagged images. */
export async function writeLayout(dir: string): Promise<void> {
  await mkdir(join(dir, 'blobs', 'sha256'), { recursive: true })
  const put = async (bytes: Buffer): Promise<{ digest: string; size: number }> => {
    const digest = digestOf(bytes)
    await writeFile(join(dir, 'blobs', ...digest.split(':')), bytes)
    return { digest, size: bytes.length }
  }
  const manifests: object[] = []
  for (let i = 0; i < images; i++) {
    const { manifest, blobs } = sampleImage(`layout ${i}`)
    for (const bytes of blobs) await put(bytes)
    const stored = await put(Buffer.from(JSON.stringify(manifest)))
    const annotations = { 'org.opencontainers.image.ref.name': `v${i}` }
    manifests.push({ mediaType: manifest.mediaType, ...stored, annotations })
  }
  await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  await writeFile(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
}

export interface Left {
  readonly state: StoreState
  /** Rows and files; times, ids of runs and random names are not told apart. */
  readonly lines: readonly string[]
}

/** `sparse`: what manifests name may lack, for good. */
export async function lookAt(rootDir: string, options: { sparse: boolean }): Promise<Left> {
  const durability = 'none'
  const { store: records } = await openLmdb({
    ...{ path: join(rootDir, '_keelson', 'metadata'), durability },
    ...{ sharing: 'exclusive', now: Date.now },
  })
  const blobs = await openFsBlobStore({ rootDir, durability })
  try {
    const rows = records.reader.entries({ start: ' ', end: '~' })
    const lines = rows
      // An upload that a kill has cut short ends on its own clock.
      .filter(({ key }) => !key.startsWith('s!') && !key.startsWith('u!'))
      .map(({ key, value }) => withoutTimes(`record ${key} ${value}`))
    const state = await inspectStore(records.reader, blobs, options)
    return { state, lines: [...lines, ...(await filesBelow(rootDir))].sort() }
  } finally {
    await blobs.close()
    await records.close()
  }
}

/** Their names and digests. */
export async function filesBelow(dir: string): Promise<readonly string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  const files = entries.filter(
    // What was staged is removed by the next server; the id is another one in each store.
    (entry) =>
      entry.isFile() &&
      entry.name !== 'store-id' &&
      !/\/(metadata|uploads)$/.test(entry.parentPath),
  )
  const lines = files.map(async (entry) => {
    const path = join(entry.parentPath, entry.name)
    const sum = createHash('sha256')
      .update(await readFile(path))
      .digest('hex')
    return withoutTimes(`file ${relative(dir, path)} ${sum}`)
  })
  return (await Promise.all(lines)).sort()
}

function withoutTimes(line: string): string {
  return line
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'ID')
    .replaceAll(/\brun-\d+/g, 'ID')
    .replaceAll(/(?<![0-9a-f])\d{13,15}(?![0-9a-f])/g, 'TIME')
}

// How many image pushes can the one writer of the metadata store commit?
//
// node dist/bench/scale/writer.js [--rounds N] [--images N]
// LMDB on tmpfs, without sync: a blob linked and a manifest put, many at a time, as pushes come. Prints µs of
// wall time for each image: what the host's one writer is busy with it, whatever the number of processes.

import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { digestOfBytes } from '../../src/oci/digest.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'
import { parseTag } from '../../src/oci/tag.ts'
import { openLmdbMetadataStore } from '../../src/storage/metadata/lmdb/open.ts'
import { superviseChildren } from '../children.ts'
import { median } from '../statistics.ts'
import { findBases, makeDirectory } from '../workspace.ts'
import { manifestOf, mediaType } from './fill.ts'

const atOnce = 64
const dayMs = 86_400_000

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      images: { type: 'string', default: '4000' },
    },
  })
  superviseChildren()
  const images = Number(values.images)
  const bases = findBases(undefined)
  const folder = makeDirectory(bases, 'memory') ?? makeDirectory(bases, 'disk') ?? ''
  const store = await openLmdbMetadataStore({
    ...{ path: join(folder, 'metadata'), durability: 'none', sharing: 'exclusive' },
    now: Date.now,
  })
  const repository = parseRepositoryName('scale/writer')
  const tag = parseTag('latest')
  if (repository === undefined || tag === undefined) throw new Error('these are names')
  const times: number[] = []
  for (let round = 0; round <= Number(values.rounds); round += 1) {
    let next = 0
    const began = performance.now()
    const push = async (): Promise<void> => {
      while (next < images) {
        const layer = Buffer.from(`layer ${round} ${next++}`)
        const digest = digestOfBytes('sha256', layer)
        const leaseUntilMs = Date.now() + dayMs
        const size = layer.length
        await store.linkBlob({ repository, digest, size, leaseUntilMs, quotas: [] })
        const bytes = manifestOf(digest, size, `${round}`)
        await store.putManifest({
          ...{ repository, digest: digestOfBytes('sha256', bytes), mediaType, bytes },
          ...{ tags: [tag], blobs: [digest], optionalBlobs: [], children: [], quotas: [] },
          ...{ allowMissingBlobs: false, allowMissingChildren: false, nowMs: Date.now() },
          isImmutable: () => false,
        })
      }
    }
    await Promise.all(Array.from({ length: atOnce }, push))
    // The first warms up.
    if (round > 0) times.push(((performance.now() - began) * 1000) / images)
  }
  await store.close()
  process.stdout.write(`${median(times).toFixed(1)} µs of the writer for each image\n`)
}

await main()

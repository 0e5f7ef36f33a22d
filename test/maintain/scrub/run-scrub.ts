// Answers for a run of scrub in a scene: what it found, in comparable lines; and for damage to blobs in memory.

import { randomUUID } from 'node:crypto'
import type { Finding } from '../../../src/maintain/scrub/finding.ts'
import { createScrubJob } from '../../../src/maintain/scrub/job.ts'
import type { Peer, PeerSource } from '../../../src/maintain/scrub/peer.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import { newUploadId } from '../../../src/oci/upload-id.ts'
import { MemoryBlobStore } from '../../../src/storage/blob/memory/store.ts'
import type { MaintainScene, RunOptions } from '../../support/maintain.ts'

export interface Scrubbed {
  readonly ok: boolean
  /** `kind outcome what`, sorted. */
  readonly findings: readonly string[]
  readonly waiting: readonly string[]
  readonly blobs: number
  /** Hashed. */
  readonly bytes: number
  readonly peerProblems: readonly string[]
  readonly deeds: readonly string[]
}

export interface ScrubOptions extends RunOptions {
  readonly dryRun?: boolean
  readonly quick?: boolean
  readonly peers?: readonly PeerSource[]
}

interface Details {
  readonly listed: readonly Finding[]
  readonly waiting: { readonly listed: readonly string[] }
  readonly blobs: number
  readonly bytes: number
  readonly peerProblems: readonly string[]
}

export async function scrub(
  scene: MaintainScene,
  { dryRun = false, quick = false, peers = [], ...run }: ScrubOptions = {},
): Promise<Scrubbed> {
  const job = createScrubJob(() => ({ rateBytes: 0, graceMs: scene.graceMs, peers }))
  const { report, deeds } = await scene.run(job, { dryRun, quick }, run)
  const details = report.details as unknown as Details
  const { listed, waiting, blobs, bytes, peerProblems } = details
  const findings = listed.map(({ kind, what, outcome }) => `${kind} ${outcome} ${what}`).sort()
  return {
    ...{ ok: report.ok, findings, waiting: waiting.listed.toSorted(), blobs, bytes, peerProblems },
    deeds: deeds.map(({ deed, digest = '' }) => `${deed} ${digest}`),
  }
}

/** A registry that has these contents, and answers right. */
export function peerOf(contents: ReadonlyMap<string, Uint8Array>, name = 'healthy'): PeerSource {
  const peer: Peer = {
    name,
    fetchBlob: async (_, digest) => {
      const bytes = contents.get(digest)
      if (bytes === undefined) return undefined
      const body = async function* (): AsyncGenerator<Uint8Array> {
        yield bytes.subarray(0, 3)
        yield bytes.subarray(3)
      }
      return { size: bytes.length, body: body(), cancel: () => {} }
    },
    fetchManifest: async (_, digest) => contents.get(digest),
    close: async () => {},
  }
  return { name, open: async () => peer }
}

/** Other bytes under the digest, in a scene whose blobs are in memory. */
export async function plant(
  scene: MaintainScene,
  digest: Digest,
  bytes: Uint8Array | undefined,
): Promise<void> {
  const { blobs } = scene.disk
  if (!(blobs instanceof MemoryBlobStore)) throw new Error('blobs are in memory')
  await blobs.remove(digest)
  if (bytes === undefined) return
  const upload = newUploadId(randomUUID)
  blobs.append(upload, bytes)
  await blobs.publish(upload, digest, bytes.length)
  await blobs.discard(upload)
}

// Scrub by the configuration: its rate, and the peers that heal.

import type { Audit } from '../audit/audit.ts'
import type { Config } from '../config/schema.ts'
import { type AnyJob, anyJob } from '../maintain/job/any-job.ts'
import type { JobParts } from '../maintain/job/contract.ts'
import { DamageWatch } from '../maintain/scrub/damage-watch.ts'
import { createScrubJob } from '../maintain/scrub/job.ts'
import type { Peer, PeerSource } from '../maintain/scrub/peer.ts'
import type { RemoteRegistry } from '../outbound/registry/contract.ts'
import type { MaintenanceCounts } from '../telemetry/maintenance-counts.ts'
import { openPeer } from './peers.ts'

export function scrubJob(config: () => Config): AnyJob {
  return anyJob(
    createScrubJob(() => {
      const { gc, scrub } = config()
      return { rateBytes: scrub.rateBytes, graceMs: gc.graceMs, peers: healers(config()) }
    }),
  )
}

/** For blobs that requests find damaged. */
export function openDamageWatch(
  parts: JobParts,
  config: () => Config,
  told: { readonly audit: Pick<Audit, 'maintenance'>; readonly counts: MaintenanceCounts },
): DamageWatch {
  return new DamageWatch({
    parts,
    settings: () => ({ rateBytes: config().scrub.rateBytes, graceMs: config().gc.graceMs }),
    record: (deed) => told.audit.maintenance({ job: 'scrub', run: 'read', ...deed }),
    onLook: () => told.counts.did('scrub', 'damaged-read', 1, 0),
    elapsed: () => performance.now(),
  })
}

function healers({ global, peers }: Config): readonly PeerSource[] {
  return peers
    .filter(({ heal }) => heal)
    .map((peer) => ({
      name: peer.name,
      open: async () => peerOf(peer.name, await openPeer(peer, global.maxManifestSizeBytes)),
    }))
}

function peerOf(name: string, remote: RemoteRegistry): Peer {
  return {
    name,
    fetchBlob: async (repository, digest, signal) => {
      const found = await remote.blob(repository, digest, { signal })
      if (found === undefined) return undefined
      const { size, body } = found
      return { ...(size === undefined ? {} : { size }), body, cancel: () => found.cancel() }
    },
    fetchManifest: async (repository, digest, signal) =>
      (await remote.manifest(repository, digest, signal))?.bytes,
    close: () => remote.close(),
  }
}

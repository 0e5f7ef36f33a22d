// Whether all that a request needs works, part by part.

import type { Clock } from './clock.ts'
import type { Readiness } from './contract.ts'
import type { DiskReserve } from './disk-reserve.ts'
import { Probe } from './probe.ts'

export interface ReadinessParts {
  /** A small write and sync. */
  readonly blobs: { probe(): Promise<void> }
  readonly metadata: { probe(): Promise<void> }
  /** An answer of every thread that runs. */
  readonly ingest: { ping(): Promise<void> }
  readonly credentials: { ping(): Promise<void> }
  readonly disks: Pick<DiskReserve, 'look'>
  readonly clock: Pick<Clock, 'look'>
  /** Whether files can still be opened; connections are files. */
  readonly files: { look(): Promise<string> }
}

export interface ReadinessOptions {
  /** For each part; asked each time. */
  readonly timeoutMs: () => number
  /** Monotonic, in ms; default `performance.now`. */
  readonly now?: () => number
}

export interface ReadinessChecker {
  /** Costs little, however often it is asked. Never rejects. */
  check(): Promise<Readiness>
}

/** The parts are asked at the same time; what they answered counts for some seconds. */
export function createReadiness(
  parts: ReadinessParts,
  { timeoutMs, now = () => performance.now() }: ReadinessOptions,
): ReadinessChecker {
  const { blobs, metadata, ingest, credentials, disks, clock, files } = parts
  const asks: Readonly<Record<string, () => Promise<string>>> = {
    'blob storage': () => blobs.probe().then(() => 'written and synced'),
    'metadata storage': () => metadata.probe().then(() => 'written and synced'),
    disk: () => disks.look(),
    'ingest threads': () => ingest.ping().then(() => 'answer'),
    'credential threads': () => credentials.ping().then(() => 'answer'),
    clock: () => clock.look(),
    'open files': () => files.look(),
  }
  const probes = Object.entries(asks).map(([name, ask]) => {
    // A part that throws instead of rejecting must not take the others with it.
    return new Probe(name, async () => ask(), { timeoutMs, now })
  })
  return {
    check: async () => {
      const checks = await Promise.all(probes.map((probe) => probe.look()))
      return { ready: checks.every(({ ok }) => ok), checks }
    },
  }
}

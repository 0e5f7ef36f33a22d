// Does memory grow? Images are pushed, pulled, dropped halfway and deleted for minutes, garbage is
// collected each minute, and what the server itself holds is sampled.

import { MIB } from '../content.ts'
import type { Server } from '../contract.ts'
import { collectGarbage } from '../load/garbage.ts'
import { median } from '../statistics.ts'
import { resident } from '../usage.ts'
import { Lane } from './soak-turn.ts'

export interface SoakSample {
  readonly second: number
  /** Anonymous memory: what the processes themselves hold, without mapped files. */
  readonly anonymousMiB: number
  readonly fileMiB: number
}

export interface SoakResult {
  readonly minutes: number
  readonly requests: number
  /** Turns that ended with another answer than they should have. */
  readonly failures: number
  readonly firstFailure: string | undefined
  /** Garbage collections that were started. */
  readonly collections: number
  /** Median of the second quarter and of the last quarter; the first warms up. */
  readonly earlyMiB: number
  readonly lateMiB: number
  /** What the last quarter may have. */
  readonly lateMaxMiB: number
  readonly samples: readonly SoakSample[]
}

/** For `StartContext.settings`: what is left behind goes within minutes, not days. */
export const SOAK_SETTINGS = `[gc]
grace = "1m"
restore_window = "0s"
every = "0s"
untagged = "delete"
untagged_after = "1m"
[ingest]
session_expiry = "1m"
`

const LANES = 8
const SAMPLE_EVERY_MS = 1000
const COLLECT_EVERY_MS = 60_000
// A young heap and slabs that wait for the next upload: what comes and goes, and is no growth.
const NOISE_MIB = 16
const NOISE_SHARE = 0.1

function sample(pid: number, second: number): SoakSample {
  const { anonymousBytes, fileBytes } = resident(pid)
  return { second, anonymousMiB: anonymousBytes / MIB, fileMiB: fileBytes / MIB }
}

/** True when memory did not grow, nothing failed and garbage was collected. */
export function isSteady({ failures, collections, lateMiB, lateMaxMiB }: SoakResult): boolean {
  return failures === 0 && collections > 0 && lateMiB <= lateMaxMiB
}

/** Limits: `minutes`; 8 lanes, each one request at a time. The store grows to some GB. */
export async function soak(server: Server, minutes: number): Promise<SoakResult> {
  const startedAt = performance.now()
  const endAt = startedAt + minutes * 60_000
  const samples: SoakSample[] = []
  let requests = 0
  let failures = 0
  let collections = 0
  let firstFailure: string | undefined
  const fail = (cause: unknown): void => {
    failures += 1
    firstFailure ??= String(cause)
  }
  const collect = (): void => {
    collectGarbage(server).then((isStarted) => {
      if (isStarted) collections += 1
    }, fail)
  }
  const sampling = setInterval(() => {
    samples.push(sample(server.pid, Math.round((performance.now() - startedAt) / 1000)))
  }, SAMPLE_EVERY_MS)
  const collecting = setInterval(collect, Math.min(COLLECT_EVERY_MS, minutes * 15_000))
  const run = async (index: number): Promise<void> => {
    let lane = new Lane(server, index)
    for (let number = 0; performance.now() < endAt; number++) {
      try {
        requests += await lane.turn(number)
      } catch (cause) {
        fail(cause)
        lane.close()
        lane = new Lane(server, index)
      }
    }
    lane.close()
  }
  await Promise.all(Array.from({ length: LANES }, (_, index) => run(index)))
  clearInterval(sampling)
  clearInterval(collecting)
  const quarter = Math.floor(samples.length / 4)
  const anonymous = samples.map((it) => it.anonymousMiB)
  const earlyMiB = median(anonymous.slice(quarter, 2 * quarter))
  return {
    ...{ minutes, requests, failures, firstFailure, collections, earlyMiB },
    lateMiB: median(anonymous.slice(3 * quarter)),
    lateMaxMiB: earlyMiB + Math.max(NOISE_MIB, earlyMiB * NOISE_SHARE),
    samples,
  }
}

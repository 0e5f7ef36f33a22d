// Leases that have run out: the repository lets go of the blob, and the last one condemns it.

import type { EndedLease, LeaseOutcome } from '../../storage/metadata/garbage.ts'
import { roughDuration } from '../../telemetry/rough-units.ts'
import { foreseeOutcome } from './foresee.ts'
import type { GcRun } from './settings.ts'
import { isCorrupt, shownTime } from './tally.ts'

// Requests and pushes wait for a transaction: so many leases take a few milliseconds.
const leasesPerTransaction = 20

/** Errors: as `context.pace`; StorageError 'unavailable', 'full'. */
export async function condemnEnded(run: GcRun): Promise<void> {
  const { context, tally } = run
  const { metadata } = context
  const { onCorrupt } = tally
  let after: EndedLease | undefined
  let done = 0
  for (;;) {
    if (context.shared) metadata.refresh()
    const leases = await metadata.listEndedLeases({
      ...{ beforeMs: context.now(), limit: leasesPerTransaction, onCorrupt },
      ...(after === undefined ? {} : { after }),
    })
    if (leases.length === 0) return
    await context.pace({ items: leases.length, bytes: 0 })
    await judge(run, leases)
    done += leases.length
    context.progress({ phase: 'ended leases', done })
    after = leases.at(-1)
    if (leases.length < leasesPerTransaction) return
  }
}

async function judge(run: GcRun, leases: readonly EndedLease[]): Promise<void> {
  const { context, input } = run
  const nowMs = context.now()
  // Before, since afterwards nobody holds them.
  const sizes: number[] = []
  for (const lease of leases) sizes.push(await sizeOf(run, lease))
  const outcomes = input.dryRun
    ? await foresee(run, leases, nowMs)
    : await context.changing(() =>
        context.metadata.condemn(leases, {
          ...{ nowMs, run: context.run, onCorrupt: run.tally.onCorrupt },
        }),
      )
  for (const [i, lease] of leases.entries()) {
    const outcome = outcomes[i] ?? 'kept'
    count(run, lease, outcome, { nowMs, bytes: sizes[i] ?? 0 })
  }
}

async function foresee(
  { context, tally }: GcRun,
  leases: readonly EndedLease[],
  nowMs: number,
): Promise<LeaseOutcome[]> {
  const outcomes: LeaseOutcome[] = []
  for (const lease of leases) {
    try {
      outcomes.push(await foreseeOutcome(context.metadata, lease, nowMs))
    } catch (error) {
      if (!isCorrupt(error)) throw error
      tally.onCorrupt(error)
      outcomes.push('kept')
    }
  }
  return outcomes
}

function count(
  { context, input, settings, tally }: GcRun,
  { digest, repository, untilMs }: EndedLease,
  outcome: LeaseOutcome,
  { nowMs, bytes }: { readonly nowMs: number; readonly bytes: number },
): void {
  if (outcome === 'kept') {
    tally.kept += 1
    return
  }
  tally.add(outcome === 'condemned' ? tally.condemned : tally.unlinked, bytes)
  tally.example(outcome, digest)
  tally.restorable(nowMs + settings().restoreWindowMs)
  if (input.dryRun) return
  const reason = `no manifest names it, and its lease ended at ${shownTime(untilMs)}, ${roughDuration(nowMs - untilMs)} before`
  const of = repository === undefined ? { digest, bytes } : { digest, bytes, repository }
  context.record({ deed: outcome === 'condemned' ? 'condemn-blob' : 'unlink-blob', ...of, reason })
}

// For the counts alone: what is wrong with a record is told by who judges it.
async function sizeOf({ context }: GcRun, { digest, repository }: EndedLease): Promise<number> {
  const { blobs, metadata } = context
  try {
    const link = repository === undefined ? undefined : await metadata.readBlob(repository, digest)
    return link?.size ?? (await blobs.size(digest)) ?? 0
  } catch (error) {
    if (isCorrupt(error)) return 0
    throw error
  }
}

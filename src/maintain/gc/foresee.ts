// What a lease that has run out would come to, without changing anything.

import type { EndedLease, LeaseOutcome } from '../../storage/metadata/garbage.ts'
import type { MaintenanceStore } from '../../storage/metadata/maintenance.ts'

// Of a blob that more of them hold it is not looked for the last one.
const holdersMax = 100

/** As if all leases that ended before it, and all like it, had been judged already. */
export async function foreseeOutcome(
  metadata: MaintenanceStore,
  lease: EndedLease,
  nowMs: number,
): Promise<LeaseOutcome> {
  const { digest, repository, untilMs } = lease
  const holders = await metadata.repositoriesHolding(digest, holdersMax + 1)
  if (repository === undefined) return holders.length > 0 ? 'kept' : 'condemned'
  const isKnown = holders.length <= holdersMax
  if (isKnown && !holders.includes(repository)) return 'kept'
  const link = await metadata.readBlob(repository, digest)
  // One that is quarantined reads as absent; its row among the leases says enough.
  if (link !== undefined && (link.referenced || link.leaseUntilMs !== untilMs)) return 'kept'
  if (!isKnown) return 'unlinked'
  for (const other of holders) {
    if (other === repository) continue
    const held = await metadata.readBlob(other, digest)
    if (held === undefined || held.referenced || held.leaseUntilMs >= nowMs) return 'unlinked'
    // The last lease is the one that condemns.
    const isLater = held.leaseUntilMs === untilMs ? other > repository : held.leaseUntilMs > untilMs
    if (isLater) return 'unlinked'
  }
  return 'condemned'
}

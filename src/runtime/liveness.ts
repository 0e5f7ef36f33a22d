// How a server tells which of the others that share its stores still live.

import type { BlobStore } from '../storage/blob/contract.ts'
import { type Liveness, type NodeTable, oneHost } from '../storage/liveness.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Closers } from './closers.ts'

/**
 * By leases where records and blobs are both shared by hosts, and by the host's own processes elsewhere.
 * Errors: StorageError where the lease cannot be taken.
 */
export async function openLiveness(
  metadata: object,
  { spansHosts = false }: Pick<BlobStore, 'spansHosts'>,
  log: Pick<Logger, 'warn'>,
  closers: Pick<Closers, 'add'>,
): Promise<Liveness> {
  if (!spansHosts || !isNodeTable(metadata)) return oneHost
  const nodes = await metadata.joinNodes((notice) => log.warn(notice))
  closers.add(() => nodes.close())
  return nodes
}

function isNodeTable(metadata: object): metadata is NodeTable {
  return 'joinNodes' in metadata
}

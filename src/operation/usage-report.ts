// What the operator is told of how much is stored, and of the quotas that bound it.

import { parseRepositoryName } from '../oci/name.ts'
import type { Quota } from '../storage/metadata/usage.ts'
import type { Registry } from './registry.ts'

/** A quota, and how much of it is used. */
export interface QuotaUse extends Quota {
  readonly bytes: number
  readonly tags: number
}

export interface UsageReport {
  readonly prefix: string
  readonly bytes: number
  readonly tags: number
  /** Those that hold for the prefix, the broadest first. */
  readonly quotas: readonly QuotaUse[]
}

interface Answer {
  readonly status: number
  readonly body: object
}

type Part = Pick<Registry, 'metadata' | 'rules' | 'shared'>

/** Every quota of the configuration with its use; few, since an operator wrote them. */
export function quotaUses(registry: Part): Promise<readonly QuotaUse[]> {
  return usesOf(registry.rules.quotas, registry)
}

/** `prefix` of the query is a repository or what several begin with; absent for all. 400 for anything else. */
export async function reportUsage(query: URLSearchParams, registry: Part): Promise<Answer> {
  const prefix = query.get('prefix') ?? ''
  if (prefix !== '' && parseRepositoryName(prefix) === undefined) {
    return { status: 400, body: { error: 'prefix must be the name of a repository' } }
  }
  const holds = (quota: Quota): boolean =>
    quota.prefix === '' || quota.prefix === prefix || prefix.startsWith(`${quota.prefix}/`)
  const quotas = await usesOf(registry.rules.quotas.filter(holds), registry)
  const { bytes, tags } = await registry.metadata.readUsage(prefix)
  const body: UsageReport = { prefix, bytes, tags, quotas }
  return { status: 200, body }
}

/**
 * Compare the counters with what is stored, and with `{"repair": true}` put them right. All other writes
 * wait for it: two seconds for each hundred thousand blobs (measured on one busy core).
 */
export async function recountUsage(input: unknown, { metadata }: Part): Promise<Answer> {
  const isObject = typeof input === 'object' && input !== null
  const repair = isObject && 'repair' in input && input.repair === true
  const faults = await metadata.recountUsage({ repair })
  return { status: 200, body: { faults, repaired: repair && faults.length > 0 } }
}

async function usesOf(
  quotas: readonly Quota[],
  { metadata, shared }: Part,
): Promise<readonly QuotaUse[]> {
  if (shared) metadata.refresh()
  const uses: QuotaUse[] = []
  for (const quota of quotas) uses.push({ ...quota, ...(await metadata.readUsage(quota.prefix)) })
  return uses
}

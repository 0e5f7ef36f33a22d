// Counters of what is stored that are not what is stored amounts to, of a store that is too large for one transaction.

import { parseDigest } from '../../../oci/digest.ts'
import { parseRepositoryName } from '../../../oci/name.ts'
import type { UsageFault } from '../usage.ts'
import type { KeyRange, KeyValueEntry, KeyValueSnapshot } from './contract.ts'
import { decodeBlob, decodeUsage, type UsageRecord } from './encoding.ts'
import { below, blobKey, keyBehind, lastPart, usageFormatKey, usagesPrefix } from './keys.ts'
import { passingOver } from './passing-over.ts'
import { format, prefixesOf } from './usage.ts'

const rowsPerPage = 500
const repositoryRows: KeyRange = { start: 'r!', end: 'r"' }

/**
 * As `recount` without repair, in pages. Memory: a counter for each prefix of a name.
 * A record that cannot be read counts nothing, as there. Errors: StorageError 'unavailable', 'corrupt'.
 */
export async function usageFaults(snapshot: KeyValueSnapshot): Promise<readonly UsageFault[]> {
  // A store of a build that did not count is counted by its first write.
  if ((await snapshot.get(usageFormatKey)) !== format) return []
  const actual = await countAll(snapshot)
  const counted = new Map<string, UsageRecord>()
  for await (const { key, value } of everyRow(snapshot, below(usagesPrefix))) {
    const usage = passingOver(
      () => decodeUsage(value, key),
      () => {},
    )
    counted.set(lastPart(key, usagesPrefix), usage ?? nothing)
  }
  const faults: UsageFault[] = []
  for (const prefix of new Set([...counted.keys(), ...actual.keys()])) {
    const is = counted.get(prefix) ?? nothing
    const should = actual.get(prefix) ?? nothing
    if (is.bytes === should.bytes && is.tags === should.tags) continue
    faults.push({ prefix, counted: shown(is), actual: shown(should) })
  }
  return faults
}

const nothing: UsageRecord = { bytes: 0n, tags: 0 }

async function countAll(snapshot: KeyValueSnapshot): Promise<Map<string, UsageRecord>> {
  const usages = new Map<string, UsageRecord>()
  for await (const { key } of everyRow(snapshot, repositoryRows)) {
    const [, name = '', kind, last = '', more] = key.split('!')
    // Rows of references have a part more.
    if (more !== undefined || (kind !== 'b' && kind !== 'm' && kind !== 't')) continue
    const repository = parseRepositoryName(name)
    // Nobody can have written there.
    if (repository === undefined) continue
    const tags = kind === 't' ? 1 : 0
    const bytes = kind === 't' ? 0 : await lengthOf(snapshot, kind, { key, last })
    if (bytes === 0 && tags === 0) continue
    for (const prefix of prefixesOf(repository)) {
      const used = usages.get(prefix) ?? nothing
      usages.set(prefix, { bytes: used.bytes + BigInt(bytes), tags: used.tags + tags })
    }
  }
  return usages
}

async function lengthOf(
  snapshot: KeyValueSnapshot,
  kind: 'b' | 'm',
  { key, last }: { readonly key: string; readonly last: string },
): Promise<number> {
  if (kind === 'm') return (await snapshot.getBody(key))?.length ?? 0
  const digest = parseDigest(last)
  if (digest === undefined) return 0
  const row = blobKey(digest)
  const record = await snapshot.get(row)
  if (record === undefined) return 0
  return (
    passingOver(
      () => decodeBlob(record, row).size,
      () => {},
    ) ?? 0
  )
}

async function* everyRow(
  snapshot: KeyValueSnapshot,
  range: KeyRange,
): AsyncGenerator<KeyValueEntry> {
  for (let { start } = range; ; ) {
    const rows = await snapshot.entries({ ...range, start, limit: rowsPerPage })
    yield* rows
    const last = rows.at(-1)
    if (last === undefined) return
    start = keyBehind(last.key)
  }
}

function shown({ bytes, tags }: UsageRecord): { readonly bytes: number; readonly tags: number } {
  return { bytes: Number(bytes), tags }
}

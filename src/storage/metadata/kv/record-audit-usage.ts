// Counters of usage against what is stored, at one moment and in pieces, so that requests go on meanwhile.

import { parseDigest } from '../../../oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../../oci/name.ts'
import type { Usage, UsageFault } from '../usage.ts'
import type { KeyRange, KeyValueEntry, KeyValueSnapshot } from './contract.ts'
import { decodeBlob, decodeUsage, type UsageRecord } from './encoding.ts'
import {
  below,
  blobKey,
  keyBehind,
  lastPart,
  manifestKey,
  repositoryRowsAfter,
  usageFormatKey,
  usagesPrefix,
} from './keys.ts'
import { decoded } from './record-audit-look.ts'
import { format, prefixesOf } from './usage.ts'

// Some of them are as long as a manifest.
const rowsPerPiece = 250

const nothing: UsageRecord = { bytes: 0n, tags: 0 }

/** Undefined where the store was never counted: its first write will. Errors: those of `tick`. */
export async function compareUsage(
  snapshot: KeyValueSnapshot,
  tick: (records: number) => Promise<void>,
): Promise<UsageFault[]> {
  if ((await snapshot.get(usageFormatKey)) !== format) return []
  const actual = await countAll(snapshot, tick)
  const counted = new Map<string, UsageRecord>()
  for await (const entries of pieces(snapshot, below(usagesPrefix), tick)) {
    for (const { key, value } of entries) {
      const usage = decoded(() => decodeUsage(value, key))
      const prefix = lastPart(key, usagesPrefix)
      // One that cannot be read is told of as that.
      if (usage === undefined) actual.delete(prefix)
      else counted.set(prefix, usage)
    }
  }
  return [...new Set([...counted.keys(), ...actual.keys()])].flatMap((prefix) => {
    const is = counted.get(prefix) ?? nothing
    const should = actual.get(prefix) ?? nothing
    if (is.bytes === should.bytes && is.tags === should.tags) return []
    return [{ prefix, counted: shown(is), actual: shown(should) }]
  })
}

async function countAll(
  snapshot: KeyValueSnapshot,
  tick: (records: number) => Promise<void>,
): Promise<Map<string, UsageRecord>> {
  const usages = new Map<string, UsageRecord>()
  const add = (repository: RepositoryName, { bytes, tags }: UsageRecord): void => {
    if (bytes === 0n && tags === 0) return
    for (const prefix of prefixesOf(repository)) {
      const before = usages.get(prefix) ?? nothing
      usages.set(prefix, { bytes: before.bytes + bytes, tags: before.tags + tags })
    }
  }
  let repository: RepositoryName | undefined
  let own = { bytes: 0n, tags: 0 }
  for await (const entries of pieces(snapshot, repositoryRowsAfter(), tick)) {
    for (const { key } of entries) {
      const [, name = '', kind = '', text = '', more] = key.split('!')
      if (name !== repository) {
        if (repository !== undefined) add(repository, own)
        own = { bytes: 0n, tags: 0 }
        repository = parseRepositoryName(name)
      }
      if (repository === undefined || more !== undefined) continue
      if (kind === 't') own.tags++
      else if (kind === 'b' || kind === 'm') {
        const size = await sizeOf(snapshot, repository, kind, text)
        own.bytes += size
      }
    }
  }
  if (repository !== undefined) add(repository, own)
  return usages
}

async function sizeOf(
  snapshot: KeyValueSnapshot,
  repository: RepositoryName,
  kind: 'b' | 'm',
  text: string,
): Promise<bigint> {
  const digest = parseDigest(text)
  if (digest === undefined) return 0n
  if (kind === 'm') {
    return BigInt((await snapshot.getBody(manifestKey(repository, digest)))?.length ?? 0)
  }
  const key = blobKey(digest)
  const record = await snapshot.get(key)
  return BigInt((record && decoded(() => decodeBlob(record, key))?.size) || 0)
}

async function* pieces(
  snapshot: KeyValueSnapshot,
  range: KeyRange,
  tick: (records: number) => Promise<void>,
): AsyncGenerator<KeyValueEntry[]> {
  let { start } = range
  for (;;) {
    const entries = await snapshot.entries({ start, end: range.end, limit: rowsPerPiece })
    yield entries
    const last = entries.at(-1)
    if (last === undefined || entries.length < rowsPerPiece) return
    start = keyBehind(last.key)
    await tick(entries.length)
  }
}

function shown({ bytes, tags }: UsageRecord): Usage {
  return { bytes: Number(bytes), tags }
}

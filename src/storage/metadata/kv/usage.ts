// Counters of what is stored: one for each prefix of a repository's name, kept by whoever changes it.

import assert from 'node:assert'
import { parseDigest } from '../../../oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../../oci/name.ts'
import type { OverQuota, Quota, Usage, UsageFault } from '../usage.ts'
import type { KeyRange, KeyValueReader, KeyValueTransaction } from './contract.ts'
import { decodeBlob, decodeUsage, encodeUsage, type UsageRecord } from './encoding.ts'
import {
  below,
  blobKey,
  lastPart,
  linksPrefix,
  manifestsPrefix,
  repositoryOf,
  repositoryRowsAfter,
  tagsPrefix,
  usageFormatKey,
  usageKey,
  usagesPrefix,
} from './keys.ts'
import { passingOver } from './passing-over.ts'

/** Grows with every change of what counts, or how: the counters of another one are counted anew. */
export const format = '1'

// Keys read at a time: a repository may have millions.
const chunkLength = 1_000

const nothing: UsageRecord = { bytes: 0n, tags: 0 }

export function readUsage(reader: KeyValueReader, prefix: string): Usage {
  if (isCounted(reader)) return shown(readCounter(reader, prefix))
  return shown(countAll(reader).get(prefix) ?? nothing)
}

/** Whether the counters count what this build counts. */
export function isCounted(reader: KeyValueReader): boolean {
  return reader.get(usageFormatKey) === format
}

/** Before the first change of a transaction: a store whose counters count nothing, or otherwise, is counted. */
export function prepareCounters(transaction: KeyValueTransaction): void {
  if (!isCounted(transaction)) repair(transaction, countAll(transaction))
}

/** The first quota in which there is no room for it; undefined where it fits, or adds nothing. */
export function overQuota(
  reader: KeyValueReader,
  quotas: readonly Quota[],
  added: UsageRecord,
): OverQuota | undefined {
  for (const { prefix, bytesMax, tagsMax } of quotas) {
    const used = readCounter(reader, prefix)
    const isOver = (what: 'bytes' | 'tags', limit: number | undefined): boolean =>
      limit !== undefined && added[what] > 0 && BigInt(used[what]) + BigInt(added[what]) > limit
    const refuse = (what: 'bytes' | 'tags', limit = 0): OverQuota => {
      const amounts = { limit, used: Number(used[what]), added: Number(added[what]) }
      return { kind: 'over-quota', prefix, what, ...amounts }
    }
    if (isOver('bytes', bytesMax)) return refuse('bytes', bytesMax)
    if (isOver('tags', tagsMax)) return refuse('tags', tagsMax)
  }
  return undefined
}

/** What the repository holds has grown by so much, or shrunk. */
export function changeUsage(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  change: UsageRecord,
): void {
  if (change.bytes === 0n && change.tags === 0) return
  for (const prefix of prefixesOf(repository)) {
    const { bytes, tags } = readCounter(transaction, prefix)
    putCounter(transaction, prefix, { bytes: bytes + change.bytes, tags: tags + change.tags })
  }
}

/** Compares, and puts right where it may. */
export function recount(
  transaction: KeyValueTransaction,
  { repair: mayRepair }: { readonly repair: boolean },
): readonly UsageFault[] {
  const actual = countAll(transaction)
  const counted = new Map(
    transaction
      .keys(below(usagesPrefix))
      .map((key) => lastPart(key, usagesPrefix))
      .map(
        (prefix) => [prefix, readable(() => readCounter(transaction, prefix)) ?? nothing] as const,
      ),
  )
  const faults: UsageFault[] = []
  for (const prefix of new Set([...counted.keys(), ...actual.keys()])) {
    const is = counted.get(prefix) ?? nothing
    const should = actual.get(prefix) ?? nothing
    if (is.bytes === should.bytes && is.tags === should.tags) continue
    faults.push({ prefix, counted: shown(is), actual: shown(should) })
  }
  if (mayRepair) repair(transaction, actual)
  return faults
}

function repair(transaction: KeyValueTransaction, actual: ReadonlyMap<string, UsageRecord>): void {
  for (const key of transaction.keys(below(usagesPrefix))) transaction.remove(key)
  for (const [prefix, usage] of actual) putCounter(transaction, prefix, usage)
  transaction.put(usageFormatKey, format)
}

function readCounter(reader: KeyValueReader, prefix: string): UsageRecord {
  const key = usageKey(prefix)
  const text = reader.get(key)
  return text === undefined ? nothing : decodeUsage(text, key)
}

function putCounter(transaction: KeyValueTransaction, prefix: string, usage: UsageRecord): void {
  const key = usageKey(prefix)
  // Counters that have lost touch must not keep anybody from deleting; `recount` tells of them.
  const bytes = usage.bytes > 0n ? usage.bytes : 0n
  const tags = Math.max(usage.tags, 0)
  if (bytes === 0n && tags === 0) transaction.remove(key)
  else transaction.put(key, encodeUsage({ bytes, tags }))
}

/** '' first, the whole name last. */
export function prefixesOf(repository: RepositoryName): string[] {
  const prefixes = ['']
  for (let at = repository.indexOf('/'); at !== -1; at = repository.indexOf('/', at + 1)) {
    prefixes.push(repository.slice(0, at))
  }
  prefixes.push(repository)
  return prefixes
}

function shown({ bytes, tags }: UsageRecord): Usage {
  return { bytes: Number(bytes), tags }
}

/** By prefix, from the rows themselves. */
function countAll(reader: KeyValueReader): Map<string, UsageRecord> {
  const usages = new Map<string, UsageRecord>()
  let name: string | undefined
  for (;;) {
    const [key] = reader.keys({ ...repositoryRowsAfter(name), limit: 1 })
    if (key === undefined) return usages
    name = repositoryOf(key)
    const repository = parseRepositoryName(name)
    // Nobody can have written there.
    if (repository === undefined) continue
    const own = countOne(reader, repository)
    if (own.bytes === 0n && own.tags === 0) continue
    for (const prefix of prefixesOf(repository)) {
      const { bytes, tags } = usages.get(prefix) ?? nothing
      usages.set(prefix, { bytes: bytes + own.bytes, tags: tags + own.tags })
    }
  }
}

function countOne(reader: KeyValueReader, repository: RepositoryName): UsageRecord {
  let bytes = 0n
  let tags = 0
  const links = linksPrefix(repository)
  for (const key of everyKey(reader, below(links))) {
    const blob = lastPart(key, links)
    // Rows of references have a part more.
    if (!blob.includes('!')) bytes += BigInt(sizeOf(reader, blob))
  }
  for (const key of everyKey(reader, below(manifestsPrefix(repository)))) {
    bytes += BigInt(reader.bodyLength(key) ?? 0)
  }
  for (const _key of everyKey(reader, below(tagsPrefix(repository)))) tags++
  return { bytes, tags }
}

// What has lost its size or its bytes counts nothing, rather than keeping everybody from writing.
function sizeOf(reader: KeyValueReader, blob: string): number {
  const digest = parseDigest(blob)
  if (digest === undefined) return 0
  const key = blobKey(digest)
  const record = reader.get(key)
  return record === undefined ? 0 : (readable(() => decodeBlob(record, key).size) ?? 0)
}

/** Undefined where the record does not decode. */
function readable<T>(read: () => T): T | undefined {
  return passingOver(read, () => {})
}

function* everyKey(reader: KeyValueReader, range: KeyRange): Generator<string> {
  let { start } = range
  for (;;) {
    const keys = reader.keys({ start, end: range.end, limit: chunkLength })
    yield* keys
    const last = keys.at(-1)
    if (last === undefined || keys.length < chunkLength) return
    // No key has a character below the separator, so nothing is between the two.
    start = `${last}!`
    assert(start > last)
  }
}

// Whether two stores hold the same: every record and manifest of both, side by side, and a digest over all.

import { createHash, type Hash } from 'node:crypto'
import type { Dump, DumpCounts, DumpEntry } from '../../storage/metadata/dump.ts'
import type { JobContext } from '../job/contract.ts'

// Of the store itself: the target is not finished before it is compared.
const formatKey = 's!format'

export interface Compared {
  readonly records: number
  readonly bodies: number
  readonly counts: DumpCounts
  /** SHA-256 in hex over what the source holds, in the order of its keys. */
  readonly digest: string
  /** The first difference, for people. */
  readonly problem?: string
}

/** Closes both. Memory: two pages. Errors: StorageError; AbortError. */
export async function compareRows(
  source: Dump,
  target: Dump,
  { progress, signal }: Pick<JobContext, 'progress' | 'signal'>,
): Promise<Compared> {
  const hashes = [createHash('sha256'), createHash('sha256')] as const
  let records = 0
  let bodies = 0
  const told = (problem?: string): Compared => ({
    ...{ records, bodies, counts: source.counts, digest: hashes[0].copy().digest('hex') },
    ...(problem === undefined ? {} : { problem }),
  })
  try {
    const theirs = rowsOf(target)
    for await (const entry of rowsOf(source)) {
      signal.throwIfAborted()
      const { value: other } = await theirs.next()
      if (other === undefined) return told(`the target lacks ${shown(entry)}`)
      add(hashes[0], entry)
      add(hashes[1], other)
      if (!isSame(entry, other)) {
        return told(`the target has ${shown(other)} where the source has ${shown(entry)}`)
      }
      if (entry.kind === 'record') records += 1
      else bodies += 1
      if ((records + bodies) % 500 === 0) progress({ phase: 'comparing', done: records + bodies })
    }
    const { value: more } = await theirs.next()
    if (more !== undefined) return told(`the target has ${shown(more)}, and the source has not`)
    const isEqual = hashes[0].copy().digest('hex') === hashes[1].copy().digest('hex')
    return told(isEqual ? undefined : 'the digests of the two stores differ')
  } finally {
    source.close()
    target.close()
  }
}

type Row = Exclude<DumpEntry, { readonly kind: 'blob' }>

async function* rowsOf(dump: Dump): AsyncGenerator<Row, undefined> {
  for (;;) {
    const entries = await dump.next()
    if (entries.length === 0) return undefined
    for (const entry of entries) {
      if (entry.kind !== 'blob' && entry.key !== formatKey) yield entry
    }
  }
}

function isSame(a: Row, b: Row): boolean {
  if (a.key !== b.key) return false
  if (a.kind === 'record') return b.kind === 'record' && a.value === b.value
  return b.kind === 'body' && Buffer.compare(a.bytes, b.bytes) === 0
}

/** Lengths before texts, so that no two contents make the same stream. */
function add(hash: Hash, row: Row): void {
  const value = row.kind === 'record' ? Buffer.from(row.value) : row.bytes
  hash.update(`${row.kind} ${row.key.length} ${value.length}\n${row.key}\n`)
  hash.update(value)
}

function shown({ kind, key }: Row): string {
  return `${kind} ${key}`
}

// The first part of a backup: the rows of one moment become segments, of which only the new ones are written.

import { readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import type { Digest } from '../../oci/digest.ts'
import type { DumpCounts, DumpEntry, DumpedBlob } from '../../storage/metadata/dump.ts'
import type { JobContext } from '../job/contract.ts'
import { moveInto, NewNames, syncFile } from './durable-files.ts'
import { BackupError, unlessAbsent } from './error.ts'
import { fileMode, type Layout } from './layout.ts'
import { type CutSegment, packSegment, SegmentCutter, unpackSegment } from './segment.ts'
import type { SegmentKind, SegmentName } from './snapshot.ts'

/** The store grows by all that is written while its moment is held. */
const heldMsMax = 15 * 60_000

export interface WrittenRows {
  readonly takenAtMs: number
  readonly segments: readonly SegmentName[]
  readonly counts: DumpCounts
  readonly unreadable: readonly string[]
  /** Blobs that were out of the way, whose bytes nobody has. */
  readonly quarantined: readonly Omit<DumpedBlob, 'kind'>[]
  /** What was not there before. */
  readonly added: { readonly segments: number; readonly bytes: number }
  /** Sorted by digest. */
  blobs(): AsyncIterable<readonly DumpedBlob[]>
}

/** Errors: StorageError 'unavailable'; BackupError where it takes too long; the system's own. */
export async function writeRows(
  layout: Layout,
  context: Pick<JobContext, 'metadata' | 'now' | 'randomUuid' | 'signal' | 'progress'>,
  isDryRun: boolean,
): Promise<WrittenRows> {
  const writer = new SegmentWriter(layout, context.randomUuid, isDryRun)
  const unreadable: string[] = []
  const takenAtMs = context.now()
  const dump = context.metadata.openDump({ onCorrupt: ({ message }) => unreadable.push(message) })
  const heldSince = performance.now()
  try {
    let done = 0
    for (let entries = await dump.next(); entries.length > 0; entries = await dump.next()) {
      context.signal.throwIfAborted()
      for (const entry of entries) await writer.add(entry)
      done += entries.length
      context.progress({ phase: 'rows', done })
      if (performance.now() - heldSince > heldMsMax) throw tooSlow(layout)
      await turn()
    }
    await writer.end()
  } finally {
    dump.close()
  }
  await writer.sync()
  const { segments, added } = writer
  const { counts, quarantined } = dump
  const found = { takenAtMs, segments, counts, unreadable, quarantined, added }
  return { ...found, blobs: () => writer.blobs() }
}

class SegmentWriter {
  readonly segments: SegmentName[] = []
  readonly added = { segments: 0, bytes: 0 }
  readonly #layout: Layout
  readonly #randomUuid: () => string
  readonly #isDryRun: boolean
  readonly #cutters: readonly SegmentCutter[] = kinds.map((kind) => new SegmentCutter(kind))
  /** Written, but neither on the disk nor in their place. */
  readonly #pending = new Map<Digest, string>()
  readonly #names = new NewNames()
  /** Those of blobs, where nothing is written. */
  readonly #kept = new Map<Digest, Uint8Array>()

  constructor(layout: Layout, randomUuid: () => string, isDryRun: boolean) {
    this.#layout = layout
    this.#randomUuid = randomUuid
    this.#isDryRun = isDryRun
  }

  async add(entry: DumpEntry): Promise<void> {
    const cut = this.#cutters[kinds.indexOf(entry.kind)]?.add(entry)
    if (cut !== undefined) await this.#write(cut)
  }

  async end(): Promise<void> {
    for (const cutter of this.#cutters) {
      const cut = cutter.end()
      if (cut !== undefined) await this.#write(cut)
    }
  }

  /** After the moment is let go, since the disk may take its time. */
  async sync(): Promise<void> {
    for (const [digest, temporary] of this.#pending) {
      await syncFile(temporary)
      await moveInto(temporary, this.#layout.segment(digest), this.#names)
    }
    this.#pending.clear()
    await this.#names.sync()
  }

  async *blobs(): AsyncGenerator<readonly DumpedBlob[]> {
    for (const segment of this.segments) {
      if (segment.kind !== 'blob') continue
      const packed =
        this.#kept.get(segment.digest) ?? (await readFile(this.#layout.segment(segment.digest)))
      const entries = await unpackSegment(packed, segment)
      yield entries.filter((entry) => entry.kind === 'blob')
    }
  }

  async #write(cut: CutSegment): Promise<void> {
    const { kind, digest, entries } = cut
    this.segments.push({ kind, digest, entries })
    const path = this.#layout.segment(digest)
    const isThere = (await unlessAbsent(stat(path))) !== undefined
    if (isThere) this.#names.addDirectory(dirname(path))
    if (isThere || this.#pending.has(digest) || this.#kept.has(digest)) return
    const packed = await packSegment(cut)
    this.added.segments += 1
    this.added.bytes += packed.length
    if (this.#isDryRun) {
      if (kind === 'blob') this.#kept.set(digest, packed)
      return
    }
    const temporary = join(this.#layout.temporary, this.#randomUuid())
    await writeFile(temporary, packed, { mode: fileMode, flag: 'wx' })
    this.#pending.set(digest, temporary)
  }
}

const kinds: readonly SegmentKind[] = ['record', 'body', 'blob']

function tooSlow({ root }: Layout): BackupError {
  const minutes = heldMsMax / 60_000
  return new BackupError(`the rows were not written to ${root} within ${minutes} minutes`)
}

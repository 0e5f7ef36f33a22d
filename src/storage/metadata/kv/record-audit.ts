// Goes through all records page by page, and puts right what was found in one transaction a page.

import type { Digest } from '../../../oci/digest.ts'
import { parseDigest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { MaybePromise } from '../contract.ts'
import type { AuditedBlob, AuditPage, RecordAudit, RecordFault } from '../record-audit.ts'
import type { UsageFault } from '../usage.ts'
import { isReferenced } from './blobs.ts'
import type { KeyRange, KeyValueEntry, KeyValueReader, KeyValueStore } from './contract.ts'
import { everything } from './dump.ts'
import { decodeBlob } from './encoding.ts'
import { decodeDropped } from './garbage-encoding.ts'
import { below, blobKey, droppedKey, holdersPrefix, keyBehind, lastPart } from './keys.ts'
import { decodeRepository } from './lists.ts'
import { decodedRows } from './passing-over.ts'
import * as changes from './record-audit-changes.ts'
import { decoded, Look } from './record-audit-look.ts'
import { checkBody, checkRow } from './record-audit-rows.ts'
import { compareUsage } from './record-audit-usage.ts'
import { recount } from './usage.ts'

type Page = Parameters<RecordAudit['auditRecords']>[0]

// A page ends with the row that reaches it, so that the event loop is free again in some ms.
const readsPerPage = 500

// What repositories hold comes first: blob records are held or not by what is right there.
const sections: readonly KeyRange[] = [
  { start: 'r!', end: 'r"' },
  { start: everything.start, end: 'r!' },
  { start: 'r"', end: everything.end },
]

interface Cursor {
  /** Of `sections`; the one behind the last are the bodies. */
  readonly section: number
  readonly start: string
}

interface Seen {
  readonly found: AuditPage
  /** Rows with faults that can be put right. */
  readonly suspects: readonly KeyValueEntry[]
}

export class KeyValueRecordAudit implements RecordAudit {
  readonly #store: KeyValueStore
  readonly #reader: KeyValueReader

  constructor(store: KeyValueStore) {
    this.#store = store
    this.#reader = store.reader
  }

  async auditRecords(page: Page): Promise<AuditPage> {
    const cursor = parseCursor(page.from)
    const section = sections[cursor.section]
    // What other processes have committed.
    this.#store.refresh()
    const memory = page.memory
    const { found, suspects, remembered } = await this.#store.read(() => {
      // A run that is repeated must not find what it remembered itself.
      const own = { held: new Set(memory.held), rebuilt: new Set(memory.rebuilt) }
      const seen =
        section === undefined
          ? this.#lookAtBodies(cursor, { ...page, memory: own })
          : this.#lookAtRows(cursor, section, { ...page, memory: own })
      return { ...seen, remembered: own }
    })
    for (const digest of remembered.held) memory.held.add(digest)
    for (const digest of remembered.rebuilt) memory.rebuilt.add(digest)
    if (suspects.length === 0 || !page.repair) return found
    return { ...found, faults: [...found.faults, ...(await this.#repair(suspects, page))] }
  }

  #lookAtRows(cursor: Cursor, section: KeyRange, page: Page): Seen {
    const rows = this.#reader.entries({ start: cursor.start, end: section.end, limit: page.limit })
    const look = new Look(this.#reader, page)
    const suspects: KeyValueEntry[] = []
    const faults: RecordFault[] = []
    let last: KeyValueEntry | undefined
    for (const row of rows) {
      const before = look.faults.length
      checkRow(look, row)
      last = row
      const own = look.faults.slice(before)
      if (own.some(({ remedy }) => remedy !== 'none')) suspects.push(row)
      else faults.push(...own)
      if (look.reads >= readsPerPage) break
    }
    const isEnd = last === rows.at(-1) && rows.length < page.limit
    const next = isEnd ? firstOf(cursor.section + 1) : cursorBehind(cursor.section, last)
    const records = last === undefined ? 0 : rows.indexOf(last) + 1
    const found = { wanted: look.wanted, records, bytes: look.hashed, next }
    // Those of a suspect are looked for again where they are put right.
    return { found: { ...found, faults: page.repair ? faults : look.faults }, suspects }
  }

  async auditUsage({
    repair,
    tick,
  }: Parameters<RecordAudit['auditUsage']>[0]): Promise<readonly UsageFault[]> {
    const snapshot = this.#store.snapshot()
    try {
      const faults = await compareUsage(snapshot, tick)
      if (faults.length === 0 || !repair) return faults
    } finally {
      snapshot.close()
    }
    return this.#store.write('durable', (transaction) => recount(transaction, { repair: true }))
  }

  listBlobs(page: Parameters<RecordAudit['listBlobs']>[0]): MaybePromise<AuditedBlob[]> {
    this.#store.refresh()
    return this.#store.read(() => this.#blobsOf(page))
  }

  #blobsOf({ prefix, after, limit }: Parameters<RecordAudit['listBlobs']>[0]): AuditedBlob[] {
    const start = after === undefined ? `b!${prefix}` : blobKey(after)
    return decodedRows(
      this.#reader,
      // Behind all its holders, whose keys go on with the separator.
      { start: after === undefined ? start : `${start}"`, end: `b!${prefix}~` },
      limit,
      ({ key, value }) => this.#audited(key, value),
      undefined,
    )
  }

  readBlobRecord(digest: Digest): MaybePromise<AuditedBlob | undefined> {
    this.#store.refresh()
    return this.#store.read(() => {
      const key = blobKey(digest)
      const value = this.#reader.get(key)
      return value === undefined ? undefined : this.#audited(key, value)
    })
  }

  holders(digest: Digest, limit: number): MaybePromise<RepositoryName[]> {
    return this.#store.read(() => {
      const prefix = holdersPrefix(digest)
      const keys = this.#reader.keys({ ...below(prefix), limit })
      return keys.flatMap((key) => {
        const repository = decoded(() => decodeRepository(lastPart(key, prefix), key))
        return repository === undefined ? [] : [repository]
      })
    })
  }

  isNeeded(digest: Digest): MaybePromise<boolean> {
    return this.#store.read(() => isNeeded(this.#reader, digest))
  }

  quarantineBlob(
    ...of: Parameters<RecordAudit['quarantineBlob']>
  ): ReturnType<RecordAudit['quarantineBlob']> {
    return this.#store.write('durable', (transaction) => changes.quarantineBlob(transaction, ...of))
  }

  settleBlob(
    blob: Parameters<RecordAudit['settleBlob']>[0],
  ): ReturnType<RecordAudit['settleBlob']> {
    return this.#store.write('durable', (transaction) => changes.settleBlob(transaction, blob))
  }

  healManifest(
    manifest: Parameters<RecordAudit['healManifest']>[0],
  ): ReturnType<RecordAudit['healManifest']> {
    return this.#store.write('durable', (transaction) =>
      changes.healManifest(transaction, manifest),
    )
  }

  #repair(suspects: readonly KeyValueEntry[], page: Page): Promise<readonly RecordFault[]> {
    return this.#store.write('durable', (transaction) => {
      const look = new Look(transaction, page, transaction)
      for (const { key } of suspects) {
        // As it is now: another writer, or the check before, may have changed or removed it.
        const value = transaction.get(key)
        if (value !== undefined) checkRow(look, { key, value })
      }
      return look.faults
    })
  }

  #lookAtBodies({ section, start }: Cursor, page: Page): Seen {
    const keys = this.#reader.bodyKeys({ start, end: everything.end, limit: page.limit })
    const look = new Look(this.#reader, page)
    for (const key of keys) checkBody(key, look)
    const last = keys.at(-1)
    const found = { faults: look.faults, wanted: [], records: 0, bytes: 0 }
    if (last === undefined || keys.length < page.limit) return { found, suspects: [] }
    const next = printCursor({ section, start: keyBehind(last) })
    return { found: { ...found, next }, suspects: [] }
  }

  #audited(key: string, value: string): AuditedBlob | undefined {
    const [, text = '', more] = key.split('!')
    const digest = more === undefined ? parseDigest(text) : undefined
    if (digest === undefined) return undefined
    const record = decoded(() => decodeBlob(value, key))
    if (record === undefined) return { digest, record: 'unreadable' }
    const { state, size, condemnedAtMs } = record
    const dropped = condemnedAtMs === undefined ? '' : droppedKey(condemnedAtMs, digest)
    const row = dropped === '' ? undefined : this.#reader.get(dropped)
    const was = row === undefined ? undefined : decoded(() => decodeDropped(row, dropped))
    const wasQuarantined = was?.wasQuarantined === true
    return { digest, record: { state, size, ...(wasQuarantined ? { wasQuarantined } : {}) } }
  }
}

function firstOf(section: number): string {
  return printCursor({ section, start: sections[section]?.start ?? everything.start })
}

function cursorBehind(section: number, last: KeyValueEntry | undefined): string {
  return last === undefined
    ? firstOf(section + 1)
    : printCursor({ section, start: keyBehind(last.key) })
}

function printCursor({ section, start }: Cursor): string {
  return `${section}:${start}`
}

/** Begins at the first record where it is none. */
function parseCursor(text: string | undefined): Cursor {
  const [, section, start] = /^([0-3]):(.*)$/.exec(text ?? '') ?? []
  if (section === undefined || start === undefined) return parseCursor(firstOf(0))
  return { section: Number(section), start }
}

function isNeeded(reader: KeyValueReader, digest: Digest): boolean {
  const prefix = holdersPrefix(digest)
  let { start } = below(prefix)
  for (;;) {
    const [key] = reader.keys({ start, end: below(prefix).end, limit: 1 })
    if (key === undefined) return false
    const repository = decoded(() => decodeRepository(lastPart(key, prefix), key))
    if (repository !== undefined && isReferenced(reader, repository, digest)) return true
    start = keyBehind(key)
  }
}

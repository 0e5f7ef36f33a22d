// How a check of one record looks at the others, and tells what it finds.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import { StorageError } from '../../error.ts'
import type { AuditMemory, RecordFault, RecordFaultKind, WantedManifest } from '../record-audit.ts'
import type { KeyValueReader, KeyValueTransaction } from './contract.ts'

export interface LookOptions {
  readonly nowMs: number
  readonly leaseUntilMs: number
  readonly memory: AuditMemory
}

type Repair = (transaction: KeyValueTransaction) => void

// Of what is remembered beside the records: some megabytes.
const memoryMax = 20_000

/** Finds on a reader; in a transaction it puts right at once, so that the next check sees it. */
export class Look implements LookOptions {
  readonly reader: KeyValueReader
  readonly nowMs: number
  readonly leaseUntilMs: number
  readonly memory: AuditMemory
  readonly faults: RecordFault[] = []
  readonly wanted: WantedManifest[] = []
  /** Bytes that were hashed. */
  hashed = 0
  /** Reads, roughly: what a page may cost is bounded by it. */
  reads = 0
  readonly #transaction: KeyValueTransaction | undefined

  constructor(
    reader: KeyValueReader,
    { nowMs, leaseUntilMs, memory }: LookOptions,
    transaction?: KeyValueTransaction,
  ) {
    this.reader = reader
    this.nowMs = nowMs
    this.leaseUntilMs = leaseUntilMs
    this.memory = memory
    this.#transaction = transaction
  }

  get isRepairing(): boolean {
    return this.#transaction !== undefined
  }

  get(key: string): string | undefined {
    this.reads++
    return this.reader.get(key)
  }

  has(key: string): boolean {
    return this.get(key) !== undefined
  }

  /** It follows from what else is there. */
  repairable(kind: RecordFaultKind, key: string, repair: Repair): void {
    this.faults.push({ kind, key, remedy: 'repair' })
    if (this.#transaction !== undefined) repair(this.#transaction)
  }

  /** It can only be put where it does no harm. */
  setAside(kind: RecordFaultKind, key: string, repair: Repair, wanted: WantedManifest): void {
    this.faults.push({ kind, key, remedy: 'set-aside', wanted })
    if (this.#transaction !== undefined) repair(this.#transaction)
  }

  hopeless(kind: RecordFaultKind, key: string, wanted?: WantedManifest): void {
    this.faults.push({ kind, key, remedy: 'none', ...(wanted === undefined ? {} : { wanted }) })
  }

  want(repository: RepositoryName, digest: Digest): void {
    this.wanted.push({ repository, digest })
  }

  rememberHeld(digest: Digest): void {
    if (this.memory.held.size < memoryMax) this.memory.held.add(digest)
  }

  /** Nothing before it is written, so nothing where there is no repair. */
  rememberRebuilt(digest: Digest): void {
    if (this.memory.rebuilt.size < memoryMax) this.memory.rebuilt.add(digest)
  }
}

/** Undefined where the record does not decode, which its own check tells of. */
export function decoded<T>(decode: () => T): T | undefined {
  try {
    return decode()
  } catch (error) {
    if (error instanceof StorageError && error.kind === 'corrupt') return undefined
    throw error
  }
}

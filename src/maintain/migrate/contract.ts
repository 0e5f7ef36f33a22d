// What a migration needs of the stores that it fills: whichever kinds they are.

import type { IngestPool } from '../../offload/contract.ts'
import type { BlobStore } from '../../storage/blob/contract.ts'
import type { Dump, RestoreTarget } from '../../storage/metadata/dump.ts'

/** As `lmdb+fs`: the kind of the metadata store, and that of the blob store. */
export type StoreKinds = string

export interface MigrateInput {
  /** Absolute path of the configuration of the target. */
  readonly to: string
  /** What the operator takes the two to be. */
  readonly fromKinds?: StoreKinds
  readonly toKinds?: StoreKinds
  readonly dryRun: boolean
}

export interface MigrationTarget {
  readonly kinds: StoreKinds
  readonly records: RestoreTarget
  openDump(): Dump
  /** Undefined where the blobs are those of the source, in their place. */
  readonly blobs: BlobStore | undefined
  readonly ingest: IngestPool
  /** Records and blobs know each other from here on; durable. */
  pair(): Promise<void>
  close(): Promise<void>
}

export interface MigrationStores {
  /** Of the source. */
  readonly kinds: StoreKinds
  /** Errors: Error for the operator; StorageError. */
  openTarget(input: MigrateInput): Promise<MigrationTarget>
}

/** What stands in the way, for the operator. */
export class MigrateError extends Error {
  override readonly name = 'MigrateError'
}

// What a scrub asks of a metadata backend: whether the records agree with each other, and how they get there.

import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import type { MaybePromise } from './contract.ts'
import type { UsageFault } from './usage.ts'

/**
 * `…-missing`: other records, or the content, say that it should be there. `…-extra`: nothing stands behind
 * it. `…-wrong`: it says something else than what it is made from. `record-unreadable`: it does not decode.
 */
export type RecordFaultKind =
  | 'blob-record-missing'
  | 'body-corrupt'
  | 'body-extra'
  | 'body-missing'
  | 'catalogue-extra'
  | 'catalogue-missing'
  | 'child-extra'
  | 'child-missing'
  | 'condemned-held'
  | 'contents-extra'
  | 'contents-missing'
  | 'contents-wrong'
  | 'deleted-manifest-extra'
  | 'deleted-manifest-missing'
  | 'destruction-extra'
  | 'destruction-missing'
  | 'dropped-extra'
  | 'dropped-missing'
  | 'holder-extra'
  | 'holder-missing'
  | 'lease-extra'
  | 'lease-index-extra'
  | 'lease-index-missing'
  | 'lease-missing'
  | 'link-missing'
  | 'manifest-record-missing'
  | 'media-type-wrong'
  | 'quarantine-extra'
  | 'record-unknown'
  | 'record-unreadable'
  | 'reference-extra'
  | 'reference-missing'
  | 'referrer-extra'
  | 'referrer-missing'
  | 'referrer-wrong'
  | 'refresh-token-index-extra'
  | 'refresh-token-index-missing'
  | 'tag-dangling'
  | 'tag-index-extra'
  | 'tag-index-missing'
  | 'tag-missing'

export interface RecordFault {
  readonly kind: RecordFaultKind
  /** Of the record that is wrong or missing; as the backend names it. */
  readonly key: string
  /**
   * `repair`: it follows from what else is there; with `repair` it is right now. `set-aside`: it reads as
   * absent, so that a push can bring it again; with `repair` from now on. `none`: nobody here knows better.
   */
  readonly remedy: 'repair' | 'set-aside' | 'none'
  /** The manifest whose bytes would heal it. */
  readonly wanted?: WantedManifest
}

/** Whose bytes are needed, from wherever they can be had. */
export interface WantedManifest {
  readonly repository: RepositoryName
  readonly digest: Digest
}

export interface AuditPage {
  readonly faults: readonly RecordFault[]
  /** Of earlier runs, whose bytes are still wanted. */
  readonly wanted: readonly WantedManifest[]
  /** How many were looked at. */
  readonly records: number
  /** Bytes that were hashed. */
  readonly bytes: number
  /** Where the next page begins; absent after the last. */
  readonly next?: string
}

/** Of a blob, `unreadable` where its record is there and does not decode. Units: bytes. */
export interface AuditedBlob {
  readonly digest: Digest
  readonly record:
    | {
        readonly state: 'live' | 'condemned' | 'destroying' | 'quarantined'
        readonly size: number
        /** Condemned, and quarantined again once it is restored. */
        readonly wasQuarantined?: boolean
      }
    | 'unreadable'
}

/** What is known of the whole run, and given to each of its pages. */
export interface AuditMemory {
  /** Blobs of which a repository turned out to be a holder, though the blob does not know. Grows, within a bound. */
  readonly held: Set<Digest>
  /** Blobs whose record was made anew, as that of a quarantined one until its bytes are looked at. As above. */
  readonly rebuilt: Set<Digest>
}

/**
 * Lists are pages, each of one moment. Every change looks again, in its own transaction, at what it was told:
 * what has changed since is left alone. Contract: test/contract/metadata/record-audit.ts.
 */
export interface RecordAudit {
  /**
   * Records compared with each other. With `repair`, durably, what can be is put right, and the faults are
   * those that were still there then. A record that cannot be read is a fault, and stops nothing.
   */
  auditRecords(page: {
    /** `next` of the page before. */
    readonly from?: string
    readonly limit: number
    readonly nowMs: number
    /** Of leases that are missing. */
    readonly leaseUntilMs: number
    readonly repair: boolean
    readonly memory: AuditMemory
  }): Promise<AuditPage>
  /**
   * The counters of usage, compared with what is stored at one moment. `tick` is called every some thousand
   * records and may wait. With `repair`, durably, they are put right. Errors: those of `tick`.
   */
  auditUsage(options: {
    readonly repair: boolean
    readonly tick: (records: number) => Promise<void>
  }): Promise<readonly UsageFault[]>

  /** Sorted by digest; those that begin with `prefix`. */
  listBlobs(page: {
    readonly prefix: string
    readonly after?: Digest
    readonly limit: number
  }): MaybePromise<AuditedBlob[]>
  readBlobRecord(digest: Digest): MaybePromise<AuditedBlob | undefined>
  /** Repositories that hold the blob, whatever its state, sorted; at most `limit`. */
  holders(digest: Digest, limit: number): MaybePromise<RepositoryName[]>
  /** Whether any repository names it in a manifest. */
  isNeeded(digest: Digest): MaybePromise<boolean>

  /**
   * Durable. A live blob reads as absent from now on, until it is pushed again; one that is condemned stays
   * that, and is not live after a restore. 'unchanged' where it is neither, or was put out of the way before;
   * 'there' where `isThere` says that its bytes have come back. With `unknown` a blob without a record gets one, with
   * this lease, that is quarantined from the start: what lies at its key is not to be taken for it.
   */
  quarantineBlob(
    digest: Digest,
    isThere: () => boolean,
    unknown?: { readonly size: number; readonly leaseUntilMs: number },
  ): Promise<'quarantined' | 'unchanged' | 'there'>
  /**
   * Durable. Bytes of this digest and size are there: a quarantined or unreadable record is live again, with
   * the holders that it has; one of another size gets this one; a blob without a record gets one, with a
   * lease. Nothing is held that was not held. 'absent' where `isThere` says that they are not.
   */
  settleBlob(blob: {
    readonly digest: Digest
    readonly size: number
    readonly leaseUntilMs: number
    readonly isThere: () => boolean
  }): Promise<'revived' | 'resized' | 'recorded' | 'unchanged' | 'absent'>
  /**
   * Durable. The body of a manifest, if it is missing or wrong, and what follows from it. 'unfit' where the
   * bytes are not of this digest, or no manifest; 'unwanted' where nothing names it any more.
   */
  healManifest(manifest: {
    readonly repository: RepositoryName
    readonly digest: Digest
    readonly bytes: Uint8Array
    readonly leaseUntilMs: number
  }): Promise<'healed' | 'unfit' | 'unwanted' | 'unchanged'>
}

export interface RecordAuditStore {
  openAudit(): RecordAudit
}

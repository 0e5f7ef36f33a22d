// What a place to import from tells: repositories, what they hold, and the bytes. The run asks in this order.

import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/tag.ts'

export type ImportFrom = 'angos' | 'distribution' | 'oci-layout' | 'registry'

/** What a run is asked for, checked. What only one kind of source knows is in `options`. */
export interface ImportRequest {
  readonly from: ImportFrom
  /** An absolute path, or the URL of a registry. */
  readonly source: string
  /** Before every name, as `<repository>/<name>`; of a layout, the name itself. */
  readonly repository?: string
  /** Also where a tag was pushed here since the last import. */
  readonly overwrite: boolean
  readonly dryRun: boolean
  /** Most bytes to read in a second; 0: as many as it can. */
  readonly bytesPerSecond: number
  readonly options: Readonly<Record<string, unknown>>
}

/** An image or index to bring, with all that it names. */
export interface ImportRoot {
  readonly tag?: Tag
  /** Absent where only reading the tag tells. One of the two is there. */
  readonly digest?: Digest
  /** When the source got it; milliseconds since 1970. */
  readonly pushedAtMs?: number
}

/** Something that cannot be brought: the run tells of it and goes on. */
export interface ImportFault {
  /** Name of the source's, shown with its odd characters escaped. */
  readonly repository?: string
  /** The tag or digest at fault. */
  readonly reference?: string
  readonly reason: string
}

export interface SourceManifest {
  readonly bytes: Uint8Array
  /** As the source tells it; absent where only the bytes do. */
  readonly mediaType?: string
}

/**
 * The bytes of a blob. They are hashed before anything names them, whatever the source says.
 * - `file`: `isFrozen`: nobody ever writes to it in place, so a second name for it is as good as a copy.
 * - `stream`: `open` is called once; leaving the iteration early must end what feeds it.
 */
export type SourceBlob =
  | {
      readonly kind: 'file'
      /** Checked to lie within the source. */
      readonly path: string
      readonly size: number
      readonly isFrozen: boolean
    }
  | {
      readonly kind: 'stream'
      /** In bytes; absent where it is not known. */
      readonly size?: number
      open(signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>
    }

/**
 * One open source. It is only read. Names are its own; the run puts the prefix before them. An Error of any
 * method is a fault of what was asked for, and the run goes on; SourceGoneError ends it, to be resumed.
 */
export interface ImportSource {
  /** For people and the audit log, such as `docker-registry tree /srv/registry`; no secrets. */
  readonly title: string
  /**
   * Sorted by name where `isSorted`, so that a run can go on `after` the last repository that was done.
   * A fault is what looks like a repository and is none.
   */
  repositories(after?: string): AsyncIterable<string | ImportFault>
  readonly isSorted: boolean
  /**
   * Where its blobs lie in Docker Distribution's tree, without symbolic links. Where that is our own store they
   * are adopted: nothing is moved, and nothing removed till they are taken over.
   */
  readonly blobsRoot?: string
  /** In any order. Tags first where a digest has both. */
  roots(repository: string): AsyncIterable<ImportRoot | ImportFault>
  /** Undefined where there is none. Limits: `bytesMax`, and an Error beyond it. */
  readManifest(
    repository: string,
    reference: Digest | Tag,
    bytesMax: number,
  ): Promise<SourceManifest | undefined>
  /** What refers to a manifest that was brought, where `roots` does not tell of it. */
  referrersOf?(repository: string, digest: Digest): AsyncIterable<Digest>
  /** Undefined where there is none. */
  findBlob(repository: string, digest: Digest): Promise<SourceBlob | undefined>
  /** Digests that a repository holds beside its manifests; only to be counted. */
  layersOf?(repository: string): AsyncIterable<Digest>
  /** Number of roots, where a first look at all names is cheap. */
  count?(signal: AbortSignal): Promise<number>
  close(): Promise<void>
}

/** Nothing more can be had of the source for now. */
export class SourceGoneError extends Error {
  override readonly name = 'SourceGoneError'
}

/** Bounds that hold for every source. */
export interface SourceLimits {
  /** Of one manifest, in bytes. */
  readonly manifestBytesMax: number
}

/** One kind of source. */
export interface Importer {
  readonly from: ImportFrom
  /** What is wrong with the request, in a sentence; undefined: nothing. */
  check?(request: ImportRequest): string | undefined
  /** Errors: Error with a message for the operator, where it is no such source. */
  open(request: ImportRequest, limits: SourceLimits, signal: AbortSignal): Promise<ImportSource>
}

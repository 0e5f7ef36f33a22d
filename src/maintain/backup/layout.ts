// Draws a backup directory. What is named by its digest is written once and never changed:
//
//   keelson-backup.json                which store it is of, and the format of all that is below
//   snapshots/<time>-<id>.json         one moment of the store: its segments, and a digest of it all
//   segments/<2 hex>/<hex>.gz          rows, manifests or names of blobs: the SHA-256 is that of what is
//                                      inside; lines of JSON, compressed with gzip
//   blobs/<algorithm>/<2 hex>/<hex>    the bytes of a blob, as clients pushed them
//   pruned.jsonl                       what was removed, when, and by whom
//   tmp/                               what is being written
//   locks/                             who writes here
//
// A snapshot is written last, so a backup that was cut short is none; what it has copied serves the next.

import { join } from 'node:path'
import { type Digest, type DigestAlgorithm, digestAlgorithm, digestHex } from '../../oci/digest.ts'

/** Grows with every change that an older build would misread. */
export const backupFormat = 1

/** What is written is for its owner alone: it holds keys that sign tokens. */
export const fileMode = 0o600
export const directoryMode = 0o700

export const algorithms: readonly DigestAlgorithm[] = ['sha256', 'sha512']
export const prefixLength = 2

const snapshotSuffix = '.json'
const segmentSuffix = '.gz'
const snapshotName = /^\d{8}T\d{6}Z-[0-9a-f]{8}$/

/** Paths in one backup directory. */
export class Layout {
  readonly root: string

  constructor(root: string) {
    this.root = root
  }

  get identity(): string {
    return join(this.root, 'keelson-backup.json')
  }

  /** What was removed, line by line; made with the first. */
  get pruned(): string {
    return join(this.root, 'pruned.jsonl')
  }

  get locks(): string {
    return join(this.root, 'locks')
  }

  get temporary(): string {
    return join(this.root, 'tmp')
  }

  get snapshots(): string {
    return join(this.root, 'snapshots')
  }

  get segments(): string {
    return join(this.root, 'segments')
  }

  get blobs(): string {
    return join(this.root, 'blobs')
  }

  snapshot(id: string): string {
    return join(this.snapshots, id + snapshotSuffix)
  }

  segment(digest: Digest): string {
    const hex = digestHex(digest)
    return join(this.segments, hex.slice(0, prefixLength), hex + segmentSuffix)
  }

  /** What holds the blobs of one algorithm whose hex begins so. */
  blobPrefix(algorithm: DigestAlgorithm, prefix: string): string {
    return join(this.blobs, algorithm, prefix)
  }

  blob(digest: Digest): string {
    const hex = digestHex(digest)
    return join(this.blobPrefix(digestAlgorithm(digest), hex.slice(0, prefixLength)), hex)
  }
}

/**
 * Sorts by time, and behind `latest` in any case: a clock that was wrong once, or is now, must not make an older one
 * the latest. `random` has eight hexadecimal digits.
 */
export function snapshotId(takenAtMs: number, random: string, latest: string | undefined): string {
  const own = `${timeName(takenAtMs)}-${random}`
  if (latest === undefined || own > latest) return own
  return `${timeName(timeOf(latest) + 1_000)}-${random}`
}

function timeName(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]|\.\d+/g, '')
}

/** To the second. */
function timeOf(id: string): number {
  const [time = ''] = id.split('-')
  return Date.parse(time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
}

/** Undefined for files that are no snapshots. */
export function snapshotIdOf(fileName: string): string | undefined {
  if (!fileName.endsWith(snapshotSuffix)) return undefined
  const id = fileName.slice(0, -snapshotSuffix.length)
  return snapshotName.test(id) ? id : undefined
}

/** The hex of its digest; undefined for files that are no segments. */
export function segmentHexOf(fileName: string): string | undefined {
  return fileName.endsWith(segmentSuffix) ? fileName.slice(0, -segmentSuffix.length) : undefined
}

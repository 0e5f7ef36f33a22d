// Blob records: their state, and the rows by time that go with it.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import { putHeld, putUnheld } from './blobs.ts'
import {
  type BlobRecord,
  decodeBlob,
  decodeDestruction,
  decodeLease,
  encodeBlob,
  encodeDestruction,
} from './encoding.ts'
import { decodeDropped, encodeDropped, leaseOfKey, timedKey } from './garbage-encoding.ts'
import {
  below,
  blobKey,
  destructionKey,
  droppedKey,
  holdersPrefix,
  lastPart,
  leaseKey,
  linkKey,
  present,
} from './keys.ts'
import { decodeRepository } from './lists.ts'
import { sizeNamed } from './record-audit-links.ts'
import { decoded, type Look } from './record-audit-look.ts'

/** In the rows of what was dropped, where no run can be named. */
const unknownRun = 'unknown'

export function checkBlob(look: Look, digest: Digest, value: string): void {
  const key = blobKey(digest)
  const record = decoded(() => decodeBlob(value, key))
  if (record === undefined) {
    checkUnreadable(look, digest)
    return
  }
  switch (record.state) {
    case 'live':
    case 'quarantined':
      checkHold(look, digest, { ...record, state: record.state })
      break
    case 'condemned':
      checkCondemned(look, digest, record)
      break
    case 'destroying': {
      const destruction = destructionKey(digest)
      if (look.has(destruction)) break
      look.repairable('destruction-missing', destruction, (t) =>
        t.put(destruction, encodeDestruction(record.size, look.nowMs)),
      )
      break
    }
    default:
      record.state satisfies never
  }
}

/** Quarantined until its bytes are looked at. */
function checkUnreadable(look: Look, digest: Digest): void {
  const key = blobKey(digest)
  const holder = holderOf(look, digest)
  look.rememberRebuilt(digest)
  look.repairable('record-unreadable', key, (t) => {
    if (holder === undefined) putUnheld(t, digest, 0, look.leaseUntilMs, 'quarantined')
    else t.put(key, encodeBlob({ size: sizeNamed(look, holder, digest), state: 'quarantined' }))
  })
}

type Kept = BlobRecord & { readonly state: 'live' | 'quarantined' }

function checkHold(look: Look, digest: Digest, record: Kept): void {
  const key = blobKey(digest)
  const { leaseUntilMs: untilMs, size, state } = record
  const isHeld = look.memory.held.has(digest) || isHeldBy(look, digest)
  if (isHeld && untilMs !== undefined) {
    look.repairable('lease-extra', key, (t) => putHeld(t, digest, record, { size, state }))
  } else if (!isHeld && untilMs === undefined) {
    look.repairable('lease-missing', key, (t) =>
      putUnheld(t, digest, size, look.leaseUntilMs, state),
    )
  } else if (untilMs !== undefined) {
    const index = leaseKey(untilMs, digest)
    if (look.has(index)) return
    look.repairable('lease-index-missing', index, (t) => t.put(index, present))
  }
}

function checkCondemned(look: Look, digest: Digest, record: BlobRecord): void {
  const { size, condemnedAtMs } = record
  const holder = holderOf(look, digest)
  if (holder !== undefined && look.has(linkKey(holder, digest))) {
    look.repairable('condemned-held', blobKey(digest), (t) =>
      putHeld(t, digest, record, { size, state: 'live' }),
    )
    return
  }
  const atMs = condemnedAtMs ?? look.nowMs
  const dropped = droppedKey(atMs, digest)
  if (condemnedAtMs !== undefined && look.has(dropped)) return
  look.repairable('dropped-missing', dropped, (t) => {
    t.put(dropped, encodeDropped({ size, run: unknownRun }))
    t.put(blobKey(digest), encodeBlob({ size, state: 'condemned', condemnedAtMs: atMs }))
  })
}

function isHeldBy(look: Look, digest: Digest): boolean {
  return holderOf(look, digest) !== undefined
}

/** The first one. */
function holderOf(look: Look, digest: Digest): RepositoryName | undefined {
  const prefix = holdersPrefix(digest)
  look.reads++
  const [key] = look.reader.keys({ ...below(prefix), limit: 1 })
  return key === undefined ? undefined : decoded(() => decodeRepository(lastPart(key, prefix), key))
}

/** A lease by its end. */
export function checkLeaseIndex(look: Look, key: string): void {
  const lease = decoded(() => leaseOfKey(key))
  if (lease === undefined) {
    look.hopeless('record-unknown', key)
    return
  }
  const { digest, repository } = lease
  const untilMs =
    repository === undefined ? leaseOfBlob(look, digest) : leaseOfLink(look, digest, repository)
  if (untilMs === 'unreadable') return
  if (untilMs !== undefined && leaseKey(untilMs, digest, repository) === key) return
  look.repairable('lease-index-extra', key, (t) => t.remove(key))
}

function leaseOfLink(
  look: Look,
  digest: Digest,
  repository: RepositoryName,
): number | 'unreadable' | undefined {
  const link = linkKey(repository, digest)
  const text = look.get(link)
  if (text === undefined) return undefined
  const lease = decoded(() => ({ untilMs: decodeLease(text, link) }))
  return lease === undefined ? 'unreadable' : lease.untilMs
}

function leaseOfBlob(look: Look, digest: Digest): number | 'unreadable' | undefined {
  const key = blobKey(digest)
  const text = look.get(key)
  if (text === undefined) return undefined
  const record = decoded(() => decodeBlob(text, key))
  return record === undefined ? 'unreadable' : record.leaseUntilMs
}

/** What was dropped: a condemned blob is condemned at that time. */
export function checkDropped(look: Look, key: string, value: string): void {
  const of = decoded(() => timedKey(key))
  if (of === undefined) {
    look.hopeless('record-unknown', key)
    return
  }
  const { digest, repository, timeMs } = of
  const text = look.get(blobKey(digest))
  const record = text === undefined ? undefined : decoded(() => decodeBlob(text, blobKey(digest)))
  const isUnreadable = text !== undefined && record === undefined
  if (repository === undefined && !isUnreadable && record?.condemnedAtMs !== timeMs) {
    look.repairable('dropped-extra', key, (t) => t.remove(key))
    return
  }
  if (decoded(() => decodeDropped(value, key)) !== undefined) return
  if (record === undefined) look.hopeless('record-unreadable', key)
  else {
    const { size } = record
    look.repairable('record-unreadable', key, (t) =>
      t.put(key, encodeDropped({ size, run: unknownRun })),
    )
  }
}

/** A blob that is being destroyed. */
export function checkDestruction(look: Look, digest: Digest, value: string): void {
  const key = destructionKey(digest)
  const text = look.get(blobKey(digest))
  const record = text === undefined ? undefined : decoded(() => decodeBlob(text, blobKey(digest)))
  if (text !== undefined && record === undefined) return
  if (record?.state !== 'destroying') {
    look.repairable('destruction-extra', key, (t) => t.remove(key))
    return
  }
  // When it began is told nowhere else, and a removal that was sent then may still happen.
  const { size, beganAtMs = look.nowMs } = decoded(() => decodeDestruction(value, key)) ?? {}
  if (size === record.size) return
  const right = encodeDestruction(record.size, beganAtMs)
  look.repairable('record-unreadable', key, (t) => t.put(key, right))
}

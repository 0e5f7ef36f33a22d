// The right to change a session, across requests and processes.

import { setTimeout as pause } from 'node:timers/promises'
import { OciError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/name.ts'
import type { UploadId } from '../oci/upload-id.ts'
import { StorageError } from '../storage/error.ts'
import type { UploadRecord } from '../storage/metadata/contract.ts'
import { dropSession } from './drop-session.ts'
import type { Registry } from './registry.ts'
import { QuotaRefusal } from './rule-refusal.ts'
import type { Writer } from './upload-table.ts'

interface InUpload {
  readonly repository: RepositoryName
  readonly upload: UploadId
}

/**
 * Run `work` as the session's only writer; undefined where there is no such session in this repository.
 * Where `work` finds that the session's bytes are lost, by a BLOB_UPLOAD_UNKNOWN, or that no quota has room
 * for them, the session ends.
 * Errors: OciError BLOB_UPLOAD_INVALID (409) while another request, here or in another process, writes.
 */
export async function withUpload<T>(
  action: InUpload,
  registry: Registry,
  work: (record: UploadRecord, writer: Writer) => Promise<T>,
): Promise<T | undefined> {
  // Asked first, so that a name nobody was given leaves no trace in the table.
  const known = await registry.metadata.readUpload(action.upload)
  // One that ended without our knowledge, in another process or in a commit that reported a fault, must
  // not be counted as open any longer.
  if (known === undefined) registry.uploads.close(action.upload)
  if (known === undefined || known.repository !== action.repository) return undefined
  const writer = await registry.uploads.write(action.upload)
  let record: UploadRecord | undefined
  try {
    record = await claim(action, registry)
    if (record === undefined) {
      registry.uploads.close(action.upload)
      return undefined
    }
    return await work(record, writer)
  } catch (error) {
    const isLost = error instanceof OciError && error.code === 'BLOB_UPLOAD_UNKNOWN'
    const isOver = isLost || error instanceof QuotaRefusal
    if (isOver && record !== undefined) await dropSession(record, registry)
    // A claim or a removal without an answer may have happened or not.
    if (error instanceof StorageError) releaseLater(action.upload, registry)
    throw error
  } finally {
    writer.end()
  }
}

async function claim(action: InUpload, registry: Registry): Promise<UploadRecord | undefined> {
  const { blobs, metadata, shared } = registry
  const owner = registry.owner()
  const record = await metadata.readUpload(action.upload)
  if (record === undefined) return undefined
  // Each claim has a fence of its own, and where writes may arrive late the fence tells bodies apart.
  if (record.owner === owner && !shared && blobs.spansHosts !== true) return record
  try {
    return await metadata.claimUpload(action.upload, owner, registry.now(), (held) =>
      isAbandoned(held, registry),
    )
  } catch (error) {
    if (error instanceof StorageError && error.kind === 'conflict') {
      throw new OciError('BLOB_UPLOAD_INVALID', {
        status: 409,
        message: 'another request is writing to this upload',
        cause: error,
      })
    }
    throw error
  }
}

/** Nobody holds the session, or somebody who is gone: alone on the store, anybody else is. */
export function isAbandoned(record: UploadRecord, registry: Registry): boolean {
  return !registry.shared || record.owner === undefined || !registry.isOwnerAlive(record.owner)
}

/** Give a session up without having changed it, so that another process may take it at once. */
export async function releaseUnchanged(record: UploadRecord, registry: Registry): Promise<void> {
  if (!registry.shared) return
  await registry.metadata.saveUpload(record.id, registry.owner(), record.fence, {
    offset: record.offset,
    ...(record.digest === undefined ? {} : { digest: record.digest }),
    ...(record.hashState === undefined ? {} : { hashState: record.hashState }),
    synced: record.synced,
    bootId: record.bootId,
    nowMs: registry.now(),
    release: true,
  })
}

const releaseMsMin = 1_000
const releaseMsMax = 30_000
// About ten minutes; from then on the expiry of sessions ends it.
const releasesMax = 25

/**
 * What this process holds without writing it would be refused to all others for as long as it lives: where the store
 * could not be told of the end, it is told once it answers again. Returns at once.
 */
export function releaseLater(id: UploadId, registry: Registry): void {
  if (registry.shared) void releaseWhenPossible(id, registry)
}

async function releaseWhenPossible(id: UploadId, registry: Registry): Promise<void> {
  for (let tries = 1; tries <= releasesMax; tries++) {
    await pause(Math.min(releaseMsMax, releaseMsMin * 2 ** (tries - 1)), undefined, { ref: false })
    // Whoever writes it here releases it, or comes back to this.
    if (registry.uploads.isWriting(id)) return
    try {
      const record = await registry.metadata.readUpload(id)
      if (record?.owner !== registry.owner() || registry.uploads.isWriting(id)) return
      return await releaseUnchanged(record, registry)
    } catch (error) {
      // Another request has claimed it meanwhile.
      if (error instanceof StorageError && error.kind === 'conflict') return
    }
  }
}

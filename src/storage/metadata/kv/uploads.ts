// Upload sessions: who may write one, and how far it has come.

import type { UploadId } from '../../../oci/upload-id.ts'
import { StorageError } from '../../error.ts'
import type { UploadProgress, UploadRecord } from '../contract.ts'
import type { KeyValueReader, KeyValueTransaction } from './contract.ts'
import { uploadKey } from './keys.ts'
import { decodeUpload, encodeUpload } from './upload-encoding.ts'

export function readUpload(reader: KeyValueReader, id: UploadId): UploadRecord | undefined {
  const key = uploadKey(id)
  const text = reader.get(key)
  return text === undefined ? undefined : decodeUpload(text, key)
}

/** Errors: StorageError 'conflict' where the id is taken. */
export function createUpload(transaction: KeyValueTransaction, record: UploadRecord): void {
  const key = uploadKey(record.id)
  if (transaction.get(key) !== undefined) {
    throw new StorageError('conflict', `upload ${record.id} exists already`)
  }
  transaction.put(key, encodeUpload(record))
}

export function claimUpload(
  transaction: KeyValueTransaction,
  id: UploadId,
  owner: string,
  nowMs: number,
  mayTake: (record: UploadRecord) => boolean,
): UploadRecord | undefined {
  const record = readUpload(transaction, id)
  if (record === undefined) return undefined
  const isFree = record.owner === undefined || record.owner === owner
  if (!isFree && !mayTake(record)) {
    throw new StorageError('conflict', `upload ${id} is held by another owner`)
  }
  const claimed = { ...record, owner, fence: record.fence + 1, touchedAtMs: nowMs }
  transaction.put(uploadKey(id), encodeUpload(claimed))
  return claimed
}

export function saveUpload(
  transaction: KeyValueTransaction,
  id: UploadId,
  owner: string,
  fence: number,
  progress: UploadProgress,
): void {
  const held = requireHeld(transaction, id, owner, fence)
  const { offset, digest, hashState, synced, bootId, nowMs, release } = progress
  const record: UploadRecord = {
    id,
    repository: held.repository,
    algorithm: held.algorithm,
    offset,
    // Those of the record belong to another offset, so absent ones are not kept.
    ...(digest === undefined ? {} : { digest }),
    ...(hashState === undefined ? {} : { hashState }),
    synced,
    bootId,
    ...(release ? {} : { owner }),
    fence,
    startedAtMs: held.startedAtMs,
    touchedAtMs: nowMs,
  }
  transaction.put(uploadKey(id), encodeUpload(record))
}

export function removeUpload(transaction: KeyValueTransaction, id: UploadId, fence: number): void {
  const record = readUpload(transaction, id)
  if (record === undefined) return
  if (record.fence !== fence) {
    throw new StorageError('conflict', `upload ${id} was claimed by another owner`)
  }
  transaction.remove(uploadKey(id))
}

/** Errors: StorageError 'conflict' where the caller is not its owner. */
export function requireHeld(
  reader: KeyValueReader,
  id: UploadId,
  owner: string,
  fence: number,
): UploadRecord {
  const record = readUpload(reader, id)
  if (record === undefined || record.owner !== owner || record.fence !== fence) {
    throw new StorageError('conflict', `upload ${id} is not held by this owner any more`)
  }
  return record
}

// Upload sessions as text and back.

import { parseDigest } from '../../../oci/digest.ts'
import { parseRepositoryName } from '../../../oci/name.ts'
import { parseUploadId } from '../../../oci/upload-id.ts'
import type { UploadRecord } from '../contract.ts'
import { corrupt, countField, decodeObject, textField } from './encoding.ts'

export function encodeUpload(record: UploadRecord): string {
  return JSON.stringify(record)
}

export function decodeUpload(text: string, key: string): UploadRecord {
  const stored = decodeObject(text, key)
  const { algorithm, synced, digest, hashState, owner } = stored
  const id = parseUploadId(textField(stored['id'], key))
  const repository = parseRepositoryName(textField(stored['repository'], key))
  if (id === undefined || repository === undefined) throw corrupt(key)
  if (algorithm !== 'sha256' && algorithm !== 'sha512') throw corrupt(key)
  if (typeof synced !== 'boolean') throw corrupt(key)
  const parsedDigest = digest === undefined ? undefined : parseDigest(textField(digest, key))
  if (digest !== undefined && parsedDigest === undefined) throw corrupt(key)
  return {
    id,
    repository,
    algorithm,
    offset: countField(stored['offset'], key),
    ...(parsedDigest === undefined ? {} : { digest: parsedDigest }),
    ...(hashState === undefined ? {} : { hashState: textField(hashState, key) }),
    synced,
    bootId: textField(stored['bootId'], key),
    ...(owner === undefined ? {} : { owner: textField(owner, key) }),
    fence: countField(stored['fence'], key),
    startedAtMs: countField(stored['startedAtMs'], key),
    touchedAtMs: countField(stored['touchedAtMs'], key),
  }
}

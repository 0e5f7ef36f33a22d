// Records of maintenance jobs: one owner at a time, whose writes carry a number that grows.

import assert from 'node:assert'
import { StorageError } from '../../error.ts'
import type { Adoption, JobKind, JobRecord, JobStore } from '../job-store.ts'
import type { KeyValueReader, KeyValueTransaction } from './contract.ts'
import { countField, decodeObject, textField } from './encoding.ts'
import { adoptionKey, jobKey } from './keys.ts'

/** In characters, which for what a job writes are about as many bytes. */
const jsonLengthMax = 64 * 1024

type Claim = Parameters<JobStore['claimJob']>[0]
type Held = Parameters<JobStore['saveJob']>[1]
type Change = Parameters<JobStore['saveJob']>[2]

export function readJob(reader: KeyValueReader, kind: JobKind): JobRecord | undefined {
  const key = jobKey(kind)
  const text = reader.get(key)
  return text === undefined ? undefined : decodeJob(kind, text, key)
}

export function claimJob(
  transaction: KeyValueTransaction,
  { kind, run, owner, input, nowMs }: Claim,
  mayTake: (record: JobRecord) => boolean,
): JobRecord | undefined {
  const last = readJob(transaction, kind)
  const isFree = last?.owner === undefined || last.owner === owner
  if (last !== undefined && !isFree && !mayTake(last)) return undefined
  const record: JobRecord = {
    ...{ kind, run, owner, startedAtMs: nowMs, updatedAtMs: nowMs, input },
    fence: (last?.fence ?? 0) + 1,
    progress: undefined,
    // Of a run that ended there is none, unless it was stopped.
    checkpoint: last?.checkpoint,
    report: undefined,
  }
  putJob(transaction, record)
  return record
}

export function askJobToStop(
  transaction: KeyValueTransaction,
  kind: JobKind,
  run: string,
): boolean {
  const last = readJob(transaction, kind)
  if (last === undefined || last.owner === undefined || last.run !== run) return false
  if (last.isAskedToStop !== true) putJob(transaction, { ...last, isAskedToStop: true })
  return true
}

export function saveJob(
  transaction: KeyValueTransaction,
  kind: JobKind,
  held: Held,
  { nowMs, progress, checkpoint, end }: Change,
): void {
  const last = readJob(transaction, kind)
  if (last === undefined || last.owner !== held.owner || last.fence !== held.fence) {
    throw new StorageError('conflict', `another run of ${kind} has taken over`)
  }
  const saved = {
    ...last,
    updatedAtMs: nowMs,
    progress: progress === undefined ? last.progress : progress,
    checkpoint: checkpoint === undefined ? last.checkpoint : checkpoint,
  }
  putJob(transaction, end === undefined ? saved : ended(saved, nowMs, end))
}

function ended(
  { owner: _, isAskedToStop: _asked, ...record }: JobRecord,
  nowMs: number,
  { report, isStopped }: NonNullable<Change['end']>,
): JobRecord {
  const checkpoint = isStopped ? record.checkpoint : undefined
  return { ...record, endedAtMs: nowMs, checkpoint, report }
}

export function readAdoption(reader: KeyValueReader): Adoption | undefined {
  const text = reader.get(adoptionKey)
  if (text === undefined) return undefined
  const { sinceMs, of } = decodeObject(text, adoptionKey)
  return { sinceMs: countField(sinceMs, adoptionKey), of: textField(of, adoptionKey) }
}

export function setAdoption(
  transaction: KeyValueTransaction,
  adoption: Adoption | undefined,
): void {
  if (adoption === undefined) transaction.remove(adoptionKey)
  else transaction.put(adoptionKey, JSON.stringify(adoption))
}

function putJob(transaction: KeyValueTransaction, record: JobRecord): void {
  const { kind, ...row } = record
  for (const part of ['input', 'progress', 'checkpoint', 'report'] as const) {
    const length = JSON.stringify(row[part])?.length ?? 0
    assert(length <= jsonLengthMax, `${part} of ${kind} has ${length} characters of JSON`)
  }
  transaction.put(jobKey(kind), JSON.stringify(row))
}

function decodeJob(kind: JobKind, text: string, key: string): JobRecord {
  const row = decodeObject(text, key)
  const { run, owner, startedAtMs, updatedAtMs, endedAtMs, fence, isAskedToStop } = row
  const { input, progress, checkpoint, report } = row
  return {
    ...{ kind, run: textField(run, key), fence: countField(fence, key) },
    ...(owner === undefined ? {} : { owner: textField(owner, key) }),
    startedAtMs: countField(startedAtMs, key),
    updatedAtMs: countField(updatedAtMs, key),
    ...(endedAtMs === undefined ? {} : { endedAtMs: countField(endedAtMs, key) }),
    ...(isAskedToStop === true ? { isAskedToStop } : {}),
    ...{ input, progress, checkpoint, report },
  }
}

// Records as text and back. What does not decode is corrupt, never absent.

import assert from 'node:assert'
import type { Descriptor } from '../../../oci/descriptor.ts'
import { type Digest, parseDigest } from '../../../oci/digest.ts'
import { StorageError } from '../../error.ts'
import type { TagMove } from '../tag-history.ts'

export type BlobState = 'live' | 'condemned' | 'destroying' | 'quarantined'

/** A blob whose bytes the blob store has, or had. Units: bytes, milliseconds since 1970. */
export interface BlobRecord {
  readonly size: number
  /** All but a live one read as absent. The bytes of one that is being destroyed may be gone. */
  readonly state: BlobState
  /** Set while no repository holds it; never of one that is condemned or being destroyed. */
  readonly leaseUntilMs?: number
  /** Only of a condemned one: the time of its row among what was dropped. */
  readonly condemnedAtMs?: number
}

/** What repositories hold. Bytes may be more than a number counts exactly, and each of them counts. */
export interface UsageRecord {
  readonly bytes: bigint
  readonly tags: number
}

/** What a manifest names in its repository. */
export interface ManifestContents {
  readonly blobs: readonly Digest[]
  readonly children: readonly Digest[]
  readonly subject?: Digest
}

/** Stands for the lease of what is in use. */
const noLease = '-'

export function corrupt(key: string, cause?: unknown): StorageError {
  return new StorageError('corrupt', `metadata record ${key} cannot be read`, cause)
}

export function decodeDigest(text: string, key: string): Digest {
  const digest = parseDigest(text)
  if (digest === undefined) throw corrupt(key)
  return digest
}

/** A link is its lease: undefined for what a manifest references. */
export function encodeLease(untilMs: number | undefined): string {
  if (untilMs === undefined) return noLease
  assert(isCount(untilMs), 'lease in whole milliseconds since 1970')
  return String(untilMs)
}

export function decodeLease(text: string, key: string): number | undefined {
  return text === noLease ? undefined : decodeCount(text, key)
}

export function encodeTime(atMs: number): string {
  assert(isCount(atMs), 'whole milliseconds since 1970')
  return String(atMs)
}

export function encodeBlob({ size, state, leaseUntilMs, condemnedAtMs }: BlobRecord): string {
  assert(isCount(size), 'size of a blob')
  assert(condemnedAtMs === undefined || state === 'condemned', 'time of a condemnation')
  return `${size} ${state} ${encodeLease(condemnedAtMs ?? leaseUntilMs)}`
}

export function decodeBlob(text: string, key: string): BlobRecord {
  const sizeEnd = text.indexOf(' ')
  const stateEnd = text.indexOf(' ', sizeEnd + 1)
  const size = decodeCount(text.slice(0, Math.max(0, sizeEnd)), key)
  const state = text.slice(sizeEnd + 1, Math.max(0, stateEnd))
  const timeMs = decodeLease(text.slice(stateEnd + 1), key)
  if (!isBlobState(state)) throw corrupt(key)
  if (timeMs === undefined) return { size, state }
  return state === 'condemned'
    ? { size, state, condemnedAtMs: timeMs }
    : { size, state, leaseUntilMs: timeMs }
}

function isBlobState(text: string): text is BlobState {
  return text === 'live' || text === 'condemned' || text === 'destroying' || text === 'quarantined'
}

export function encodeDestruction(size: number, beganAtMs: number | undefined): string {
  assert(isCount(size) && isCount(beganAtMs ?? 0), 'size and time of a destruction')
  return beganAtMs === undefined ? String(size) : `${size} ${beganAtMs}`
}

export function decodeDestruction(
  text: string,
  key: string,
): { readonly size: number; readonly beganAtMs?: number } {
  const [size = '', beganAtMs] = text.split(' ', 3)
  const decoded = { size: decodeCount(size, key) }
  return beganAtMs === undefined ? decoded : { ...decoded, beganAtMs: decodeCount(beganAtMs, key) }
}

export function encodeUsage({ bytes, tags }: UsageRecord): string {
  assert(bytes >= 0n && isCount(tags), 'usage')
  return `${bytes} ${tags}`
}

export function decodeUsage(text: string, key: string): UsageRecord {
  const bytesEnd = text.indexOf(' ')
  const bytes = text.slice(0, Math.max(0, bytesEnd))
  checkDecimal(bytes, key)
  return { bytes: BigInt(bytes), tags: decodeCount(text.slice(bytesEnd + 1), key) }
}

export function encodeContents(contents: ManifestContents): string {
  return JSON.stringify(contents)
}

export function decodeContents(text: string, key: string): ManifestContents {
  return contentsOf(decodeObject(text, key), key)
}

export function contentsOf(
  { blobs, children, subject }: Readonly<Record<string, unknown>>,
  key: string,
): ManifestContents {
  const contents = { blobs: digestsField(blobs, key), children: digestsField(children, key) }
  return subject === undefined ? contents : { ...contents, subject: digestField(subject, key) }
}

export function encodeMove(move: TagMove): string {
  return JSON.stringify(move)
}

export function decodeMove(text: string, key: string): TagMove {
  const { atMs, from, to, run } = decodeObject(text, key)
  return {
    atMs: countField(atMs, key),
    ...(from === undefined ? {} : { from: digestField(from, key) }),
    ...(to === undefined ? {} : { to: digestField(to, key) }),
    ...(run === undefined ? {} : { run: textField(run, key) }),
  }
}

export function encodeDescriptor(descriptor: Descriptor): string {
  return JSON.stringify(descriptor)
}

export function decodeDescriptor(text: string, key: string): Descriptor {
  const { mediaType, digest, size, artifactType, annotations } = decodeObject(text, key)
  return {
    mediaType: textField(mediaType, key),
    digest: digestField(digest, key),
    size: countField(size, key),
    ...(artifactType === undefined ? {} : { artifactType: textField(artifactType, key) }),
    ...(annotations === undefined ? {} : { annotations: annotationsField(annotations, key) }),
  }
}

export function decodeObject(text: string, key: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch (cause) {
    throw corrupt(key, cause)
  }
  throw corrupt(key)
}

export function textField(value: unknown, key: string): string {
  if (typeof value !== 'string') throw corrupt(key)
  return value
}

export function countField(value: unknown, key: string): number {
  if (typeof value !== 'number' || !isCount(value)) throw corrupt(key)
  return value
}

export function digestField(value: unknown, key: string): Digest {
  return decodeDigest(textField(value, key), key)
}

function annotationsField(value: unknown, key: string): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null) throw corrupt(key)
  for (const text of Object.values(value)) textField(text, key)
  return value as Readonly<Record<string, string>>
}

export function digestsField(value: unknown, key: string): Digest[] {
  if (!Array.isArray(value)) throw corrupt(key)
  return value.map((item) => digestField(item, key))
}

export function decodeCount(text: string, key: string): number {
  checkDecimal(text, key)
  const count = Number(text)
  if (!isCount(count)) throw corrupt(key)
  return count
}

/** Passes what `String(count)` writes, and nothing that merely means the same: no blank, sign or hex. */
function checkDecimal(text: string, key: string): void {
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c < 0x30 || c > 0x39) throw corrupt(key)
  }
  const isPadded = text.length > 1 && text.startsWith('0')
  if (text === '' || isPadded) throw corrupt(key)
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

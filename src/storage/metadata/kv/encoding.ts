// Records as text and back. What does not decode is corrupt, never absent.

import assert from 'node:assert'
import type { Descriptor } from '../../../oci/descriptor.ts'
import { type Digest, parseDigest } from '../../../oci/digest.ts'
import { StorageError } from '../../error.ts'
import type { TagMove } from '../tag-history.ts'

/** A blob whose bytes the blob store has. Units: bytes, milliseconds since 1970. */
export interface BlobRecord {
  readonly size: number
  /** A condemned blob reads as absent; its bytes and links are still there. */
  readonly state: 'live' | 'condemned'
  /** Set while no repository holds it. */
  readonly leaseUntilMs?: number
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

export function encodeBlob({ size, state, leaseUntilMs }: BlobRecord): string {
  assert(isCount(size), 'size of a blob')
  return `${size} ${state} ${encodeLease(leaseUntilMs)}`
}

export function decodeBlob(text: string, key: string): BlobRecord {
  const sizeEnd = text.indexOf(' ')
  const stateEnd = text.indexOf(' ', sizeEnd + 1)
  const size = decodeCount(text.slice(0, Math.max(0, sizeEnd)), key)
  const state = text.slice(sizeEnd + 1, Math.max(0, stateEnd))
  const leaseUntilMs = decodeLease(text.slice(stateEnd + 1), key)
  if (state !== 'live' && state !== 'condemned') throw corrupt(key)
  return leaseUntilMs === undefined ? { size, state } : { size, state, leaseUntilMs }
}

export function encodeContents(contents: ManifestContents): string {
  return JSON.stringify(contents)
}

export function decodeContents(text: string, key: string): ManifestContents {
  const { blobs, children, subject } = decodeObject(text, key)
  const contents = { blobs: decodeDigests(blobs, key), children: decodeDigests(children, key) }
  return subject === undefined ? contents : { ...contents, subject: digestField(subject, key) }
}

export function encodeMove(move: TagMove): string {
  return JSON.stringify(move)
}

export function decodeMove(text: string, key: string): TagMove {
  const { atMs, from, to } = decodeObject(text, key)
  return {
    atMs: countField(atMs, key),
    ...(from === undefined ? {} : { from: digestField(from, key) }),
    ...(to === undefined ? {} : { to: digestField(to, key) }),
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

function decodeDigests(value: unknown, key: string): Digest[] {
  if (!Array.isArray(value)) throw corrupt(key)
  return value.map((item) => digestField(item, key))
}

/** Reads what `String(count)` writes, and nothing that merely means the same: no blank, sign or hex. */
function decodeCount(text: string, key: string): number {
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c < 0x30 || c > 0x39) throw corrupt(key)
  }
  const count = Number(text)
  const isPadded = text.length > 1 && text.startsWith('0')
  if (text === '' || isPadded || !isCount(count)) throw corrupt(key)
  return count
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

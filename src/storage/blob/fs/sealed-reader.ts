// An encrypted file as a BlobReader. Nothing of a segment is handed out before its tag was checked.

import type { KeyObject } from 'node:crypto'
import { type Digest, digestAlgorithm, digestHex } from '../../../oci/digest.ts'
import { SealingFault } from '../../../sealing/fault.ts'
import { openKey, readSeal } from '../../../sealing/header.ts'
import type { SealingTerms } from '../../../sealing/keys.ts'
import {
  blobLength,
  fileLength,
  segmentBytes,
  segmentOverhead,
  slotBytes,
  slotPosition,
} from '../../../sealing/layout.ts'
import { decryptSegment } from '../../../sealing/segment.ts'
import { StorageError } from '../../error.ts'
import type { BlobFate, BlobReader } from '../contract.ts'

/** A file as it lies on the disk. */
export type RawFile = BlobReader & Required<Pick<BlobReader, 'readNow' | 'fateNow'>>

/** How files of a store that encrypts are read. */
export interface SealedReading {
  readonly terms: SealingTerms
  readonly parts: RecentParts
  /** One of its segments is not what was written. */
  readonly onForged: () => void
}

/** Errors: StorageError 'unavailable' where the key is not there; 'corrupt' where it is not the file of the digest. */
export function openSealed(
  file: RawFile,
  header: Uint8Array,
  path: string,
  { terms, parts, onForged }: SealedReading,
): BlobReader {
  const { keys, digest } = terms
  try {
    const { key } = openKey(header, keys)
    const size =
      digest === undefined
        ? Math.floor(blobLength(file.size))
        : sizeOfBlob(header, key, digest, file.size)
    return new SealedReader(file, { key, size, path, parts, onForged })
  } catch (error) {
    throw explained(path, error)
  }
}

function sizeOfBlob(header: Uint8Array, key: KeyObject, digest: Digest, size: number): number {
  const seal = readSeal(header, key, digestAlgorithm(digest))
  if (seal?.hex !== digestHex(digest)) throw new SealingFault('forged', 'it is not of this blob')
  if (fileLength(seal.length) !== size) {
    throw new SealingFault('forged', `it has ${size} bytes instead of ${fileLength(seal.length)}`)
  }
  return seal.length
}

function explained(path: string, error: unknown): unknown {
  if (!(error instanceof SealingFault)) return error
  const kind = error.kind === 'unknown-key' ? 'unavailable' : 'corrupt'
  return new StorageError(kind, `${path}, which is encrypted: ${error.message}`, error)
}

/**
 * Segments of which a reader has wanted a part: it mostly wants the rest next. Memory: 64 KiB each.
 */
export class RecentParts {
  readonly #max: number
  readonly #parts = new Map<string, Uint8Array>()
  #readers = 0

  constructor(max = 32) {
    this.#max = max
  }

  /** A number that no other reader has. */
  newReader(): number {
    this.#readers += 1
    return this.#readers
  }

  get(reader: number, index: number): Uint8Array | undefined {
    return this.#parts.get(`${reader}/${index}`)
  }

  add(reader: number, index: number, bytes: Uint8Array): void {
    this.#parts.set(`${reader}/${index}`, bytes)
    if (this.#parts.size <= this.#max) return
    for (const oldest of this.#parts.keys()) {
      this.#parts.delete(oldest)
      return
    }
  }

  /** All of a segment was wanted, or nothing of it any more. */
  drop(reader: number, index: number): void {
    this.#parts.delete(`${reader}/${index}`)
  }
}

interface Opened {
  readonly key: KeyObject
  readonly size: number
  readonly path: string
  readonly parts: RecentParts
  readonly onForged: () => void
}

// At once: 256 KiB of a blob.
const runSegments = 4
const runBytes = runSegments * slotBytes
// Of the event loop alone, which reads one run at a time.
const scratchNow = Buffer.allocUnsafeSlow(runBytes)
const idleScratch: Buffer[] = []
const idleScratchMax = 16

class SealedReader implements BlobReader {
  readonly size: number
  readonly #file: RawFile
  readonly #key: KeyObject
  readonly #path: string
  readonly #parts: RecentParts
  readonly #number: number
  readonly #onForged: () => void
  /** A segment that is in `#parts`, if any. */
  #lastPart = -1
  #reads = 0
  #isClosed = false

  constructor(file: RawFile, { key, size, path, parts, onForged }: Opened) {
    this.#onForged = onForged
    this.#file = file
    this.#key = key
    this.size = size
    this.#path = path
    this.#parts = parts
    this.#number = parts.newReader()
  }

  async read(position: number, target: Uint8Array): Promise<number> {
    const wanted = this.#wanted(position, target)
    let scratch: Buffer | undefined
    this.#reads += 1
    try {
      for (let done = 0; done < wanted.length; ) {
        const rest = wanted.subarray(done)
        const known = this.#fromPart(position + done, rest)
        done += known
        if (known > 0) continue
        scratch ??= idleScratch.pop() ?? Buffer.allocUnsafeSlow(runBytes)
        const run = this.#runAt(position + done, rest.length)
        const slots = scratch.subarray(0, run.length)
        await this.#file.read(run.from, slots)
        done += this.#open(position + done, rest, slots)
      }
    } finally {
      this.#reads -= 1
      if (this.#isClosed && this.#reads === 0) this.#file.close()
      if (scratch !== undefined && idleScratch.length < idleScratchMax) idleScratch.push(scratch)
    }
    return wanted.length
  }

  readNow(position: number, target: Uint8Array): number {
    const wanted = this.#wanted(position, target)
    for (let done = 0; done < wanted.length; ) {
      const rest = wanted.subarray(done)
      const known = this.#fromPart(position + done, rest)
      done += known
      if (known > 0) continue
      const run = this.#runAt(position + done, rest.length)
      const slots = scratchNow.subarray(0, run.length)
      this.#file.readNow(run.from, slots)
      done += this.#open(position + done, rest, slots)
    }
    return wanted.length
  }

  fateNow(): BlobFate {
    return this.#file.fateNow()
  }

  close(): void {
    if (this.#lastPart >= 0) this.#parts.drop(this.#number, this.#lastPart)
    this.#lastPart = -1
    if (this.#isClosed) return
    this.#isClosed = true
    // One that runs may have more of it to read.
    if (this.#reads === 0) this.#file.close()
  }

  #wanted(position: number, target: Uint8Array): Uint8Array {
    if (this.#isClosed) throw new Error(`${this.#path} is read after its reader was closed`)
    return target.subarray(0, Math.max(0, Math.min(target.length, this.size - position)))
  }

  /** Where in the file the segments of these bytes are, as many as go at once. */
  #runAt(position: number, length: number): { readonly from: number; readonly length: number } {
    const first = Math.floor(position / segmentBytes)
    const last = Math.floor((position + length - 1) / segmentBytes)
    const count = Math.min(runSegments, last - first + 1)
    const from = slotPosition(first)
    return { from, length: Math.min(count * slotBytes, fileLength(this.size) - from) }
  }

  #open(position: number, target: Uint8Array, slots: Uint8Array): number {
    const first = Math.floor(position / segmentBytes)
    let done = 0
    for (let at = 0; at < slots.length; at += slotBytes) {
      const index = first + at / slotBytes
      const bytes = this.#decrypt(index, slots.subarray(at, at + slotBytes))
      const skip = at === 0 ? position - first * segmentBytes : 0
      const part = bytes.subarray(skip, skip + target.length - done)
      target.set(part, done)
      done += part.length
      if (skip + part.length < bytes.length) this.#keepPart(index, bytes)
    }
    return done
  }

  /** How many bytes of a segment that was decrypted for an earlier read. */
  #fromPart(position: number, target: Uint8Array): number {
    const index = Math.floor(position / segmentBytes)
    const bytes = index === this.#lastPart ? this.#parts.get(this.#number, index) : undefined
    if (bytes === undefined) return 0
    const skip = position - index * segmentBytes
    const part = bytes.subarray(skip, skip + target.length)
    target.set(part)
    if (skip + part.length === bytes.length) this.#parts.drop(this.#number, index)
    return part.length
  }

  #keepPart(index: number, bytes: Uint8Array): void {
    if (this.#isClosed) return
    if (this.#lastPart >= 0) this.#parts.drop(this.#number, this.#lastPart)
    this.#lastPart = index
    this.#parts.add(this.#number, index, bytes)
  }

  #decrypt(index: number, slot: Uint8Array): Uint8Array {
    const length = Math.min(segmentBytes, this.size - index * segmentBytes)
    try {
      return decryptSegment(this.#key, index, slot.subarray(0, length + segmentOverhead))
    } catch (error) {
      // Not damaged, but on its way out.
      if (error instanceof SealingFault && this.#file.fateNow() === 'overwritten') {
        throw new StorageError('unavailable', 'the blob was destroyed while it was read', error)
      }
      this.#onForged()
      throw explained(this.#path, error)
    }
  }
}

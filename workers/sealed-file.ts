// A staged file that is encrypted: whole segments on the disk, the last unfinished one in memory.

import type { KeyObject } from 'node:crypto'
import { type Digest, type DigestAlgorithm, digestAlgorithm, digestHex } from '../src/oci/digest.ts'
import { SealingFault } from '../src/sealing/fault.ts'
import { newHeader, openKey, readSeal, writeSeal } from '../src/sealing/header.ts'
import type { SealingKeys, SealingTerms } from '../src/sealing/keys.ts'
import {
  blobLength,
  fileLength,
  headerBytes,
  isSealed,
  sealPositions,
  segmentBytes,
  segmentOverhead,
  slotBytes,
  slotPosition,
} from '../src/sealing/layout.ts'
import { decryptSegment, encryptSegment } from '../src/sealing/segment.ts'
import { hideState, showState } from '../src/sealing/state.ts'
import type { ContinuedBytes, StagedBytes, StateCover } from './staged-bytes.ts'
import {
  copyNames,
  IngestFailure,
  openContinued,
  openFresh,
  openThere,
  openWhole,
  type StagedFile,
} from './staged-file.ts'
import type { FileMark } from './tasks.ts'

/** Open for the first byte on, with a key of its own. */
export async function openFreshSealed(path: string, keys: SealingKeys): Promise<SealedFile> {
  const raw = await openFresh(path)
  return closedOnFault(raw, async () => {
    const { bytes, key } = newHeader(keys)
    await raw.write([bytes], 0)
    return new SealedFile(raw, key, 0)
  })
}

/** Open to append after the first `offset` bytes, and cut off what follows them. */
export async function openContinuedSealed(
  path: string,
  offset: number,
  keys: SealingKeys,
): Promise<ContinuedBytes> {
  const raw = await openThere(path, 'change')
  const file = await closedOnFault(raw, async () => {
    const header = await headerOf(raw)
    return header && new SealedFile(raw, await keyOf(raw, header, keys), offset)
  })
  if (file === undefined) {
    // From before anything was encrypted, or a file that was brought as it is.
    await raw.close()
    return openContinued(path, offset)
  }
  return closedOnFault(raw, async () => {
    // Cut to its length it would only look whole. Before the first byte the header alone is shorter.
    if (offset > 0 && raw.stat().size < fileLength(offset)) {
      throw new IngestFailure('corrupt', `less than ${offset} bytes are staged`)
    }
    await file.loadTail()
    if (raw.stat().nlink === 1) {
      await file.cutBack(offset)
      return { file }
    }
    const copy = copyNames(path)
    const fresh = await openFreshSealed(copy.path, keys)
    const keep = async (): Promise<void> => {
      await fresh.settle()
      await copy.keep()
    }
    return { file: fresh, copy: { from: file, keep, drop: copy.drop } }
  })
}

/**
 * Open to read the first `length` bytes. Of a blob that was pushed unencrypted and begins like a file that is, these are all
 * bytes of its file. Errors: IngestFailure 'corrupt' where they are fewer, or not its own.
 */
export async function openWholeSealed(
  path: string,
  length: number,
  { keys, digest }: SealingTerms,
): Promise<StagedBytes> {
  const raw = await openThere(path, 'read')
  const file = await closedOnFault(raw, async () => {
    const header = await headerOf(raw)
    if (header === undefined) return undefined
    const { size } = raw.stat()
    // Shorter than its file is each blob that is encrypted.
    if (digest !== undefined && length === size) return undefined
    const key = await keyOf(raw, header, keys)
    if (digest !== undefined) requireBlob(header, key, digest, length, size)
    const found = blobLength(size)
    if (found < length) throw new IngestFailure('corrupt', `${found} of ${length} bytes are there`)
    return new SealedFile(raw, key, length)
  })
  if (file !== undefined) return file
  await raw.close()
  return openWhole(path, length)
}

function requireBlob(
  header: Uint8Array,
  key: KeyObject,
  digest: Digest,
  length: number,
  size: number,
): void {
  const seal = opened(() => readSeal(header, key, digestAlgorithm(digest)))
  const isIts = seal?.hex === digestHex(digest) && seal.length === length
  if (!isIts || size !== fileLength(length)) {
    throw new IngestFailure('corrupt', 'the encrypted file is not that of the blob')
  }
}

/** A rewrap may have gone on while the header was read: the one key overwritten, the other not seen yet. */
export async function keyOf(
  raw: Pick<StagedFile, 'read' | 'stat'>,
  header: Buffer,
  keys: SealingKeys,
): Promise<KeyObject> {
  try {
    return openKey(header, keys).key
  } catch {
    const again = (await headerOf(raw)) ?? header
    return opened(() => openKey(again, keys)).key
  }
}

/** Undefined where the file is not encrypted. */
async function headerOf(raw: Pick<StagedFile, 'read' | 'stat'>): Promise<Buffer | undefined> {
  const header = Buffer.alloc(headerBytes)
  await raw.read(header.subarray(0, Math.min(headerBytes, raw.stat().size)), 0)
  return isSealed(header) ? header : undefined
}

async function closedOnFault<T>(raw: StagedFile, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    await raw.close()
    throw error
  }
}

function opened<T>(action: () => T): T {
  try {
    return action()
  } catch (error) {
    if (!(error instanceof SealingFault)) throw error
    const code = error.kind === 'unknown-key' ? 'unavailable' : 'corrupt'
    throw new IngestFailure(code, `an encrypted file: ${error.message}`)
  }
}

// What `reread` asks for at once, and the last segment.
const readSegmentsMax = 17
// Of one thread: as many of its rereads run at a time.
const idleScratch: Buffer[] = []
const idleScratchMax = 3

/** A session that is read once and then waits for its client must not hold what it was read into. */
function borrowScratch(size: number): Buffer {
  if (size <= slotBytes) return Buffer.allocUnsafeSlow(size)
  return idleScratch.pop() ?? Buffer.allocUnsafeSlow(readSegmentsMax * slotBytes)
}

function giveBackScratch(scratch: Buffer): void {
  if (scratch.length > slotBytes && idleScratch.length < idleScratchMax) idleScratch.push(scratch)
}

/**
 * Bytes are written one after the other, as bodies and copies do. Memory: 128 KiB, and while a write runs as much again
 * as one of its parts; a read 1.1 MiB while it runs, of which a thread keeps three.
 */
export class SealedFile implements StagedBytes {
  readonly states: StateCover
  readonly #raw: StagedFile
  readonly #key: KeyObject
  /** Of what is committed. */
  #offset: number
  /** Where the next byte goes. */
  #end: number
  /** What of the segment at `#end` is not in the file, or not alone. */
  #tail: Buffer | undefined
  /** The committed bytes of that segment, as long as this body may have to give them back. */
  #kept: Buffer = Buffer.alloc(0)
  #isKeptOverwritten = false
  #isTailWritten = true

  constructor(raw: StagedFile, key: KeyObject, offset: number) {
    this.#raw = raw
    this.#key = key
    this.#offset = offset
    this.#end = offset
    this.states = {
      hide: (state) => hideState(key, state),
      show: (hidden) => showState(key, hidden),
    }
  }

  /** To append: read what the segment at the end begins with. */
  async loadTail(): Promise<void> {
    const length = this.#offset % segmentBytes
    if (length === 0) return
    const kept = Buffer.alloc(length)
    await this.read(kept, this.#offset - length)
    this.#kept = kept
    this.#tail = Buffer.allocUnsafeSlow(segmentBytes)
    kept.copy(this.#tail)
    // Of a body that was cut off by a kill there may be more in it.
    this.#isKeptOverwritten = this.#raw.stat().size !== fileLength(this.#offset)
  }

  async write(parts: readonly Uint8Array[], position: number): Promise<void> {
    if (position !== this.#end) throw new Error('an encrypted file is written out of order')
    for (const part of parts) await this.#append(part)
  }

  async read(target: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < target.length; ) {
      done += await this.#readSome(target.subarray(done), position + done)
    }
  }

  async cutBack(length: number): Promise<void> {
    if (this.#raw.stat().nlink > 1) return
    if (this.#isKeptOverwritten && length === this.#offset && this.#kept.length > 0) {
      await this.#writeSegment(Math.floor(length / segmentBytes), this.#kept)
      this.#isKeptOverwritten = false
    }
    await this.#raw.truncate(fileLength(length))
  }

  async seal(algorithm: DigestAlgorithm, hex: string): Promise<void> {
    await this.#writeTail()
    // Otherwise the header alone is shorter.
    if (this.#end === 0) await this.#raw.truncate(fileLength(0))
    const seal = writeSeal(this.#key, { algorithm, hex, length: this.#end })
    await this.#raw.write([seal], sealPositions[algorithm])
  }

  /** What was written is committed: a body that follows keeps it. */
  async settle(): Promise<void> {
    await this.#writeTail()
    this.#offset = this.#end
    this.#kept = Buffer.from(this.#tail?.subarray(0, this.#end % segmentBytes) ?? [])
    this.#isKeptOverwritten = false
  }

  sync(): Promise<void> {
    return this.#raw.sync()
  }

  mark(): FileMark {
    return this.#raw.mark()
  }

  close(): Promise<void> {
    return this.#raw.close()
  }

  async #append(part: Uint8Array): Promise<void> {
    const boxes: Uint8Array[] = []
    const first = Math.floor(this.#end / segmentBytes)
    let index = first
    for (let done = 0; done < part.length; ) {
      const filled = this.#end % segmentBytes
      const taken = Math.min(segmentBytes - filled, part.length - done)
      const bytes = part.subarray(done, done + taken)
      done += taken
      this.#end += taken
      if (taken === segmentBytes) {
        boxes.push(...encryptSegment(this.#key, index, bytes))
        index += 1
        continue
      }
      this.#tail ??= Buffer.allocUnsafeSlow(segmentBytes)
      this.#tail.set(bytes, filled)
      this.#isTailWritten = false
      if (filled + taken < segmentBytes) continue
      boxes.push(...encryptSegment(this.#key, index, this.#tail))
      this.#isTailWritten = true
      index += 1
    }
    if (boxes.length > 0) await this.#writeBoxes(boxes, first)
  }

  async #writeTail(): Promise<void> {
    const length = this.#end % segmentBytes
    if (this.#isTailWritten || length === 0 || this.#tail === undefined) return
    await this.#writeSegment(Math.floor(this.#end / segmentBytes), this.#tail.subarray(0, length))
    this.#isTailWritten = true
  }

  async #writeSegment(index: number, bytes: Uint8Array): Promise<void> {
    await this.#writeBoxes(encryptSegment(this.#key, index, bytes), index)
  }

  async #writeBoxes(boxes: readonly Uint8Array[], index: number): Promise<void> {
    if (index * segmentBytes < this.#offset) this.#isKeptOverwritten = true
    // One part is written at once, where it is short.
    const isShort = boxes.length <= 3
    await this.#raw.write(isShort ? [Buffer.concat(boxes)] : boxes, slotPosition(index))
  }

  async #readSome(target: Uint8Array, position: number): Promise<number> {
    const first = Math.floor(position / segmentBytes)
    const skip = position % segmentBytes
    const count = Math.min(readSegmentsMax, Math.ceil((skip + target.length) / segmentBytes))
    const from = slotPosition(first)
    const size = Math.max(0, Math.min(count * slotBytes, this.#raw.stat().size - from))
    const scratch = borrowScratch(size)
    try {
      const slots = scratch.subarray(0, size)
      await this.#raw.read(slots, from)
      return this.#open(target, slots, first, skip)
    } finally {
      giveBackScratch(scratch)
    }
  }

  /** How many bytes `slots` hold of those wanted, which begin `skip` bytes into segment `first`. */
  #open(target: Uint8Array, slots: Buffer, first: number, skip: number): number {
    let done = 0
    for (let i = 0; i * slotBytes < slots.length && done < target.length; i++) {
      const slot = slots.subarray(i * slotBytes, (i + 1) * slotBytes)
      const bytes = this.#decrypt(first + i, slot).subarray(i === 0 ? skip : 0)
      const wanted = bytes.subarray(0, target.length - done)
      target.set(wanted, done)
      done += wanted.length
      if (wanted.length === 0) break
    }
    if (done === 0)
      throw new IngestFailure('corrupt', 'fewer bytes are encrypted than were committed')
    return done
  }

  /**
   * The committed bytes of a segment. Its length is what the offset says; a kill in the middle of a body can have left it
   * longer, or with more behind it.
   */
  #decrypt(index: number, slot: Uint8Array): Uint8Array {
    const committed = Math.min(segmentBytes, this.#offset - index * segmentBytes)
    const lengths = new Set([committed, slot.length - segmentOverhead])
    for (const length of lengths) {
      if (length <= 0 || length + segmentOverhead > slot.length) continue
      try {
        const box = slot.subarray(0, length + segmentOverhead)
        return decryptSegment(this.#key, index, box).subarray(0, committed)
      } catch (error) {
        if (!(error instanceof SealingFault)) throw error
      }
    }
    throw new IngestFailure('corrupt', 'an encrypted segment is not what was written')
  }
}

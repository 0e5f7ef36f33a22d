// Open blobs, shared between requests: many ranged pulls of one layer cost one open.

import type { Digest } from '../oci/digest.ts'
import type { BlobReader, BlobStore } from '../storage/blob/contract.ts'
import { StorageError } from '../storage/error.ts'

/** A reader that is shared; `release` instead of `close`. */
export interface SharedReader {
  readonly reader: BlobReader
  /** How the page cache has done for this blob, kept between requests. */
  readonly pace: ReadPace
  release(): void
}

/** Decides when a blocking read is safe: only while the last ones came from memory. */
export class ReadPace {
  #waitsLeft = 1

  /** Whether the next read may block the event loop. */
  mayBlock(): boolean {
    if (this.#waitsLeft === 0) return true
    this.#waitsLeft -= 1
    return false
  }

  /** Units: milliseconds. A read that long came from the device, and its neighbours will too. */
  blocked(ms: number): void {
    if (ms > 1) this.#waitsLeft = 16
  }
}

interface Slot {
  readonly reader: BlobReader
  readonly pace: ReadPace
  uses: number
  /** The store removed it: close as soon as nobody reads. */
  dropped: boolean
}

interface Opening {
  readonly slot: Promise<Slot | undefined>
  /** The store has removed it meanwhile. */
  dropped: boolean
}

export class BlobReaders {
  readonly #store: BlobStore
  readonly #idleMax: number
  readonly #isShared: boolean
  readonly #slots = new Map<Digest, Slot>()
  readonly #opening = new Map<Digest, Opening>()
  #idle = 0

  /** Limits: `idleMax` open blobs that nobody reads. `shared`: others remove blobs without telling. */
  constructor(store: BlobStore, idleMax: number, shared = false) {
    this.#store = store
    this.#idleMax = idleMax
    this.#isShared = shared
  }

  /** Undefined where the store has no such blob. Errors: StorageError 'unavailable'. */
  acquire(digest: Digest): SharedReader | Promise<SharedReader | undefined> {
    const slot = this.#slots.get(digest)
    if (slot !== undefined) {
      // What is there now may be another file, and the old one may have been overwritten.
      const isGood = slot.reader.isStale?.() !== true && !(this.#isShared && isGone(slot))
      if (isGood) return this.#use(digest, slot)
      this.drop(digest)
    }
    return this.#open(digest).then((opened) =>
      opened === undefined ? undefined : this.#use(digest, opened),
    )
  }

  /** The blob is gone from the store: its open file must not outlive its readers. */
  drop(digest: Digest): void {
    const opening = this.#opening.get(digest)
    if (opening !== undefined) {
      opening.dropped = true
      this.#opening.delete(digest)
    }
    const slot = this.#slots.get(digest)
    if (slot === undefined) return
    this.#slots.delete(digest)
    slot.dropped = true
    if (slot.uses === 0) {
      this.#idle -= 1
      slot.reader.close()
    }
  }

  /** Those that other processes have removed, too: a file keeps its room on the disk while it is open. */
  dropGone(): void {
    for (const [digest, slot] of this.#slots) {
      if (isGone(slot)) this.drop(digest)
    }
  }

  close(): void {
    for (const digest of [...this.#slots.keys()]) this.drop(digest)
  }

  #open(digest: Digest): Promise<Slot | undefined> {
    const opening = this.#opening.get(digest)
    if (opening !== undefined) return opening.slot
    const slot = this.#store.open(digest).then((reader) => {
      if (reader === undefined) return undefined
      const { dropped } = own
      const slot: Slot = { reader, pace: new ReadPace(), uses: 0, dropped }
      if (dropped) return slot
      this.#slots.set(digest, slot)
      this.#idle += 1
      return slot
    })
    const forget = (): void => {
      if (this.#opening.get(digest) === own) this.#opening.delete(digest)
    }
    const own: Opening = { slot: slot.finally(forget), dropped: false }
    this.#opening.set(digest, own)
    return own.slot
  }

  #use(digest: Digest, slot: Slot): SharedReader {
    if (slot.uses === 0 && !slot.dropped) this.#idle -= 1
    slot.uses += 1
    let held = true
    const release = (): void => {
      if (!held) return
      held = false
      this.#release(digest, slot)
    }
    return { reader: slot.reader, pace: slot.pace, release }
  }

  #release(digest: Digest, slot: Slot): void {
    slot.uses -= 1
    if (slot.uses > 0) return
    if (slot.dropped) {
      slot.reader.close()
      return
    }
    // Moved to the end, so that the first idle slot is the longest unused.
    this.#slots.delete(digest)
    this.#slots.set(digest, slot)
    this.#idle += 1
    if (this.#idle > this.#idleMax) this.#closeOldest()
  }

  #closeOldest(): void {
    for (const [digest, slot] of this.#slots) {
      if (slot.uses > 0) continue
      this.drop(digest)
      return
    }
  }
}

/** Errors: StorageError 'unavailable' where what was read of it may not be the blob any more. */
export function requireUnchanged(reader: BlobReader): void {
  if (reader.fateNow?.() !== 'overwritten') return
  throw new StorageError('unavailable', 'the blob was destroyed while it was read')
}

function isGone({ reader }: Slot): boolean {
  const fate = reader.fateNow?.() ?? 'kept'
  return fate !== 'kept'
}

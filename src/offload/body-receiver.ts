// Takes one request body into slabs and hands them to its session: the event loop's half of ingest.

import type { IngestResult } from '../../workers/tasks.ts'
import type { BodySink, RequestBody } from '../http/body.ts'
import { digestFromHex } from '../oci/digest.ts'
import { StorageError } from '../storage/error.ts'
import type { BodyBrake, BrakedBody } from './body-brake.ts'
import type { IngestOutcome, IngestPlan } from './contract.ts'
import type { IngestSession, SessionEvents } from './ingest-session.ts'
import type { SlabBudget } from './slab-budget.ts'

export interface ReceiverContext {
  readonly budget: SlabBudget
  readonly brake: BodyBrake
  /** The body stops reading with this much on its way through the session, in bytes. */
  readonly creditBytes: number
  readonly slabBytes: number
  readonly onBytes: (count: number) => void
  readonly onCreditStall: () => void
}

// A body that may be long starts small and earns larger slabs by filling them, so that many slow
// ones occupy little.
const firstSlabBytes = 128 << 10
const growth = 4

export class BodyReceiver implements BodySink, BrakedBody, SessionEvents {
  /** Rejects with StorageError 'full', 'unavailable' or 'corrupt'. Then the staged file is closed. */
  readonly outcome: Promise<IngestOutcome>
  readonly #plan: IngestPlan
  readonly #body: RequestBody
  readonly #context: ReceiverContext
  readonly #session: IngestSession
  readonly #resolve: (outcome: IngestOutcome) => void
  readonly #reject: (error: StorageError) => void
  #slab: Uint8Array | undefined
  #filled = 0
  #received = 0
  #grownBytes = firstSlabBytes
  #inFlightBytes = 0
  #isConsumed = false
  #isPaused = false
  #hasBegun = false
  #isOutOfCredit = false
  /** Set when nothing more is taken from the body: after its last chunk, an abort or a refusal. */
  #isOver = false
  #ending: IngestOutcome | undefined

  constructor(
    plan: IngestPlan,
    body: RequestBody,
    context: ReceiverContext,
    openSession: (events: SessionEvents) => IngestSession,
  ) {
    this.#plan = plan
    this.#body = body
    this.#context = context
    let settle: [(outcome: IngestOutcome) => void, (error: StorageError) => void] | undefined
    this.outcome = new Promise((resolve, reject) => {
      settle = [resolve, reject]
    })
    if (!settle) throw new Error('a Promise runs its executor at once')
    ;[this.#resolve, this.#reject] = settle
    this.#session = openSession(this)
  }

  /** What the client has announced and not yet sent, in bytes. */
  get bytesAwaited(): number {
    return this.#isOver ? 0 : Math.max(0, (this.#body.length ?? 0) - this.#received)
  }

  start(): void {
    if (this.#plan.offset === 0) {
      this.#context.brake.admit(this)
    } else {
      // The kept bytes are hashed first: till then no slab is held that could serve another body.
      this.#hasBegun = true
      this.#session.prepare()
    }
  }

  /** Another request has taken the staged file over: as if the client had left. */
  supersede(): void {
    if (!this.#isOver) this.stop()
    this.#finishEarly({ kind: 'aborted' })
  }

  onReady(): void {
    if (!this.#isOver) this.#context.brake.admit(this)
  }

  go(): void {
    this.#isPaused = false
    if (this.#isConsumed) {
      this.#body.resume()
      return
    }
    this.#isConsumed = true
    this.#body.consume(this)
    // What was kept back may have been enough to stop at, but `consume` ends by reading on.
    if (this.#isPaused) this.#body.pause()
  }

  stop(): void {
    this.#isPaused = true
    this.#body.pause()
  }

  flush(): void {
    const slab = this.#slab
    if (!slab) return
    this.#slab = undefined
    this.#grownBytes = firstSlabBytes
    this.#send(slab, this.#filled, false)
  }

  onChunk(chunk: Uint8Array, last: boolean): void {
    if (this.#isOver) return
    this.#received += chunk.length
    this.#context.onBytes(chunk.length)
    const refusal = this.#refusal(last)
    if (refusal) {
      this.stop()
      this.#finishEarly(refusal)
      return
    }
    this.#copy(chunk, last)
    if (last) this.#finish()
    else this.#brakeIfNeeded()
  }

  onAbort(): void {
    this.#finishEarly({ kind: 'aborted' })
  }

  onReturned(bytes: number): void {
    this.#inFlightBytes -= bytes
    if (!this.#isOutOfCredit || this.#inFlightBytes * 2 > this.#context.creditBytes) return
    this.#isOutOfCredit = false
    if (!this.#isOver) this.#context.brake.admit(this)
  }

  onDone(result: IngestResult): void {
    if (!this.#isOver) {
      // The session failed in the middle of the body.
      this.stop()
      this.#close()
    }
    if (this.#ending) this.#resolve(this.#ending)
    else if (result.ok) this.#resolve(this.#completion(result))
    else this.#reject(new StorageError(result.code, `staging failed: ${result.detail}`))
  }

  #completion({ hex, hashState, unfinished }: Extract<IngestResult, { ok: true }>): IngestOutcome {
    return {
      kind: 'complete',
      offset: this.#plan.offset + this.#received,
      digest: digestFromHex(this.#plan.algorithm, hex),
      ...(hashState === undefined ? {} : { hashState }),
      ...(unfinished === undefined ? {} : { unfinished }),
    }
  }

  #brakeIfNeeded(): void {
    this.#context.brake.delivered(this)
    if (this.#inFlightBytes < this.#context.creditBytes || this.#isOutOfCredit) return
    this.#isOutOfCredit = true
    this.#context.onCreditStall()
    this.#context.brake.withdraw(this)
    this.stop()
  }

  #refusal(last: boolean): IngestOutcome | undefined {
    const { offset, bytesMax, bytesExpected } = this.#plan
    const received = this.#received
    if (offset + received > bytesMax) return { kind: 'too-large' }
    if (!last && this.#plan.mayGoOn?.() === false) return { kind: 'no-room' }
    if (bytesExpected === undefined || received === bytesExpected) return undefined
    return last || received > bytesExpected ? { kind: 'length-differs', received } : undefined
  }

  #copy(chunk: Uint8Array, last: boolean): void {
    for (let from = 0; from < chunk.length; ) {
      const slab = this.#slab ?? this.#newSlab(chunk.length - from)
      const count = Math.min(slab.length - this.#filled, chunk.length - from)
      // A whole chunk needs no view of its own, which is the usual case.
      slab.set(count === chunk.length ? chunk : chunk.subarray(from, from + count), this.#filled)
      this.#filled += count
      from += count
      // The last slab goes with word that it is the last, which saves a message.
      const isAllHere = last || this.#received === this.#body.length
      if (this.#filled === slab.length && !(isAllHere && from === chunk.length)) {
        this.#slab = undefined
        this.#grownBytes = Math.min(this.#grownBytes * growth, this.#context.slabBytes)
        this.#send(slab, slab.length, false)
      }
    }
  }

  #newSlab(bytesAtOnce: number): Uint8Array {
    const { budget, brake, slabBytes } = this.#context
    // `received` counts all of the chunk that is being copied.
    const announced = this.#body.length
    const rest = announced === undefined ? undefined : announced - this.#received + bytesAtOnce
    let size = budget.slabBytesFor(Math.max(this.#grownBytes, bytesAtOnce))
    if (rest !== undefined && rest <= slabBytes) size = budget.slabBytesFor(rest)
    if (!brake.affords(size)) size = budget.slabBytesFor(bytesAtOnce)
    this.#slab = new Uint8Array(budget.acquire(size))
    this.#filled = 0
    brake.holds(this, true)
    return this.#slab
  }

  #send(slab: Uint8Array<ArrayBufferLike> | undefined, length: number, isLast: boolean): void {
    this.#hasBegun = true
    this.#context.brake.holds(this, false)
    const buffer = slab?.buffer as ArrayBuffer | undefined
    this.#inFlightBytes += buffer?.byteLength ?? 0
    this.#session.send(buffer, length, isLast)
  }

  #finish(): void {
    this.#isOver = true
    this.#context.brake.withdraw(this)
    const slab = this.#slab
    this.#slab = undefined
    this.#send(slab, slab ? this.#filled : 0, true)
    // The last chunk takes a slab like any other, which the bodies that go on reading must feel.
    this.#context.brake.delivered(this)
  }

  #finishEarly(ending: IngestOutcome): void {
    if (this.#ending || (this.#isOver && ending.kind !== 'aborted')) return
    this.#ending = ending
    this.#close()
    if (this.#hasBegun) this.#session.abort()
    else this.#resolve(ending)
  }

  #close(): void {
    this.#isOver = true
    this.#context.brake.withdraw(this)
    this.#context.brake.holds(this, false)
    if (this.#slab) this.#context.budget.release(this.#slab.buffer as ArrayBuffer)
    this.#slab = undefined
    this.#context.brake.schedule()
  }
}

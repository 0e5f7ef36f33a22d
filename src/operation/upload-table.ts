// Upload sessions at work in this process: how many there are, and who writes each of them.

import type { BodySink, RequestBody } from '../http/body.ts'
import { OciError } from '../oci/error.ts'
import type { UploadId } from '../oci/upload-id.ts'

// A session without a request for so long no longer counts as open; it can still be resumed.
const openIdleMs = 5 * 60 * 1000
// A retry may push aside a request whose client has been silent for so long.
const supersedeIdleMs = 5 * 1000
// A client that is refused again and again must not cost a look at every session each time.
const checkEveryMs = 1000

interface Entry {
  touchedAtMs: number
  writer: Writer | undefined
}

/** The right to write one session; ends with `end`. */
export interface Writer {
  /** The body, cut off for its consumer when a retry takes over. */
  guard(body: RequestBody): RequestBody
  end(): void
}

/** Limits: `sessionsMax` open sessions; memory grows with them only. */
export class UploadTable {
  #sessionsMax: number
  readonly #now: () => number
  readonly #entries = new Map<UploadId, Entry>()
  #checkedAtMs = Number.NEGATIVE_INFINITY
  #requests = 0

  constructor(sessionsMax: number, now: () => number) {
    this.#sessionsMax = sessionsMax
    this.#now = now
  }

  /** From now on; those that are open stay so. */
  allow(sessionsMax: number): void {
    this.#sessionsMax = sessionsMax
  }

  /** That opened or wrote a session, since the start. */
  get requests(): number {
    return this.#requests
  }

  get size(): number {
    return this.#entries.size
  }

  get isFull(): boolean {
    return this.#entries.size >= this.#sessionsMax
  }

  /** Sessions that nobody writes, whose records may be gone. None soon after it was asked before. */
  idleToCheck(): readonly UploadId[] {
    const now = this.#now()
    if (now - this.#checkedAtMs < checkEveryMs) return []
    this.#checkedAtMs = now
    return [...this.#entries].flatMap(([id, { writer }]) => (writer === undefined ? [id] : []))
  }

  /** A new session. Errors: OciError TOOMANYREQUESTS. */
  open(id: UploadId): void {
    this.#requests += 1
    if (this.isFull) this.#forgetIdle()
    if (this.isFull) {
      throw new OciError('TOOMANYREQUESTS', {
        message: 'too many uploads are open',
        headers: [['Retry-After', '5']],
      })
    }
    this.#entries.set(id, { touchedAtMs: this.#now(), writer: undefined })
  }

  close(id: UploadId): void {
    this.#entries.delete(id)
  }

  isWriting(id: UploadId): boolean {
    return this.#entries.get(id)?.writer !== undefined
  }

  /**
   * Become the session's only writer in this process. A writer whose client has gone silent is cut off
   * first, and one whose client has left is on its way out: either is waited for, so that its bytes are
   * never between ours.
   * Errors: OciError BLOB_UPLOAD_INVALID (409) while another one is at work.
   */
  async write(id: UploadId): Promise<Writer> {
    this.#requests += 1
    for (;;) {
      const entry = this.#entry(id)
      const rival = entry.writer
      if (rival === undefined) {
        const writer = new SessionWriter(this.#now, () => this.#leave(id, writer))
        entry.writer = writer
        entry.touchedAtMs = this.#now()
        return writer
      }
      const yields =
        rival instanceof SessionWriter && (rival.isLeaving || rival.idleMs() >= supersedeIdleMs)
      if (!yields) {
        throw new OciError('BLOB_UPLOAD_INVALID', {
          status: 409,
          message: 'another request is writing to this upload',
        })
      }
      rival.cut()
      await rival.ended
    }
  }

  #entry(id: UploadId): Entry {
    const known = this.#entries.get(id)
    if (known !== undefined) return known
    // A session of an earlier process, resumed here: it was accepted once and is not refused now.
    const entry: Entry = { touchedAtMs: this.#now(), writer: undefined }
    this.#entries.set(id, entry)
    return entry
  }

  #leave(id: UploadId, writer: Writer): void {
    const entry = this.#entries.get(id)
    if (entry === undefined || entry.writer !== writer) return
    entry.writer = undefined
    entry.touchedAtMs = this.#now()
  }

  #forgetIdle(): void {
    const now = this.#now()
    for (const [id, entry] of this.#entries) {
      if (entry.writer === undefined && now - entry.touchedAtMs > openIdleMs) {
        this.#entries.delete(id)
      }
    }
  }
}

class SessionWriter implements Writer {
  readonly ended: Promise<void>
  readonly #now: () => number
  readonly #onEnd: () => void
  #markEnded: () => void = () => {}
  #lastByteAtMs: number
  #receiving = false
  #paused = false
  #leaving = false
  #cut: (() => void) | undefined

  constructor(now: () => number, onEnd: () => void) {
    this.#now = now
    this.#onEnd = onEnd
    this.#lastByteAtMs = now()
    this.ended = new Promise((resolve) => {
      this.#markEnded = resolve
    })
  }

  /** 0 while the silence is ours: a paused body, or work after its last byte. */
  idleMs(): number {
    return this.#receiving && !this.#paused ? this.#now() - this.#lastByteAtMs : 0
  }

  /** The body ended before its last byte; what remains is to give the session up. */
  get isLeaving(): boolean {
    return this.#leaving
  }

  cut(): void {
    this.#cut?.()
  }

  guard(body: RequestBody): RequestBody {
    return {
      length: body.length,
      consume: (sink) => body.consume(this.#watch(sink)),
      pause: () => {
        this.#paused = true
        body.pause()
      },
      resume: () => {
        this.#paused = false
        this.#lastByteAtMs = this.#now()
        body.resume()
      },
    }
  }

  end(): void {
    this.#receiving = false
    this.#onEnd()
    this.#markEnded()
  }

  #watch(sink: BodySink): BodySink {
    let open = true
    this.#receiving = true
    this.#lastByteAtMs = this.#now()
    const abort = (): void => {
      if (!open) return
      open = false
      this.#receiving = false
      this.#leaving = true
      sink.onAbort()
    }
    this.#cut = abort
    return {
      onChunk: (chunk, last) => {
        if (!open) return
        this.#lastByteAtMs = this.#now()
        if (last) {
          open = false
          this.#receiving = false
        }
        sink.onChunk(chunk, last)
      },
      onAbort: abort,
    }
  }
}

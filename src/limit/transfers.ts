// How much one identity may have under way: uploads and pulls at a time, and bytes of uploads a second.

import type { Identity } from '../authenticate/identity.ts'
import type { UsageConfig } from '../config/schema.ts'
import type { RequestBody } from '../http/body.ts'
import type { ByteSource, Reply } from '../http/reply.ts'
import type { Action } from '../route/action.ts'
import type { LimitCounts } from '../telemetry/limit-counts.ts'
import { callerKey } from './caller.ts'
import type { BucketRate, Buckets } from './contract.ts'
import { PacedBody } from './paced-body.ts'
import { type Place, Places } from './places.ts'
import { Refusals } from './refusal.ts'

export interface TransferOptions {
  readonly open: (rate: BucketRate) => Buckets
  /** Monotonic, in ms. */
  readonly now: () => number
  /** Call once, later; the result calls it off. */
  readonly after: (ms: number, callback: () => void) => () => void
  readonly counts: LimitCounts
}

type Work = (body: RequestBody) => Reply | Promise<Reply>

/** One request under its limits. */
export interface Transfer {
  /**
   * Runs `work` with the body as it may be read. What the request holds it gives back when `work` has
   * failed, or its reply is complete or cut off: a stream's when its source is closed.
   */
  run(work: Work): Reply | Promise<Reply>
}

const names = {
  uploads: 'uploads_per_identity',
  pulls: 'pulls_per_identity',
  rate: 'upload_rate_per_identity',
} as const

// Nobody knows when a transfer ends. podman and skopeo come back four times.
const retryAfterMs = 5000
// What may come at once after a rest: as much as in a second.
const burstMs = 1000
const uploadKinds: ReadonlySet<Action['kind']> = new Set([
  'start-upload',
  'update-upload',
  'complete-upload',
  'put-manifest',
] as const)

/** One per runtime. */
export class TransferLimits {
  readonly #options: TransferOptions
  readonly #refusals = {
    uploads: new Refusals(names.uploads, 'too many uploads at a time'),
    pulls: new Refusals(names.pulls, 'too many pulls at a time'),
  }
  readonly #uploads: Places | undefined
  readonly #pulls: Places | undefined
  readonly #bytes: Buckets | undefined

  constructor(config: Omit<UsageConfig, 'rates'>, options: TransferOptions) {
    const { uploadsPerIdentity, pullsPerIdentity, uploadRatePerIdentityBytes: rate } = config
    const { open, counts } = options
    this.#options = options
    this.#uploads = uploadsPerIdentity > 0 ? new Places(uploadsPerIdentity) : undefined
    this.#pulls = pullsPerIdentity > 0 ? new Places(pullsPerIdentity) : undefined
    const tokensPerMs = rate / 1000
    if (rate > 0) this.#bytes = open({ capacity: tokensPerMs * burstMs, tokensPerMs })
    counts.watchKeys(() => this.#keys())
  }

  /**
   * Undefined where nothing limits this request. Asked when it is allowed, since what it takes it holds.
   * Errors: OciError TOOMANYREQUESTS.
   */
  begin(
    identity: Identity,
    action: Action,
    body: RequestBody,
    address: () => string,
  ): Transfer | undefined {
    if (action.kind === 'get-blob') {
      if (action.head || this.#pulls === undefined) return undefined
      const place = this.#enter('pulls', this.#pulls, callerKey(identity, address))
      return place && new HeldTransfer(body, place)
    }
    if (!uploadKinds.has(action.kind)) return undefined
    const key = callerKey(identity, address)
    if (key === '') return undefined
    if (body.length === 0) {
      // With this request clients come back, with the body that is to follow it most do not.
      const isFutile = action.kind === 'start-upload' && this.#uploads?.isFull(key) === true
      if (isFutile) throw this.#refusal('uploads')
      return undefined
    }
    const place = this.#uploads && this.#enter('uploads', this.#uploads, key)
    const bytes = this.#bytes
    if (bytes === undefined) return place && new HeldTransfer(body, place)
    return new HeldTransfer(this.#paced(body, key, bytes), place)
  }

  #paced(body: RequestBody, key: string, buckets: Buckets): PacedBody {
    const { now, after, counts } = this.#options
    return new PacedBody(body, {
      ...{ now, after },
      spend: (bytes) => buckets.spend(key, bytes, now()),
      onHold: () => counts.addHold(),
    })
  }

  #enter(what: 'uploads' | 'pulls', places: Places, key: string): Place | undefined {
    if (key === '') return undefined
    const place = places.enter(key)
    if (place === undefined) throw this.#refusal(what)
    return place
  }

  #refusal(what: 'uploads' | 'pulls'): Error {
    this.#options.counts.addRefusal(names[what])
    return this.#refusals[what].after(retryAfterMs)
  }

  #keys(): ReadonlyArray<readonly [limit: string, keys: number]> {
    const kept = [
      [names.uploads, this.#uploads],
      [names.pulls, this.#pulls],
      [names.rate, this.#bytes],
    ] as const
    return kept.flatMap(([name, each]) => (each === undefined ? [] : [[name, each.size] as const]))
  }
}

class HeldTransfer implements Transfer {
  readonly #body: RequestBody
  readonly #place: Place | undefined

  constructor(body: RequestBody, place: Place | undefined) {
    this.#body = body
    this.#place = place
  }

  run(work: Work): Reply | Promise<Reply> {
    let reply: Reply | Promise<Reply>
    try {
      reply = work(this.#body)
    } catch (error) {
      this.#end()
      throw error
    }
    if (!(reply instanceof Promise)) return this.#settle(reply)
    return reply.then(
      (settled) => this.#settle(settled),
      (error: unknown) => {
        this.#end()
        throw error
      },
    )
  }

  #settle(reply: Reply): Reply {
    if (reply.kind !== 'stream') {
      this.#end()
      return reply
    }
    return { ...reply, source: new HeldSource(reply.source, () => this.#end()) }
  }

  #end(): void {
    if (this.#body instanceof PacedBody) this.#body.end()
    this.#place?.leave()
  }
}

/** A reply's bytes, with word of their end. */
class HeldSource implements ByteSource {
  readonly length: number
  readonly #source: ByteSource
  readonly #onClose: () => void

  constructor(source: ByteSource, onClose: () => void) {
    this.length = source.length
    this.#source = source
    this.#onClose = onClose
  }

  readNow(position: number, target: Uint8Array): number | undefined {
    return this.#source.readNow(position, target)
  }

  read(position: number, target: Uint8Array): Promise<number> {
    return this.#source.read(position, target)
  }

  close(): void {
    try {
      this.#source.close()
    } finally {
      this.#onClose()
    }
  }
}

// Who is told of each request that is over, and what they can know of it.

import { OciError } from '../oci/error.ts'
import { storageFault } from '../operation/storage-fault.ts'
import { type AccessCounts, AccessLog, type AccessLogConfig } from '../telemetry/access-log.ts'
import type { Logger } from '../telemetry/log.ts'
import { createRequestIds } from '../telemetry/request-ids.ts'
import type { RequestMetrics } from '../telemetry/request-metrics.ts'
import { checkedRequestId, type RequestRecord } from '../telemetry/request-record.ts'
import type { Asker, Exchange } from './transport/exchange.ts'

/** Somebody else who wants to know, such as traces. */
export interface RequestWatcher {
  /** Whether it wants this one; asked once, right before the reply, when the record is kept for it. */
  picks(record: RequestRecord): boolean
  /** Told of every request, picked or not. */
  finished(record: RequestRecord): void
}

export interface ObserverOptions {
  readonly config: AccessLogConfig
  readonly log: Logger
  /** Of the process, as are the counts. */
  readonly metrics: RequestMetrics
  readonly accessCounts: AccessCounts
  /** The client's address, seen through trusted proxies. */
  readonly clientAddress: (exchange: Exchange) => string
  /** Proxies whose request ids are believed. */
  readonly trusts: (peerAddress: string) => boolean
  readonly randomUuid: () => string
  readonly watcher?: RequestWatcher | undefined
}

/** A record that its observer can ask to outlive its connection. */
interface KeptRecord extends RequestRecord {
  /** Whether the log wants it, as it was before the reply. */
  readonly isPicked: boolean
  keep(): void
  clientIp(): string
}

// A sample of one in so many, or fewer, is taken of the requests that are timed anyway.
const sparse = 32

/** One per configuration. */
export class Observer {
  readonly clientAddress: (exchange: Exchange) => string
  readonly #metrics: RequestMetrics
  readonly #access: AccessLog | undefined
  readonly #watcher: RequestWatcher | undefined
  readonly #trusts: (peerAddress: string) => boolean
  readonly #nextId: () => string
  readonly #timesAll: boolean

  constructor(options: ObserverOptions) {
    const { config, log, accessCounts } = options
    this.#metrics = options.metrics
    this.#access =
      config.access === 'none'
        ? undefined
        : new AccessLog(config, log, accessCounts, () => performance.now())
    this.#watcher = options.watcher
    const isDense = config.access === 'all' && config.accessSample < sparse
    this.#timesAll = isDense || options.watcher !== undefined
    this.clientAddress = options.clientAddress
    this.#trusts = options.trusts
    this.#nextId = createRequestIds(options.randomUuid)
  }

  /** Whether a refusal has a line in the log, which its request id leads to. */
  get logsRefusals(): boolean {
    return this.#access !== undefined
  }

  /**
   * False where a peer that is no trusted proxy says that it asks for somebody else, or where one says so in a way that is
   * not read.
   */
  isProven(exchange: Exchange): boolean {
    const names = exchange.header('x-forwarded-for') !== ''
    if (names) return this.#trusts(exchange.remoteAddress)
    return exchange.header('forwarded') === ''
  }

  /** When a request begins; undefined for one that is not timed, see `RequestClock`. */
  startMs(): number | undefined {
    return this.#timesAll ? performance.now() : this.#metrics.clock.startMs()
  }

  /** The reply will take a while; what only a living connection tells is read now. */
  waits(record: KeptRecord): void {
    if (this.#access !== undefined || this.#watcher !== undefined) record.clientIp()
  }

  /** Right before the reply; whether the log wants this request. */
  picks(record: KeptRecord, isStream: boolean): boolean {
    const isPicked = this.#access?.picks(record) ?? false
    const isWatched = this.#watcher?.picks(record) ?? false
    // A stream that is cut off gets its line though it was not picked.
    if (isPicked || isWatched || (isStream && this.#access !== undefined)) record.keep()
    return isPicked
  }

  /** Once for every request. */
  finished(record: KeptRecord): void {
    this.#metrics.add(record)
    if (record.isPicked || record.aborted) this.#access?.add(record)
    this.#watcher?.finished(record)
  }

  /** A request failed, and nobody refused it. `code`: what its client is told. */
  failed(code: string): void {
    this.#metrics.addFault(code)
  }

  /** That of a trusted proxy, or a new one. */
  requestIdOf(asker: Asker): string {
    const sent = asker.header('x-request-id')
    const known = sent !== '' && this.#trusts(asker.remoteAddress) ? checkedRequestId(sent) : ''
    return known === '' ? this.#nextId() : known
  }
}

/** What a fault is answered with where it still can be. */
export function faultStatus(error: unknown): number {
  return (error instanceof OciError ? error : storageFault(error))?.status ?? 500
}

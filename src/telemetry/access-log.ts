// The access log: one line for each request that is worth one. Lines are built after the reply has left,
// and dropped rather than waited for.

import type { Registry } from 'prom-client'
import { AccessLines } from './access-line.ts'
import { type Logger, plainLinesOf } from './log.ts'
import { cut } from './log-error.ts'
import { counter, single } from './readings.ts'
import { type RequestRecord, traceIdOf } from './request-record.ts'

export interface AccessLogConfig {
  readonly access: 'none' | 'failed' | 'writes' | 'all'
  /** Of the reads that went well, one in so many. */
  readonly accessSample: number
}

/** Since the start of the process. */
export class AccessCounts {
  lines = 0
  /** For want of a place. */
  dropped = 0

  register(registry: Registry): void {
    counter(registry, {
      name: 'keelson_access_log_lines_total',
      help: 'Requests that the access log has told of',
      read: single(() => this.lines),
    })
    counter(registry, {
      name: 'keelson_access_log_dropped_total',
      help: 'Requests whose line in the access log had no place to wait in and is lost',
      read: single(() => this.dropped),
    })
  }
}

// At most these wait for their turn; more come only while the loop does not come around.
const waitingMax = 8192
// So many are built in one go, before requests get their turn again.
const turnLines = 64
const tellEveryMs = 10_000

const reads: ReadonlySet<string> = new Set([
  'get-api-version',
  'get-token',
  'list-catalog',
  'list-tags',
  'get-referrers',
  'get-upload',
  'metrics',
  'healthz',
  'readyz',
])

/** One per configuration; what waits when its configuration is replaced is still written. */
export class AccessLog {
  readonly #config: AccessLogConfig
  readonly #log: Logger
  readonly #counts: AccessCounts
  readonly #now: () => number
  readonly #lines: AccessLines | undefined
  #waiting: RequestRecord[] = []
  #isScheduled = false
  #unsampled = 0
  #untold = 0
  #toldAtMs = Number.NEGATIVE_INFINITY

  /** `now`: monotonic, in ms. */
  constructor(config: AccessLogConfig, log: Logger, counts: AccessCounts, now: () => number) {
    this.#config = config
    this.#log = log
    this.#counts = counts
    this.#now = now
    const plain = plainLinesOf(log)
    this.#lines = plain === undefined ? undefined : new AccessLines(plain)
  }

  /**
   * Whether the request gets a line, as far as its reply tells. Asked once for each: it counts what is
   * sampled. One that is aborted later gets its line in any case.
   */
  picks(record: RequestRecord): boolean {
    const { access, accessSample } = this.#config
    if (access === 'none') return false
    const kind = record.action?.kind
    const isFailed = record.status >= 400 || record.aborted
    if (isFailed && !isProbe(record)) return true
    if (access === 'failed') return false
    // Most are one of two; the others are looked up.
    const isPull = kind === 'get-manifest' || kind === 'get-blob'
    if (!isPull && (kind === undefined || !reads.has(kind))) return true
    if (access === 'writes') return false
    this.#unsampled += 1
    // A sample says how long it took: the next that is timed is as good as this one.
    if (this.#unsampled < accessSample || record.startMs === undefined) return false
    this.#unsampled -= accessSample
    return true
  }

  /** Write its line, in a while. */
  add(record: RequestRecord): void {
    if (this.#waiting.length >= waitingMax) {
      this.#counts.dropped += 1
      this.#untold += 1
      return
    }
    this.#waiting.push(record)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => this.#write())
  }

  #write(): void {
    this.#isScheduled = false
    const turn =
      this.#waiting.length > turnLines ? this.#waiting.splice(0, turnLines) : this.#waiting
    if (turn === this.#waiting) this.#waiting = []
    if (this.#log.isLevelEnabled('info')) {
      for (const record of turn) {
        if (this.#lines?.write(record) !== true) this.#log.info(accessLine(record), 'request')
      }
      this.#counts.lines += turn.length
    }
    if (this.#untold > 0) this.#tell()
    if (this.#waiting.length > 0) this.#schedule()
  }

  #tell(): void {
    const now = this.#now()
    if (now - this.#toldAtMs < tellEveryMs) return
    this.#toldAtMs = now
    this.#log.warn({ dropped: this.#untold }, 'lines of the access log dropped')
    this.#untold = 0
  }
}

// What clients ask before they push a blob: an answer, not a failure, and one for each layer.
function isProbe({ method, status, action }: RequestRecord): boolean {
  return status === 404 && method === 'HEAD' && action?.kind === 'get-blob'
}

const textMax = 256

/**
 * What the log says of a request: never the query, a header with a credential or text without an end. The
 * log itself masks and makes harmless what others chose.
 */
export function accessLine(record: RequestRecord): Readonly<Record<string, unknown>> {
  const { action, durationMs, identity, traceparent, decisionId } = record
  const line: Record<string, unknown> = { method: cut(record.method, textMax) }
  if (action === undefined) line['path'] = cut(record.path, textMax)
  else {
    line['action'] = action.kind
    const { repository, reference, digest } = action
    if (repository !== undefined) line['repository'] = repository
    if (reference?.kind === 'tag') line['reference'] = reference.tag
    if (reference?.kind === 'digest') line['reference'] = reference.digest
    if (digest !== undefined) line['digest'] = digest
  }
  line['status'] = record.status
  line['bytesIn'] = record.bytesIn
  line['bytesOut'] = record.bytesOut
  if (durationMs !== undefined) line['durationMs'] = Math.round(durationMs * 1000) / 1000
  if (identity !== undefined) {
    const { username, authMethod } = identity
    line['username'] = username === null ? null : cut(username, textMax)
    line['authMethod'] = authMethod
  }
  line['address'] = record.address
  line['userAgent'] = cut(record.userAgent, textMax)
  line['requestId'] = record.requestId
  if (traceparent !== '') line['traceId'] = traceIdOf(traceparent)
  if (decisionId !== '') line['decisionId'] = decisionId
  if (record.isForwarded) line['forwardAuth'] = true
  if (record.aborted) line['aborted'] = true
  return line
}

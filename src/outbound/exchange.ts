// One request on the wire and what came of it, told once.

import type { Dispatcher } from 'undici'
import type { CallProblem, CallResult, Failed } from './contract.ts'

/** A connection that was kept from an earlier call ended before it answered. */
export type Outcome = CallResult | { readonly kind: 'stale'; readonly error: Failed }

type Headers = Record<string, string | string[] | undefined>

const detailLengthMax = 300

// A later answer than this is nobody's.
const gone = new Error('nobody waits for this answer')

/** Reads an answer within its bound. `tell` hears the outcome once, and nothing after `abandon`. */
export class AnswerReader implements Dispatcher.DispatchHandler {
  readonly #bodyBytesMax: number
  readonly #tell: (outcome: Outcome) => void
  readonly #chunks: Buffer[] = []
  #controller: Dispatcher.DispatchController | undefined
  #size = 0
  #status = 0
  #headers: Headers = {}
  #isOver = false

  constructor(bodyBytesMax: number, tell: (outcome: Outcome) => void) {
    this.#bodyBytesMax = bodyBytesMax
    this.#tell = tell
  }

  /** Ends the request wherever it is. */
  abandon(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#controller?.abort(gone)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#isOver) controller.abort(gone)
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Headers,
  ): void {
    // Others than the last are only news of progress. Source: RFC 9110 §15.2.
    if (status < 200) return
    this.#status = status
    this.#headers = headers
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#isOver) return
    this.#size += chunk.byteLength
    if (this.#size <= this.#bodyBytesMax) {
      this.#chunks.push(chunk)
      return
    }
    this.#end(failed('too-long', `the answer has more than ${this.#bodyBytesMax} bytes`))
    controller.abort(gone)
  }

  onResponseEnd(): void {
    const body = Buffer.concat(this.#chunks, this.#size)
    this.#end({ kind: 'answer', status: this.#status, headers: this.#headers, body })
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    const reason = failed(problemOf(error), describe(error))
    const isStale = this.#status === 0 && staleCodes.has(codeOf(error))
    this.#end(isStale ? { kind: 'stale', error: reason } : reason)
  }

  #end(outcome: Outcome): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#tell(outcome)
  }
}

export function failed(problem: CallProblem, detail: string): Failed {
  return { kind: 'failed', problem, detail: detail.slice(0, detailLengthMax) }
}

const staleCodes: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])

const tlsCode =
  /^(?:ERR_TLS|ERR_SSL|EPROTO|CERT_|CRL_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH)/

const timeoutCodes: ReadonlySet<string> = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
])

function problemOf(error: Error): CallProblem {
  const code = codeOf(error)
  if (timeoutCodes.has(code)) return 'timeout'
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return 'too-long'
  return tlsCode.test(code) ? 'tls' : 'transport'
}

/** What went wrong in words for the log. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = codeOf(error)
  // Where several addresses were tried, the message is empty.
  if (error.message === '') return code
  return code === '' || error.message.includes(code) ? error.message : `${code}: ${error.message}`
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

// What it is to ask another service: one bounded call, and the ways it can end.

import type { Secret } from '../config/secret.ts'

/** What a service wants to see of us, beside a client certificate. */
export type CallerAuth =
  | { readonly kind: 'bearer'; readonly token: Secret }
  | { readonly kind: 'basic'; readonly username: string; readonly password: Secret }

/** PEM each; undefined: the CAs that Node knows, and no client certificate. */
export interface CallerTls {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly passphrase: Secret | undefined
}

export interface BreakerOptions {
  /** Calls in a row that fail before it opens. */
  readonly failures: number
  /** Units: ms. How long nothing is asked before one call may try again. */
  readonly cooldownMs: number
}

export interface CallerOptions {
  /** For messages, such as `auth.webhook.scanner`. */
  readonly name: string
  /** `http:` or `https:`, without a user; its path and query are those of every call by default. */
  readonly url: string
  /** Units: ms. For a whole call: its turn, connecting, the request and all of the answer. */
  readonly timeoutMs: number
  readonly tls?: CallerTls
  readonly auth?: CallerAuth
  /** Calls under way at a time, which is also how many connections there are. */
  readonly concurrencyMax: number
  /** Calls that may wait for their turn; default 16 times `concurrencyMax`. */
  readonly waitingMax?: number
  /** Units: bytes of an answer's body; default 64 KiB. */
  readonly bodyBytesMax?: number
  /** Undefined: never opens. */
  readonly breaker?: BreakerOptions
  readonly onBreaker?: (state: BreakerState) => void
  /** Which answers the breaker counts as failures; default 5xx. */
  readonly isFailure?: (status: number) => boolean
  /** Units: ms of a clock that only goes forward. */
  readonly elapsed: () => number
}

export interface Call {
  readonly method: 'GET' | 'POST'
  /** With its query, beginning with a slash; default that of the `url`. */
  readonly path?: string
  /**
   * Names in lower case. Not `host`, `accept-encoding` or what frames a message; nor
   * `authorization` where `auth` is given. What is no header is a failed call.
   */
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** For whom; default ''. Those who wait take turns, so that one who asks much does not keep out others. */
  readonly who?: string
}

/**
 * `timeout`: no whole answer in time. `tls`: the other side could not be believed, or did not believe
 * us. `transport`: any other trouble on the way, and answers that are no HTTP. `too-long`: more than
 * the bound. `busy`: too many calls wait already, of this one most of all. `open`: the circuit breaker lets nothing through.
 */
export type CallProblem = 'timeout' | 'transport' | 'tls' | 'busy' | 'open' | 'too-long'

export interface Answer {
  readonly kind: 'answer'
  readonly status: number
  /** By lower-case name; a list where a name came more than once. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** Whole, and as sent: nothing is unpacked. */
  readonly body: Buffer
}

export interface Failed {
  readonly kind: 'failed'
  readonly problem: CallProblem
  /** For the log; holds no secret. */
  readonly detail: string
}

export type CallResult = Answer | Failed

export type BreakerState = 'closed' | 'open' | 'half-open'

export interface CallerStatus {
  readonly breaker: BreakerState
  readonly running: number
  readonly waiting: number
}

/** Contract: test/outbound/caller.test.ts. */
export interface Caller {
  /**
   * Never throws or rejects. Redirects are answers like others. A call must bear to arrive twice: one
   * whose kept connection ends before it is answered is made once more.
   */
  call(call: Call): Promise<CallResult>
  status(): CallerStatus
  /** Ends what is under way, as `transport`, and all connections; later calls fail. */
  close(): Promise<void>
}

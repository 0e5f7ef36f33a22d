// What is known of a request when it is over: metrics, the access log and traces read it.

/** What was asked for; only what the route could make something of. */
export interface RecordedAction {
  /** The name that policies use. */
  readonly kind: string
  readonly repository?: string
  readonly reference?:
    | { readonly kind: 'tag'; readonly tag: string }
    | { readonly kind: 'digest'; readonly digest: string }
  readonly digest?: string
}

/** Who asked. */
export interface RecordedIdentity {
  readonly username: string | null
  readonly authMethod: string
}

/**
 * One request, whole: its reply is complete, or its client has left. Read it before `finished` returns
 * or not at all, but for those that said before the reply that they want it, for whom it is kept.
 */
export interface RequestRecord {
  /** Upper case; '' where there was no request line. */
  readonly method: string
  /** As sent, without the query. */
  readonly path: string
  /** Its connection is over TLS; undefined where the transport refused it. */
  readonly isSecure: boolean | undefined
  /** Undefined where the request was refused before it was known. */
  readonly action: RecordedAction | undefined
  /** True where a proxy asked about a request of its own client: `action` is what that one wants. */
  readonly isForwarded: boolean
  /** Undefined where the request ended before it was known. */
  readonly identity: RecordedIdentity | undefined
  /** 499 where the client had left before there was a reply. */
  readonly status: number
  /** Of the body, as far as it was taken. */
  readonly bytesIn: number
  /** Of the body, as far as it was handed to the connection. */
  readonly bytesOut: number
  /** Monotonic, in ms. It and `durationMs` are undefined where the request was not timed. */
  readonly startMs: number | undefined
  readonly durationMs: number | undefined
  /** It was answered when it came, out of memory. Of very many such ones only some are timed. */
  readonly isAtOnce: boolean
  /** The client left, or was cut off, before it had the whole reply. */
  readonly aborted: boolean
  /** The client's, seen through trusted proxies; '' where there is none. */
  readonly address: string
  readonly userAgent: string
  /** That of a trusted proxy, else our own, made when it is first asked for. */
  readonly requestId: string
  /** As sent, where it is well-formed; else ''. */
  readonly traceparent: string
  /** Under which the audit log knows why it was refused; '' where it was not. */
  readonly decisionId: string
}

/** The status of a request whose client had left before there was a reply, as nginx has it. */
export const clientGone = 499

const traceparentForm = /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/

/** '' where it is none. Source: W3C Trace Context, "traceparent Header Field Values". */
export function checkedTraceparent(text: string): string {
  if (text === '') return ''
  // A later version may have more behind what version 00 has.
  const known = text.startsWith('00-') ? text : text.replace(/^([\da-f-]{55})-.*$/, '$1')
  return traceparentForm.test(known) ? known : ''
}

/** Of a well-formed `traceparent`; '' of none. */
export function traceIdOf(traceparent: string): string {
  return traceparent.slice(3, 35)
}

const requestIdForm = /^[\w.:/+=@-]{1,128}$/

/** '' where it is none that could be shown and searched for. */
export function checkedRequestId(text: string): string {
  return requestIdForm.test(text) ? text : ''
}

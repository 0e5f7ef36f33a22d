// What the parts of the transport contract share: a listener with its handler, and what it did.

import assert from 'node:assert/strict'
import type { BodySink } from '../../src/http/body.ts'
import { HeaderBlock } from '../../src/http/header-block.ts'
import type { Reply } from '../../src/http/reply.ts'
import { Admission, type Limit } from '../../src/server/transport/admission.ts'
import type {
  Exchange,
  Listener,
  PaceLimits,
  Transport,
  TransportOptions,
} from '../../src/server/transport/exchange.ts'
import { newEdgeCounts } from '../../src/telemetry/edge-counts.ts'
import { RawConnection, type RawTarget } from '../support/raw-http.ts'

/** What one adapter promises beyond the others. */
export interface Capabilities {
  /** `handshakeMs`, `headersMs` and `keepAliveMs` count as given; else a bound of its own, below 15 s. */
  readonly timesSilence: boolean
  /** What is no HTTP at all is answered in our form; else perhaps in another, or closed without a word. */
  readonly answersGarbage: boolean
  /** Handshakes are counted: full, resumed and failed. */
  readonly countsHandshakes: boolean
  /** Client certificates, and TLS 1.3 alone; else such a listener does not start. */
  readonly readsCertificates: boolean
  /** PROXY protocol, ahead of TLS too; else such a listener does not start. */
  readonly readsProxyHeaders: boolean
  /** Hostile requests by name which its parser, out of our reach, takes for good ones. */
  readonly isFooledBy: readonly string[]
}

/** An adapter, and what every listener of its cases is given beyond `defaultOptions`. */
export interface Way {
  readonly transport: Transport
  readonly can: Capabilities
  readonly options?: () => Partial<TransportOptions>
}

export interface TransportScene {
  readonly listener: Listener
  readonly port: number
  /** What the listener was given, so that a test can look at its counts and its admission. */
  readonly options: TransportOptions
  readonly faults: unknown[]
  /** Reasons given to `refuse`. */
  readonly refused: string[]
  /** Path of each exchange that reached the handler. */
  readonly handled: string[]
  /** Over TLS where the listener has it. `more` changes where to and how. */
  open(more?: Partial<RawTarget>): Promise<RawConnection>
}

export type SceneHandler = (exchange: Exchange) => void | Promise<void>

export const plainHeaders: HeaderBlock = new HeaderBlock([
  ['Content-Type', 'text/plain'],
  ['X-Second', 'two'],
])

export function whole(body: string | Uint8Array | undefined, status = 200): Reply {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  return { kind: 'whole', status, headers: plainHeaders, body: bytes }
}

/** So patient that no case meets a limit which it did not set. */
export const amplePace: PaceLimits = {
  handshakeMs: 60_000,
  headersMs: 60_000,
  stallMs: 60_000,
  keepAliveMs: 60_000,
  receiveRateMin: 1,
  sendRateMin: 1,
  graceMs: 60_000,
}

export const noLimits = {
  connectionsMax: 0,
  connectionsPerAddressMax: 0,
  requestsMax: 0,
  requestsPerAddressMax: 0,
} as const

const retryAfter = new HeaderBlock([
  ['Content-Type', 'text/plain'],
  ['Retry-After', '7'],
])

/** What a request beyond a limit gets: as the product does, but in words that tests can tell. */
export function busyReply(limit: Limit): Reply {
  return {
    kind: 'whole',
    status: limit === 'total' ? 503 : 429,
    headers: retryAfter,
    body: Buffer.from(`busy: ${limit}`),
  }
}

/** A plain listener on a free loopback port, without limits; counts and admission are its own. */
export function defaultOptions(
  handler: (exchange: Exchange) => void = (exchange) => exchange.send(whole('ok')),
): TransportOptions {
  return {
    socket: { kind: 'tcp', address: '127.0.0.1', port: 0 },
    tls: undefined,
    proxyProtocol: undefined,
    pace: amplePace,
    admission: new Admission(noLimits),
    counts: newEdgeCounts(),
    replyHeaders: [],
    busy: busyReply,
    handler,
    refuse: (reason) => ({
      kind: 'whole',
      status: 400,
      headers: plainHeaders,
      body: Buffer.from(`refused: ${reason}`),
      closeConnection: true,
    }),
    onFault: () => whole('fault', 500),
  }
}

/**
 * Run a test against a listener whose handler is `handler`; everything is closed behind it. A handler
 * that returns a promise is detached, as the product's pipeline does; its rejection is a fault.
 * `overrides` go over `way.options`, and these over `defaultOptions`.
 */
export async function withTransport(
  way: Transport | Way,
  handler: SceneHandler,
  run: (scene: TransportScene) => Promise<void>,
  overrides: Partial<TransportOptions> = {},
): Promise<void> {
  const transport = typeof way === 'function' ? way : way.transport
  const given = typeof way === 'function' ? {} : way.options?.()
  const faults: unknown[] = []
  const refused: string[] = []
  const handled: string[] = []
  const opened: RawConnection[] = []
  const base = defaultOptions((exchange) => {
    handled.push(exchange.path)
    const pending = handler(exchange)
    if (pending === undefined) return
    exchange.detach()
    pending.catch((error) => exchange.send(options.onFault(error)))
  })
  const merged = { ...base, ...given, ...overrides }
  const options: TransportOptions = {
    ...merged,
    refuse: (reason, asker, status) => {
      refused.push(reason)
      return merged.refuse(reason, asker, status)
    },
    onFault: (error) => {
      faults.push(error)
      return merged.onFault(error)
    },
  }
  const listener = await transport(options)
  const { port } = listener.local
  const target = targetOf(listener, options)
  const open = async (more: Partial<RawTarget> = {}): Promise<RawConnection> => {
    const connection = await RawConnection.open({ ...target, ...more })
    opened.push(connection)
    return connection
  }
  try {
    await run({ listener, port, options, faults, refused, handled, open })
  } finally {
    for (const connection of opened) connection.close()
    listener.close()
  }
}

function targetOf(listener: Listener, { socket, tls }: TransportOptions): RawTarget {
  const secured = tls === undefined ? {} : { tls: {} }
  if (socket.kind === 'unix') return { path: socket.path, ...secured }
  return { host: socket.address, port: listener.local.port, ...secured }
}

/** A request head with Host and nothing else but `lines`. */
export function requestHead(method: string, target: string, ...lines: readonly string[]): string {
  return [`${method} ${target} HTTP/1.1`, 'Host: test', ...lines, '\r\n'].join('\r\n')
}

/** Resolves in a later turn of the event loop, when uWS and node have let go of the request. */
export function later(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

const pollEveryMs = 5
const gapMaxMs = 25

/**
 * As `until`, by a clock that stands still while this process does: on a busy machine an adapter's
 * timers are as late as the test's own.
 */
export async function untilInOwnTime(
  what: string,
  condition: () => boolean,
  deadlineMs: number,
): Promise<void> {
  let passedMs = 0
  let last = performance.now()
  while (!condition()) {
    if (passedMs > deadlineMs) throw new Error(`not in ${deadlineMs} ms of running: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, pollEveryMs))
    const now = performance.now()
    passedMs += Math.min(now - last, gapMaxMs)
    last = now
  }
}

/** Until the server has ended the connection. Limits: 15 s, the most that an adapter may take. */
export function endsInTime(client: RawConnection): Promise<void> {
  return untilInOwnTime('the end of the connection', () => client.isOver, silenceMaxMs)
}

export const silenceMaxMs = 15_000

/** As `withTransport`, with one connection open. */
export function withClient(
  way: Transport | Way,
  handler: SceneHandler,
  run: (client: RawConnection, scene: TransportScene) => Promise<void>,
  overrides: Partial<TransportOptions> = {},
): Promise<void> {
  return withTransport(way, handler, async (scene) => run(await scene.open(), scene), overrides)
}

export interface Collected {
  readonly chunks: Buffer[]
  bytes: number
  lasts: number
  aborts: number
}

/** A sink that keeps what it gets, and its running counts. */
export function collector(): Collected & BodySink {
  const collected: Collected & BodySink = {
    chunks: [],
    bytes: 0,
    lasts: 0,
    aborts: 0,
    onChunk(chunk, last) {
      assert.equal(collected.lasts + collected.aborts, 0, 'called after the end')
      collected.chunks.push(Buffer.from(chunk))
      collected.bytes += chunk.length
      if (last) collected.lasts += 1
    },
    onAbort() {
      assert.equal(collected.lasts, 0, 'aborted after the end')
      collected.aborts += 1
    },
  }
  return collected
}

/** Take the whole body. Errors: an Error when it is aborted. */
export function readBody(exchange: Exchange): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    exchange.body.consume({
      onChunk: (chunk, last) => {
        chunks.push(Buffer.from(chunk))
        if (last) resolve(Buffer.concat(chunks))
      },
      onAbort: () => reject(new Error('aborted')),
    })
  })
}

// What the parts of the transport contract share: a listener with its handler, and what it did.

import assert from 'node:assert/strict'
import type { BodySink } from '../../src/http/body.ts'
import { HeaderBlock } from '../../src/http/header-block.ts'
import type { Reply } from '../../src/http/reply.ts'
import type { Exchange, Listener, Transport } from '../../src/server/transport/exchange.ts'
import { RawConnection } from '../support/raw-http.ts'

export interface TransportScene {
  readonly listener: Listener
  readonly port: number
  readonly faults: unknown[]
  /** Reasons given to `refuse`. */
  readonly refused: string[]
  /** Path of each exchange that reached the handler. */
  readonly handled: string[]
  open(): Promise<RawConnection>
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

/**
 * Run a test against a listener whose handler is `handler`; everything is closed behind it. A handler
 * that returns a promise is detached, as the product's pipeline does; its rejection is a fault.
 */
export async function withTransport(
  transport: Transport,
  handler: SceneHandler,
  run: (scene: TransportScene) => Promise<void>,
): Promise<void> {
  const faults: unknown[] = []
  const refused: string[] = []
  const handled: string[] = []
  const opened: RawConnection[] = []
  const onFault = (error: unknown): Reply => {
    faults.push(error)
    return whole('fault', 500)
  }
  const listener = await transport({
    address: '127.0.0.1',
    port: 0,
    handler: (exchange) => {
      handled.push(exchange.path)
      const pending = handler(exchange)
      if (pending === undefined) return
      exchange.detach()
      pending.catch((error) => exchange.send(onFault(error)))
    },
    refuse: (reason) => {
      refused.push(reason)
      return {
        kind: 'whole',
        status: 400,
        headers: plainHeaders,
        body: Buffer.from(`refused: ${reason}`),
        closeConnection: true,
      }
    },
    onFault,
  })
  const { port } = listener.local
  const open = async (): Promise<RawConnection> => {
    const connection = await RawConnection.open(port)
    opened.push(connection)
    return connection
  }
  try {
    await run({ listener, port, faults, refused, handled, open })
  } finally {
    for (const connection of opened) connection.close()
    listener.close()
  }
}

/** A request head with Host and nothing else but `lines`. */
export function requestHead(method: string, target: string, ...lines: readonly string[]): string {
  return [`${method} ${target} HTTP/1.1`, 'Host: test', ...lines, '\r\n'].join('\r\n')
}

/** Resolves in a later turn of the event loop, when uWS and node have let go of the request. */
export function later(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

/** As `withTransport`, with one connection open. */
export function withClient(
  transport: Transport,
  handler: SceneHandler,
  run: (client: RawConnection, scene: TransportScene) => Promise<void>,
): Promise<void> {
  return withTransport(transport, handler, async (scene) => run(await scene.open(), scene))
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

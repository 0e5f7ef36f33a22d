// Loads a server over TLS in ways that wrk alone cannot: see tls-script.ts.

import { findProgram, runToEnd } from '../children.ts'
import type { DriverResult, RoundContext, Server } from '../contract.ts'
import { authorizationLines } from './get.ts'
import { scriptFile } from './script-file.ts'
import { TLS_SCRIPT } from './tls-script.ts'

export interface TlsOrder {
  /**
   * `handshake`: connections that end when the handshake is done; `connect`: one request on each
   * connection; `keepalive`: all requests on as many connections as there are.
   */
  readonly mode: 'handshake' | 'connect' | 'keepalive'
  readonly version: '1.2' | '1.3'
  /** Every connection resumes the session of one that was opened off the clock. */
  readonly resume: boolean
  /** What is asked for, with status 200; of a handshake, only where the ticket comes from. */
  readonly path: string
  readonly headers: readonly string[]
  readonly connections: number
}

interface TlsResult extends DriverResult {
  readonly full: number
  readonly resumed: number
  readonly driver: string
}

export const TLS_DRIVER = 'wrk (own TLS loop)'

const GRACE_MS = 30_000

let script: string | undefined

function environment(
  server: Server,
  order: TlsOrder,
  context: RoundContext,
): Record<string, string> {
  const { credentials, authorization } = server
  if (credentials === undefined) throw new Error(`${server.name} does not speak TLS`)
  const start = [`GET ${order.path} HTTP/1.1`, `Host: localhost:${server.port}`]
  const head = [...start, ...authorizationLines(authorization)]
  const shown: Record<string, string> =
    credentials.client === undefined
      ? {}
      : {
          BENCH_CERTIFICATE: credentials.client.certificateFile,
          BENCH_KEY: credentials.client.keyFile,
        }
  return {
    BENCH_MODE: order.mode,
    BENCH_PORT: String(server.port),
    BENCH_CONNECTIONS: String(order.connections),
    BENCH_SECONDS: String(context.seconds),
    BENCH_STATUS: '200',
    BENCH_REQUEST: [...head, ...order.headers, '', ''].join('\r\n'),
    BENCH_TLS_VERSION: order.version,
    BENCH_RESUME: order.resume ? '1' : '0',
    ...shown,
  }
}

/**
 * One round. Errors: Error where wrk is absent, an answer is not 200, a handshake fails, or one was
 * full that should have been resumed.
 */
export async function tlsLoad(
  server: Server,
  order: TlsOrder,
  context: RoundContext,
): Promise<TlsResult> {
  const program = findProgram('wrk')
  if (program === undefined) throw new Error('wrk is not installed, and its LuaJIT runs this load')
  script ??= scriptFile(TLS_SCRIPT)
  const output = await runToEnd(
    context.loadCores,
    // wrk runs the script, which never returns, before it opens a connection of its own.
    [program, '-t1', '-c1', '-d1s', '-s', script, `http://127.0.0.1:${server.port}/`],
    context.seconds * 1000 + GRACE_MS,
    environment(server, order, context),
  )
  const line = /^RESULT (.*)$/m.exec(output)?.[1]
  if (line === undefined) throw new Error(`the TLS load said: ${output.slice(0, 400)}`)
  const result = JSON.parse(line) as Omit<TlsResult, 'driver'>
  const unwanted = order.resume ? result.full : result.resumed
  if (unwanted > 0) {
    throw new Error(`${result.full} full and ${result.resumed} resumed handshakes`)
  }
  return { ...result, driver: TLS_DRIVER }
}

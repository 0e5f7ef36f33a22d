// As many requests per second as the load core can send: wrk where installed, else autocannon.

import { createRequire } from 'node:module'
import { findProgram, runToEnd } from '../children.ts'
import type { DriverResult, Round, RoundContext, Server } from '../contract.ts'
import { authorizationLines } from './get.ts'
import { scriptFile } from './script-file.ts'
import { repeatSequence } from './sequence.ts'
import { GET_SCRIPT } from './wrk-script.ts'

export interface Request {
  readonly method: 'GET' | 'HEAD'
  readonly path: string
  readonly status: number
  readonly headers: readonly string[]
}

interface DrivenResult extends DriverResult {
  readonly driver: string
}

type Tool = (server: Server, request: Request, context: RoundContext) => Promise<DrivenResult>

const GRACE_MS = 30_000

function isBodyless({ method, status }: Request): boolean {
  return method === 'HEAD' || status === 304
}

function urlOf({ port, credentials }: Server, { path }: Request): string {
  return `${credentials === undefined ? 'http' : 'https'}://127.0.0.1:${port}${path}`
}

function deadlineMs(context: RoundContext): number {
  return context.seconds * 1000 + GRACE_MS
}

function wrk(program: string): Tool {
  const script = scriptFile(GET_SCRIPT)
  return async (server, request, context) => {
    const output = await runToEnd(
      context.loadCores,
      [
        ...[program, '-t1', `-c${context.connections}`, `-d${context.seconds}s`],
        ...request.headers.flatMap((line) => ['-H', line]),
        ...['-s', script, urlOf(server, request)],
      ],
      deadlineMs(context),
    )
    const line = /^RESULT (.*)$/m.exec(output)?.[1]
    if (line === undefined) throw new Error(`wrk said: ${output.slice(-400)}`)
    const result = JSON.parse(line) as DriverResult & { readonly errors: number }
    if (result.errors > 0) throw new Error(`wrk counted ${result.errors} errors`)
    return { ...result, driver: 'wrk' }
  }
}

interface AutocannonResult {
  readonly requests: { readonly total: number }
  readonly throughput: { readonly total: number }
  readonly duration: number
  readonly errors: number
  readonly non2xx: number
  readonly latency: {
    readonly p50: number
    readonly p90: number
    readonly p99: number
    readonly p99_9: number
  }
}

function autocannon(): Tool {
  const program = createRequire(import.meta.url).resolve('autocannon/autocannon.js')
  return async (server, request, context) => {
    const { connections, seconds } = context
    const output = await runToEnd(
      context.loadCores,
      [
        ...[process.execPath, program, '--json', '-m', request.method],
        ...['-c', String(connections), '-d', String(seconds)],
        ...request.headers.flatMap((line) => ['-H', line]),
        urlOf(server, request),
      ],
      deadlineMs(context),
    )
    const said = JSON.parse(output) as AutocannonResult
    if (said.errors + said.non2xx > 0 || said.requests.total === 0) {
      throw new Error(`autocannon: ${said.errors} errors, ${said.non2xx} refusals`)
    }
    const { p50, p90, p99, p99_9 } = said.latency
    return {
      requests: said.requests.total,
      bytes: said.throughput.total,
      seconds: said.duration,
      latencyMs: { p50, p90, p99, p999: p99_9 },
      driver: 'autocannon',
    }
  }
}

let chosen: Tool | undefined

function tool(): Tool {
  if (chosen === undefined) {
    const program =
      process.env['KEELSON_BENCH_LOAD'] === 'autocannon' ? undefined : findProgram('wrk')
    chosen = program === undefined ? autocannon() : wrk(program)
  }
  return chosen
}

/** One round of one repeated request. Errors: Error when any answer has another status. */
export async function requestRate(
  server: Server,
  request: Request,
  context: RoundContext,
): Promise<Round> {
  const shown = authorizationLines(server.authorization)
  const authorized = { ...request, headers: [...shown, ...request.headers] }
  const { connections, seconds } = context
  // Both wrk and autocannon wait for a body that never comes.
  const result = isBodyless(authorized)
    ? await repeatSequence(
        server.port,
        { steps: [{ ...authorized, body: '' }], connections, seconds },
        context,
      )
    : await tool()(server, authorized, context)
  return { ...result, figure: result.requests / result.seconds }
}

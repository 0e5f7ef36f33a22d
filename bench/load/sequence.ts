// One sequence of small requests over and over on many connections: by a script inside wrk where
// that is installed, since a client in Node is slower than the servers that it measures.

import { findProgram, runToEnd } from '../children.ts'
import type { DriverResult, RoundContext } from '../contract.ts'
import { drive } from './drive.ts'
import { scriptFile } from './script-file.ts'
import { SEQUENCE_SCRIPT } from './sequence-script.ts'

export interface Step {
  readonly method: 'GET' | 'HEAD' | 'PUT'
  readonly path: string
  readonly headers: readonly string[]
  /** Text; Content-Length is added. */
  readonly body: string
  /** Any other answer ends the round as a failure. */
  readonly status: number
}

export interface SequenceOrder {
  readonly steps: readonly Step[]
  readonly connections: number
  readonly seconds: number
}

interface SequenceResult extends DriverResult {
  readonly driver: string
}

const GRACE_MS = 30_000

let script: string | undefined

function withLength(step: Step): Step {
  if (step.method !== 'PUT') return step
  const length = `Content-Length: ${Buffer.byteLength(step.body)}`
  return { ...step, headers: [...step.headers, length] }
}

function lineOf({ method, path, headers, body, status }: Step, port: number): string {
  const head = [`${method} ${path} HTTP/1.1`, `Host: 127.0.0.1:${port}`, ...headers, '', body]
  const hex = Buffer.from(head.join('\r\n')).toString('hex')
  const bodyless = method === 'HEAD' || status === 304
  return `${status} ${bodyless ? 1 : 0} ${hex}\n`
}

/** One round; its requests are whole sequences. Errors: Error where an answer is another. */
export async function repeatSequence(
  port: number,
  order: SequenceOrder,
  context: RoundContext,
): Promise<SequenceResult> {
  const steps = order.steps.map(withLength)
  const program =
    process.env['KEELSON_BENCH_LOAD'] === 'autocannon' ? undefined : findProgram('wrk')
  if (program === undefined) {
    const ported = { ...order, steps, port }
    const result = await drive('sequence-driver', ported, context)
    return { ...result, driver: 'node socket' }
  }
  script ??= scriptFile(SEQUENCE_SCRIPT)
  const output = await runToEnd(
    context.loadCores,
    // wrk runs the script, which never returns, before it opens a connection of its own.
    [program, '-t1', '-c1', '-d1s', '-s', script, `http://127.0.0.1:${port}/`],
    order.seconds * 1000 + GRACE_MS,
    {
      BENCH_PORT: String(port),
      BENCH_CONNECTIONS: String(order.connections),
      BENCH_SECONDS: String(order.seconds),
      BENCH_SEQUENCE: scriptFile(steps.map((step) => lineOf(step, port)).join('')),
    },
  )
  const line = /^RESULT (.*)$/m.exec(output)?.[1]
  if (line === undefined) throw new Error(`the sequence said: ${output.slice(0, 400)}`)
  return { ...(JSON.parse(line) as DriverResult), driver: 'wrk (own loop)' }
}

// Traces, where the configuration asks for them; else nothing of it is even loaded.

import type { Config } from '../config/schema.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Tracing } from '../tracing/contract.ts'
import type { Closers } from './closers.ts'

interface TracingAround {
  /** Of this build. */
  readonly version: string
  readonly log: Logger
  readonly closers: Closers
}

/** Errors: Error for an endpoint that cannot be used. */
export async function openConfiguredTracing(
  { tracing }: Config,
  { version, log, closers }: TracingAround,
): Promise<Tracing | undefined> {
  if (tracing === undefined) return undefined
  const { openTracing } = await import('../tracing/open.ts')
  const open = openTracing(tracing, { version, log })
  closers.add(() => open.close())
  return open
}

// Runs the registry until a signal ends it.

import type { Config } from '../config/schema.ts'
import { type Runtime, startRuntime } from '../runtime.ts'
import { createLog } from '../telemetry/log.ts'
import { exitCodes } from './command.ts'

/** Resolves to the exit code once the server has stopped. `notice` is for the operator, at start. */
export async function runServer(config: Config, notice?: string): Promise<number> {
  const { log, flush } = createLog(config.log)
  if (notice !== undefined) log.warn(notice)
  const stopped = waitForSignal()
  let runtime: Runtime | undefined
  // From the start to the end: without a handler this signal would end the process. What changes while
  // it starts is seen without it.
  process.on('SIGHUP', () => {
    runtime?.reload().catch((error: unknown) => log.error({ err: error }, 'reload failed'))
  })
  try {
    runtime = await startRuntime(config, log)
    const listening = runtime.listeners.map(({ listener, transport, tls }) => {
      return { ...listener.local, transport, tls }
    })
    const [first, ...others] = listening
    const admin = runtime.admin?.socket
    const more = others.length > 0 ? { others } : {}
    log.info({ ...first, ...more, admin, pid: process.pid }, 'serving')
    const signal = await stopped
    log.info({ signal }, 'stopping: finishing what is in flight')
    const isClean = await runtime.stop()
    if (!isClean) log.warn('server.shutdown_timeout passed: requests were cut')
    log.info('stopped')
    return exitCodes.ok
  } catch (error) {
    log.fatal({ err: error }, error instanceof Error ? error.message : 'cannot start')
    return exitCodes.failed
  } finally {
    flush()
  }
}

function waitForSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      // A second one finds no handler and ends the process at once.
      process.once(signal, () => resolve(signal))
    }
  })
}

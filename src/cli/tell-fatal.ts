// The last line of a server that cannot start.

import type { Logger } from '../telemetry/log.ts'

/** What the system refuses is told in a line; whatever else it is, its stack helps to find it. */
export function tellFatal(log: Pick<Logger, 'fatal'>, error: unknown): void {
  if (!(error instanceof Error)) log.fatal({ err: error }, 'cannot start')
  else if (isOfSystem(error)) log.fatal(`cannot start: ${error.message}`)
  else log.fatal({ err: error }, error.message)
}

// The system's own codes begin with E, as do those of Node.js, which are longer: ERR_….
function isOfSystem(error: Error): boolean {
  return 'code' in error && typeof error.code === 'string' && /^E(?!RR_)[A-Z]/.test(error.code)
}

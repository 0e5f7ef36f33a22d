// The log: pino with an asynchronous destination, so that a slow disk never blocks a reply.

import { type Logger, pino } from 'pino'

export type { Logger } from 'pino'

interface LogOptions {
  readonly level: string
  readonly format: 'json' | 'human'
}

// What may wait in memory for a slow reader of the log; beyond it lines are dropped, not replies.
const waitingBytesMax = 4 * 1024 * 1024

const levelNames: Readonly<Record<string, string>> = {
  10: 'TRACE',
  20: 'DEBUG',
  30: 'INFO',
  40: 'WARN',
  50: 'ERROR',
  60: 'FATAL',
}

export interface Log {
  readonly log: Logger
  /** Write what waits, before the process ends. */
  flush(): void
}

/** Writes to standard output: one JSON object a line, or one line of text. */
export function createLog(options: LogOptions): Log {
  const destination = pino.destination({ dest: 1, sync: false, maxLength: waitingBytesMax })
  const stream =
    options.format === 'json'
      ? destination
      : { write: (line: string): void => void destination.write(humanLine(line)) }
  const log = pino(
    { level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    stream,
  )
  return { log, flush: () => destination.flushSync() }
}

function humanLine(line: string): string {
  const { level, time, msg, ...rest } = JSON.parse(line) as Record<string, unknown>
  const more = Object.entries(rest).map(([key, value]) =>
    typeof value === 'object' && value !== null && 'stack' in value
      ? `\n  ${String(value.stack)}`
      : `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  return `${[String(time), levelNames[String(level)] ?? '', String(msg), ...more].join(' ')}\n`
}

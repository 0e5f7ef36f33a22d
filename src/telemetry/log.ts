// The log: pino, with a destination that never holds a reply up.
import { fstatSync } from 'node:fs'
import { type Logger, pino } from 'pino'
import { LogDestination, type LogFigures } from './log-destination.ts'
import { loggedError } from './log-error.ts'
import { createLineForm, isJournal } from './log-line.ts'
import { createMask, type LogMask } from './log-mask.ts'
import { type LogSink, openSink } from './log-sink.ts'

export type { Logger } from 'pino'

export interface LogOptions {
  readonly level: string
  readonly format: 'json' | 'human'
  readonly mask?: readonly LogMask[] | undefined
  /** Default 1, standard output; 2 for commands, whose output is another thing. */
  readonly descriptor?: 1 | 2
  /** Which of several processes that write to the same place this is; each line tells. */
  readonly process?: number | 'supervisor'
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** A way for lines of level `info` that their writer has formatted: as the log would, to the byte. */
export interface PlainLines {
  /** Whether the log would change nothing about a plain line now. */
  areTaken(): boolean
  /** What a line of that time begins with, up to its first field. Units: ms since the epoch. */
  begin(timeMs: number): string
  /** `line`: printable ASCII and a newline, shorter than any limit. */
  write(line: string): void
}

const plainLines = new WeakMap<Logger, PlainLines>()

/** Undefined where the log writes no JSON. */
export function plainLinesOf(log: Logger): PlainLines | undefined {
  return plainLines.get(log)
}

export interface Log {
  readonly log: Logger
  /** The level of the configuration. */
  setLevel(level: string): void
  /** Show `debug` too, whatever the level of the configuration is, until it is turned off. */
  setDebug(isOn: boolean): void
  /** Turns it on or off; which of the two. */
  toggleDebug(): boolean
  setMask(masks: readonly LogMask[] | undefined): void
  figures(): LogFigures
  /** Write what waits, before the process ends: for two seconds at most. True where all is written. */
  flush(): Promise<boolean>
  /** As far as that can be done without waiting. */
  flushNow(): void
}

// What may wait in memory for a slow reader of the log; beyond it lines are dropped, not replies.
const waitingBytesMax = 4 * 1024 * 1024
const flushMs = 2000
const retryMs = 1000
// The system writes so much to a pipe in one piece, beside other processes. Source: pipe(7).
const unmixedBytesMax = 4096
const lineBytesMax = 16 * 1024
const writeBytesMax = 64 * 1024

/** Writes one JSON object a line, or one line of text. */
export function createLog(options: LogOptions): Log {
  const descriptor = options.descriptor ?? 1
  const journalStream = (options.env ?? process.env)['JOURNAL_STREAM']
  const log = createLogOn(openSink(descriptor), {
    ...options,
    isForJournal: isJournal(journalStream, fstatSync(descriptor, { bigint: true })),
    onFault: (fault) => tellOnStandardError(descriptor, fault),
  })
  // For an end that nobody planned; `flush` is for the others.
  process.once('exit', () => log.flushNow())
  return log
}

/** What `createLog` finds out for itself. */
export interface LogPlace extends Omit<LogOptions, 'descriptor' | 'env'> {
  readonly isForJournal: boolean
  readonly onFault: (fault: string) => void
}

/** The same on another sink. */
export function createLogOn(sink: LogSink, place: LogPlace): Log {
  const { format, isForJournal, onFault } = place
  const isAlone = place.process === undefined
  const bytesMax = isAlone ? lineBytesMax : unmixedBytesMax
  const form = createLineForm({ format, bytesMax, isForJournal })
  const destination = new LogDestination({
    ...{ sink, waitingBytesMax, retryMs, onFault },
    writeBytesMax: isAlone ? writeBytesMax : unmixedBytesMax,
    onRecovery: (dropped, fault) => {
      if (fault === undefined)
        log.warn({ dropped }, 'lines were dropped: the log is read too slowly')
      else log.warn({ dropped, fault }, 'the log can be written again')
    },
  })
  let mask = createMask(place.mask ?? [])
  let isMasked = (place.mask ?? []).length > 0
  let level = place.level
  let isDebug = false
  const log = pino(
    {
      level,
      base: isAlone ? null : { process: place.process },
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: loggedError },
      formatters: { log: (fields) => mask(fields) as Record<string, unknown> },
    },
    { write: (json) => destination.write(form(json)) },
  )
  if (format === 'json') {
    const begin = `${isForJournal ? '<6>' : ''}{"level":30,"time":"`
    const whose = isAlone ? '' : `,"process":${JSON.stringify(place.process)}`
    plainLines.set(log, {
      areTaken: () => !isMasked,
      begin: (timeMs) => `${begin}${new Date(timeMs).toISOString()}"${whose}`,
      write: (line) => destination.write(line, line.length),
    })
  }
  const apply = (): void => {
    log.level = isDebug && log.levels.values[level] !== 10 ? 'debug' : level
  }
  const setDebug = (isOn: boolean): void => {
    isDebug = isOn
    apply()
  }
  return {
    log,
    setDebug,
    setLevel: (next) => {
      level = next
      apply()
    },
    toggleDebug: () => {
      setDebug(!isDebug)
      return isDebug
    },
    setMask: (masks) => {
      mask = createMask(masks ?? [])
      isMasked = (masks ?? []).length > 0
    },
    figures: () => destination.figures(),
    flush: () => destination.flush(flushMs),
    flushNow: () => destination.flushNow(),
  }
}

// Whoever looks why the log ends finds it there. Not where that is the same place.
function tellOnStandardError(descriptor: 1 | 2, fault: string): void {
  if (descriptor === 2) return
  const text = `keelson: the log cannot be written (${fault}); trying again each second\n`
  openSink(2).write(Buffer.from(text), () => {})
}

// Tells the service manager how the server is: sd_notify(3). Node has no unix datagram sockets, so each
// message is sent by `systemd-notify`.

import { accessSync, constants } from 'node:fs'
import type { Logger } from '../telemetry/log.ts'
import { Sender } from './sender.ts'

/** Every call returns at once and never fails; without a service manager it does nothing. */
export interface ServiceManager {
  /** The start, or the reload that `reloading` announced, is over: everything serves. */
  ready(status?: string): void
  reloading(): void
  /** `withinMs`: how long it may take, however short `TimeoutStopSec=` is. */
  stopping(withinMs?: number): void
  /** One line for `systemctl status`. */
  status(text: string): void
  /** One beat for the watchdog. */
  alive(): void
  /** Without a beat for so long the service is killed. Undefined where nobody waits for beats. */
  readonly watchdogMs: number | undefined
  /** Resolves when everything so far is told or given up, and nothing of it runs any more. */
  close(): Promise<void>
}

/** For tests. */
export interface NotifyOptions {
  /** Where `systemd-notify` is looked for; default: where distributions have it. */
  readonly programs?: readonly string[]
  readonly deadlineMs?: number
}

type Warn = Pick<Logger, 'warn'>

const programsDefault = [
  '/usr/bin/systemd-notify',
  '/bin/systemd-notify',
  '/run/current-system/sw/bin/systemd-notify',
]
// As long as systemd-notify itself waits for the manager to have read the message.
const deadlineMsDefault = 6_000
// What the manager still shows in one line.
const statusCharsMax = 200
// The manager counts from the message on, which takes its time.
const stopMarginMs = 15_000
const usPerMs = 1000

const variables = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'] as const

/**
 * Takes the manager's variables out of `env`, so that no child process speaks for the service.
 * Limits: one message at a time and 16 waiting, 6 s for each; the first failure is logged.
 * Source: sd_notify(3), sd_watchdog_enabled(3); the unit needs `NotifyAccess=all`.
 */
export function connectServiceManager(
  env: NodeJS.ProcessEnv,
  log: Warn,
  options: NotifyOptions = {},
): ServiceManager {
  const [socket, watchdogUs, watchdogPid] = variables.map((name) => env[name])
  for (const name of variables) delete env[name]
  if (socket === undefined || socket === '') return noManager
  const program = (options.programs ?? programsDefault).find(isExecutable)
  if (program === undefined) {
    log.warn('systemd waits for messages, but systemd-notify is not installed')
    return noManager
  }
  let hasFailed = false
  const sender = new Sender({
    ...{ program, socket, deadlineMs: options.deadlineMs ?? deadlineMsDefault },
    onFailure: (error) => {
      if (!hasFailed) log.warn({ err: error }, 'systemd could not be told the state of the server')
      hasFailed = true
    },
  })
  return {
    ready: (status) => sender.send('READY=1', statusLine(status)),
    // The clock is what tells this reload from the one before.
    reloading: () => sender.send('RELOADING=1', `MONOTONIC_USEC=${monotonicUs()}`),
    stopping: (withinMs) => sender.send('STOPPING=1', extension(withinMs)),
    status: (text) => sender.send(statusLine(text)),
    alive: () => sender.sendNow('WATCHDOG=1'),
    watchdogMs: watchdogOf(watchdogUs, watchdogPid),
    close: () => sender.close(),
  }
}

const noManager: ServiceManager = {
  ready: () => {},
  reloading: () => {},
  stopping: () => {},
  status: () => {},
  alive: () => {},
  watchdogMs: undefined,
  close: () => Promise.resolve(),
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function statusLine(text: string | undefined): string {
  // A line end would begin another variable.
  const line = text?.replaceAll(/\p{Cc}+/gu, ' ').slice(0, statusCharsMax)
  return line === undefined ? '' : `STATUS=${line}`
}

function extension(withinMs: number | undefined): string {
  if (withinMs === undefined) return ''
  return `EXTEND_TIMEOUT_USEC=${Math.round((withinMs + stopMarginMs) * usPerMs)}`
}

// CLOCK_MONOTONIC, as the manager has it.
function monotonicUs(): bigint {
  return process.hrtime.bigint() / 1000n
}

// Where another process is meant, the beats are that one's.
function watchdogOf(us: string | undefined, pid: string | undefined): number | undefined {
  if (pid !== undefined && pid !== '' && pid !== String(process.pid)) return undefined
  const ms = /^[1-9]\d*$/.test(us ?? '') ? Number(us) / usPerMs : 0
  return ms > 0 ? ms : undefined
}

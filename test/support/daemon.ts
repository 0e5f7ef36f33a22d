// Answers for child processes that a test starts: each leads its own process group, is ready only
// when it says so, and is killed with all its children when the test process ends.
import { type ChildProcess, spawn } from 'node:child_process'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface DaemonOptions<Ready> {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  /** Reads one output line; anything but `undefined` means that the daemon serves. */
  readonly onLine?: (line: string) => Ready | undefined
  /** Asked every 50 ms, for daemons that say nothing when they are ready. */
  readonly probe?: () => Promise<Ready | undefined>
  readonly readyTimeoutMs?: number
}

export interface Daemon<Ready> {
  readonly ready: Ready
  readonly pid: number
  /** Lines of stdout and stderr in order of arrival; the oldest go first beyond 10,000. */
  readonly log: string[]
  readonly exited: Promise<Exit>
  /** SIGTERM, then SIGKILL to the whole group after `graceMs` (default 10,000). */
  stop(graceMs?: number): Promise<Exit>
  /** SIGKILL to the whole group, without waiting. */
  kill(): void
}

const logLinesMax = 10_000
const probeEveryMs = 50
const groups = new Set<number>()

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // The group is already empty.
  }
}

function killAllGroups(): void {
  for (const pid of groups) killGroup(pid)
}

process.once('exit', killAllGroups)
// The default action of these signals skips 'exit' handlers and would orphan the daemons.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => process.exit(1))
}

function readLines(stream: Readable, onLine: (line: string) => void): void {
  createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', onLine)
}

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
}

async function probeUntilReady<Ready>(
  probe: () => Promise<Ready | undefined>,
  isOver: () => boolean,
  done: (ready: Ready) => void,
): Promise<void> {
  while (!isOver()) {
    const ready = await probe()
    if (ready !== undefined) return done(ready)
    await new Promise((resolve) => setTimeout(resolve, probeEveryMs))
  }
}

/**
 * Start a process in its own group and wait until it is ready.
 * Limits: `readyTimeoutMs`, default 30,000; then the group is killed.
 * Errors: an Error with the last output lines if it exits or stays silent instead.
 */
export async function startDaemon<Ready>(options: DaemonOptions<Ready>): Promise<Daemon<Ready>> {
  const { command, args, onLine, probe, readyTimeoutMs = 30_000 } = options
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const exited = exitOf(child)
  const pid = child.pid
  if (pid === undefined) throw new Error(`cannot start ${command}`, { cause: await fault(exited) })
  groups.add(pid)
  const log: string[] = []
  const kill = (): void => killGroup(pid)
  const gone = exited.then((exit) => {
    kill()
    groups.delete(pid)
    return exit
  })
  let isOver = false
  const ready = await new Promise<Ready>((resolve, reject) => {
    const giveUp = (why: string): void => {
      isOver = true
      kill()
      reject(new Error(`${command} ${why}\n${log.slice(-40).join('\n')}`))
    }
    const timer = setTimeout(() => giveUp(`not ready in ${readyTimeoutMs} ms`), readyTimeoutMs)
    const done = (value: Ready): void => {
      isOver = true
      clearTimeout(timer)
      resolve(value)
    }
    const take = (line: string): void => {
      log.push(line)
      if (log.length > logLinesMax) log.shift()
      const value = isOver ? undefined : onLine?.(line)
      if (value !== undefined) done(value)
    }
    readLines(child.stdout, take)
    readLines(child.stderr, take)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      if (!isOver) giveUp(`ended before it was ready (${signal ?? `code ${code}`})`)
    })
    if (probe) probeUntilReady(probe, () => isOver, done).catch((error) => giveUp(String(error)))
  })
  const stop = async (graceMs = 10_000): Promise<Exit> => {
    child.kill('SIGTERM')
    const timer = setTimeout(kill, graceMs)
    return gone.finally(() => clearTimeout(timer))
  }
  return { ready, pid, log, exited: gone, stop, kill }
}

/** Start a daemon that is ready when it accepts connections on the unix socket at `path`. */
export function startListening(
  path: string,
  command: string,
  args: readonly string[],
): Promise<Daemon<true>> {
  const probe = (): Promise<true | undefined> =>
    new Promise((resolve) => {
      const socket = connect(path)
      socket.once('error', () => resolve(undefined))
      socket.once('connect', () => {
        socket.destroy()
        resolve(true)
      })
    })
  return startDaemon({ command, args, probe })
}

async function fault(exited: Promise<Exit>): Promise<unknown> {
  return exited.then(
    () => undefined,
    (error: unknown) => error,
  )
}

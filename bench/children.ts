// Every process that the bench starts: pinned to its cores, in a group of its own, and ended with
// the bench whatever way that goes (return, failure, Ctrl-C).

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { openSync, readFileSync } from 'node:fs'

const running = new Set<ChildProcess>()
const farewells: (() => void)[] = []

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // The group is gone already, which is what we wanted.
  }
}

function endEverything(): void {
  for (const child of running) signalGroup(child, 'SIGKILL')
  running.clear()
  for (const farewell of farewells.splice(0)) farewell()
}

/** Run `farewell` (synchronous) when the bench ends, after all children were killed. */
export function atEnd(farewell: () => void): void {
  farewells.push(farewell)
}

/** Arrange that no child outlives this process. Call once, first. */
export function superviseChildren(): void {
  process.on('exit', endEverything)
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.on(signal, () => process.exit(code))
  }
}

function track(child: ChildProcess): ChildProcess {
  running.add(child)
  child.once('exit', () => running.delete(child))
  child.once('error', () => running.delete(child))
  return child
}

function pinned(cores: string | undefined, command: readonly string[]): [string, string[]] {
  const [program = '', ...rest] = command
  return cores === undefined ? [program, rest] : ['taskset', ['-c', cores, program, ...rest]]
}

/** Start a long-lived server; its output goes to `logFile`, so that no pipe slows it. */
export function startServer(
  cores: string | undefined,
  command: readonly string[],
  logFile: string,
): ChildProcess {
  const log = openSync(logFile, 'a')
  const [program, args] = pinned(cores, command)
  return track(spawn(program, args, { detached: true, stdio: ['ignore', log, log] }))
}

/**
 * Run a program to its end and give its standard output.
 * Units: `deadlineMs`. Errors: Error with the end of stderr when it fails or is overdue.
 */
export function runToEnd(
  cores: string | undefined,
  command: readonly string[],
  deadlineMs: number,
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  const [program, args] = pinned(cores, command)
  const env = { ...process.env, ...environment }
  const child = track(
    spawn(program, args, { detached: true, env, stdio: ['ignore', 'pipe', 'pipe'] }),
  )
  const output: Buffer[] = []
  const complaint: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => complaint.push(chunk))
  let overdue = false
  const timer = setTimeout(() => {
    overdue = true
    signalGroup(child, 'SIGKILL')
  }, deadlineMs)
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => {
      clearTimeout(timer)
      reject(cause)
    })
    child.once('close', (code) => {
      clearTimeout(timer)
      if (code === 0) return resolve(Buffer.concat(output).toString())
      const tail = Buffer.concat(complaint).toString().slice(-800)
      const reason = overdue ? `not done after ${deadlineMs} ms` : `exit ${code}`
      reject(new Error(`${command[0]}: ${reason}: ${tail}`))
    })
  })
}

/** SIGTERM, then SIGKILL after `graceMs`; resolves when the process is gone. */
export async function stopServer(child: ChildProcess, graceMs = 10_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  signalGroup(child, 'SIGTERM')
  const timer = setTimeout(() => signalGroup(child, 'SIGKILL'), graceMs)
  await gone
  clearTimeout(timer)
}

/** Resolve when `GET /v2/`-like `probe` says yes; reject when the server ends or 30 s are over. */
export async function untilReady(
  child: ChildProcess,
  logFile: string,
  probe: () => Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + 30_000
  while (performance.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null) break
    if (await probe()) return
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error(`${child.spawnargs.join(' ')} is not ready: ${logTail(logFile)}`)
}

function logTail(logFile: string): string {
  return readFileSync(logFile, 'utf8').slice(-800)
}

/** First of the usual places where `program` can be run, or undefined. */
export function findProgram(program: string): string | undefined {
  const path = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`
  const found = spawnSync('/bin/sh', ['-c', 'command -v "$0"', program], {
    env: { PATH: path },
    encoding: 'utf8',
  })
  return found.status === 0 ? found.stdout.trim() : undefined
}

/** What `program args` prints (both streams), trimmed; undefined where it is not installed. */
export function programSays(program: string, ...args: string[]): string | undefined {
  const path = findProgram(program)
  if (path === undefined) return undefined
  const said = spawnSync(path, args, { encoding: 'utf8' })
  return `${said.stdout}${said.stderr}`.trim()
}

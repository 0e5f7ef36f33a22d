// Runs a maintenance job for a command: in the server that runs, or in this process where none does.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/schema.ts'
import type { JobKind } from '../runtime/offline-maintenance.ts'
import { askAdmin, NoServerError } from './admin-client.ts'
import type { WithoutServer } from './ask-server.ts'
import { exitCodes, type Invocation } from './command.ts'
import { configFiles, loadOrReport } from './configuration.ts'
import { JobScreen, type ShownJob } from './job-screen.ts'

/** Flags that every command which runs a job takes: put them among its own. */
export const jobFlags: Readonly<Record<'json' | 'online' | 'trust-clock', string>> = {
  json: 'print the report as one JSON object, and no progress',
  online: 'only in a server that runs; where none does, fail',
  'trust-clock': 'the clock is right, though it was set since the last run',
}

/** Where no server runs: for `askServer`, with the calls of maintenance. */
export const withoutServer: WithoutServer = async (config, path, input) => {
  const { callMaintenance } = await import('../runtime/offline-maintenance.ts')
  return callMaintenance(config, path, input)
}

/** What ends a command early: those of the process, or of a test. */
export interface SignalSource {
  on(signal: 'SIGINT' | 'SIGTERM', action: () => void): unknown
  off(signal: 'SIGINT' | 'SIGTERM', action: () => void): unknown
}

const lookMs = 200
// A server that is started anew, or loaded, answers again.
const silenceMsMax = 30_000

/**
 * Resolves to the exit code, with the report printed: `exitCodes.ok` only where it is ok. Ctrl-C asks the
 * job to stop; once more, and a job of a server is left alone. Paths in `input` are absolute.
 */
export async function runJob(
  invocation: Invocation,
  kind: JobKind,
  input: object,
  signals: SignalSource = process,
): Promise<number> {
  const config = loadOrReport(configFiles(invocation), invocation)
  if (config === undefined) return exitCodes.failed
  const screen = new JobScreen(invocation.terminal, {
    isJson: invocation.flags.has('json'),
    elapsed: () => performance.now(),
  })
  const request = { kind, input, trustClock: invocation.flags.has('trust-clock') }
  const interrupts = new Interrupts(signals)
  try {
    const isOnline = invocation.flags.has('online')
    const ended = await runEither(config, request, { screen, interrupts, isOnline })
    screen.clear()
    if (ended === undefined) return exitCodes.failed
    screen.report(ended)
    return ended.ok === true ? exitCodes.ok : exitCodes.failed
  } catch (error) {
    screen.clear()
    if (!(error instanceof Error)) throw error
    invocation.terminal.err(`keelson: ${error.message}\n`)
    return exitCodes.failed
  } finally {
    interrupts.close()
  }
}

interface JobRequest {
  readonly kind: JobKind
  readonly input: object
  readonly trustClock: boolean
}

interface Watching {
  readonly screen: JobScreen
  readonly interrupts: Interrupts
  /** Not without a server. */
  readonly isOnline: boolean
}

async function runEither(
  config: Config,
  request: JobRequest,
  watching: Watching,
): Promise<ShownJob | undefined> {
  const { socket } = config.admin
  if (socket !== undefined) {
    try {
      return await runInServer(socket, request, watching)
    } catch (error) {
      if (!(error instanceof NoServerError) || watching.isOnline) throw error
    }
  }
  if (watching.isOnline) throw new Error('admin.socket is not configured')
  return runHere(config, request, watching)
}

/** Errors: NoServerError only where nothing was begun. */
async function runInServer(
  socket: string,
  request: JobRequest,
  watching: Watching,
): Promise<ShownJob | undefined> {
  const { status, body } = await askAdmin(socket, '/jobs/start', request)
  if (status === 404) throw new Error('the server that runs is of another version: restart it')
  const { run, error } = (body ?? {}) as { readonly run?: string; readonly error?: string }
  if (status !== 202 || run === undefined) throw new Error(error ?? `the server answered ${status}`)
  return new Follower(socket, { kind: request.kind, run }, watching).follow()
}

/** Looks at a run of the server until it ends. */
class Follower {
  readonly #socket: string
  readonly #kind: JobKind
  readonly #run: string
  readonly #watching: Watching
  #heardAt = performance.now()
  #hasAskedToStop = false

  constructor(
    socket: string,
    { kind, run }: { readonly kind: JobKind; readonly run: string },
    watching: Watching,
  ) {
    this.#socket = socket
    this.#kind = kind
    this.#run = run
    this.#watching = watching
  }

  async follow(): Promise<ShownJob | undefined> {
    const { interrupts, screen } = this.#watching
    for (;;) {
      const job = await this.#look()
      if (job !== undefined && job.run !== this.#run) {
        throw new Error(`run ${this.#run} has ended, and another one has begun since: see the log`)
      }
      if (job?.state === 'ended') return job
      if (job?.state === 'interrupted') {
        throw new Error(
          `the process that ran it is gone; the next run of ${this.#kind} goes on from there`,
        )
      }
      if (job !== undefined) screen.progress(this.#kind, job.progress ?? {})
      if (interrupts.count > 1) {
        screen.clear()
        screen.tell(`${this.#kind} goes on in the server: keelson jobs shows it`)
        return undefined
      }
      if (interrupts.count === 1) await this.#askToStop()
      await interrupts.sleep(lookMs)
    }
  }

  async #look(): Promise<ShownJob | undefined> {
    try {
      const { status, body } = await askAdmin(this.#socket, `/jobs?kind=${this.#kind}`)
      if (status !== 200) throw new Error(`the server answered ${status}`)
      this.#heardAt = performance.now()
      return (body as { readonly jobs?: readonly ShownJob[] }).jobs?.[0]
    } catch (error) {
      if (performance.now() - this.#heardAt < silenceMsMax) return undefined
      const why = error instanceof Error ? error.message : String(error)
      throw new Error(`nothing is heard of the run any more: ${why}`)
    }
  }

  async #askToStop(): Promise<void> {
    if (this.#hasAskedToStop) return
    try {
      const { status } = await askAdmin(this.#socket, '/jobs/stop', { kind: this.#kind })
      this.#hasAskedToStop = status === 202
      if (this.#hasAskedToStop) this.#watching.screen.stopping()
    } catch {
      // The next look says what is wrong.
    }
  }
}

async function runHere(
  config: Config,
  request: JobRequest,
  { screen, interrupts }: Watching,
): Promise<ShownJob | undefined> {
  const { runOffline } = await import('../runtime/offline-maintenance.ts')
  const stop = new AbortController()
  interrupts.onFirst(() => {
    screen.stopping()
    stop.abort()
  })
  const { status, body } = await runOffline(config, request, {
    signal: stop.signal,
    onProgress: (progress) => screen.progress(request.kind, progress),
  })
  if (status === 200) return body as ShownJob
  const { error } = body as { readonly error?: string }
  throw new Error(error ?? `${request.kind} could not begin`)
}

/** Counts Ctrl-C, and wakes who sleeps. */
class Interrupts {
  readonly #signals: SignalSource
  readonly #take: () => void
  #wake = new AbortController()
  #onFirst: (() => void) | undefined
  count = 0

  constructor(signals: SignalSource) {
    this.#signals = signals
    this.#take = () => {
      this.count += 1
      this.#wake.abort()
      this.#wake = new AbortController()
      if (this.count === 1) this.#onFirst?.()
    }
    for (const signal of ['SIGINT', 'SIGTERM'] as const) signals.on(signal, this.#take)
  }

  /** From the second one on the process ends, as any other would. */
  onFirst(action: () => void): void {
    this.#onFirst = () => {
      this.close()
      action()
    }
    if (this.count > 0) this.#onFirst()
  }

  async sleep(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#wake.signal }).catch(() => undefined)
  }

  close(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) this.#signals.off(signal, this.#take)
  }
}

// Runs the registry in several processes until a signal ends it.

import { parseConfig, readSources } from '../config/load.ts'
import { ConfigError } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import type { Source } from '../config/source.ts'
import { servesTlsOnUws, shortDoctor } from '../doctor/short.ts'
import { SettledWatch } from '../file-watch/settled-watch.ts'
import { Supervisor } from '../supervise/supervisor.ts'
import { connectServiceManager, type ServiceManager } from '../systemd/notify.ts'
import { statusAfterReload } from '../systemd/status.ts'
import { startWatchdog } from '../systemd/watchdog.ts'
import { createLog, type Log } from '../telemetry/log.ts'
import { exitCodes } from './command.ts'
import { followLogSignals } from './follow-log.ts'
import { tellFatal } from './tell-fatal.ts'
import { watchedFiles } from './watched-files.ts'

/** Resolves to the exit code once all processes have stopped. */
export async function runSupervisor(
  config: Config,
  count: number,
  files: readonly string[],
): Promise<number> {
  const logging = createLog({ ...config.log, process: 'supervisor' })
  const { log } = logging
  followLogSignals(logging, true)
  // Before any process starts, which would else speak for the service.
  const manager = connectServiceManager(process.env, log)
  const running = new Running(config, files, logging, manager)
  const stopped = waitForSignal(() => running.abandon())
  try {
    const supervisor = await running.start(count, stopped)
    if (supervisor !== undefined) {
      const { places, admin } = supervisor.served
      const [first, ...others] = places
      const more = others.length > 0 ? { others } : {}
      const served = { ...first, ...more, admin: admin.socket, pid: process.pid, processes: count }
      log.info(served, 'serving')
      if (config.health.checkHost) {
        void shortDoctor(config, log, { files, hasTlsOnUws: servesTlsOnUws(places) })
      }
      manager.ready(`serving with ${count} processes`)
    }
    const signal = await Promise.race([stopped, ...(supervisor ? [supervisor.lost] : [])])
    if (signal === undefined) throw new Error('no process can serve any more: see above')
    log.info({ signal }, 'stopping: finishing what is in flight')
    const isClean = await running.stop()
    if (!isClean) log.warn('processes that did not stop were killed')
    log.info('stopped')
    return exitCodes.ok
  } catch (error) {
    await running.stop()
    tellFatal(log, error)
    return exitCodes.failed
  } finally {
    await manager.close()
    await logging.flush()
  }
}

/** The processes, and what is told to them when files change or signals come. */
class Running {
  readonly #files: readonly string[]
  readonly #logging: Log
  readonly #manager: ServiceManager
  readonly #watch: SettledWatch
  #inForce: Config
  #supervisor: Supervisor | undefined
  #isAskedEarly = false

  constructor(config: Config, files: readonly string[], logging: Log, manager: ServiceManager) {
    this.#inForce = config
    this.#files = files
    this.#logging = logging
    this.#manager = manager
    this.#watch = new SettledWatch({
      paths: () => watchedFiles(files, this.#inForce),
      onChange: () => this.#reload(),
    })
    process.on('SIGHUP', () => void this.#hangUp())
    process.on('SIGUSR2', () => {
      const isDebug = logging.toggleDebug()
      logging.log.info({ debug: isDebug }, 'SIGUSR2 was sent')
      this.#supervisor?.debug(isDebug)
    })
  }

  /** Undefined where `stopped` came first. Errors: as `Supervisor.start`. */
  async start(count: number, stopped: Promise<unknown>): Promise<Supervisor | undefined> {
    const config = this.#inForce
    if (config.server.watchConfig) await this.#watch.start()
    const { log } = this.#logging
    const sources = readSources(this.#files)
    const supervisor = await Supervisor.start({ config, sources, count, log, stopped })
    if (supervisor === undefined) return undefined
    this.#supervisor = supervisor
    if (this.#isAskedEarly) void this.#reload()
    startWatchdog(this.#manager, async () => supervisor.serving > 0, log)
    return supervisor
  }

  /** True where no process had to be killed. Idempotent. */
  async stop(): Promise<boolean> {
    const { shutdownTimeoutMs } = this.#inForce.server
    this.#manager.stopping(shutdownTimeoutMs)
    await this.#watch.close()
    return (await this.#supervisor?.stop(shutdownTimeoutMs)) ?? true
  }

  abandon(): void {
    this.#supervisor?.abandon()
  }

  async #hangUp(): Promise<void> {
    // While it starts, `ready` would tell the manager that it serves.
    if (this.#supervisor === undefined) {
      this.#isAskedEarly = true
      return
    }
    this.#manager.reloading()
    await Promise.all([this.#supervisor.reopen(), this.#reload()])
    this.#manager.ready()
  }

  async #reload(): Promise<void> {
    if (this.#supervisor === undefined) {
      // What changes while it starts is read after that.
      this.#isAskedEarly = true
      return
    }
    const sources = readAgain(this.#files)
    const result = await this.#supervisor.reload(sources)
    this.#manager.status(statusAfterReload('serving', result))
    if (!result.ok || sources === undefined) return
    const taken = this.#parsed(sources)
    if (taken === undefined) return
    this.#inForce = taken
    this.#logging.setLevel(this.#inForce.log.level)
    this.#logging.setMask(this.#inForce.log.mask)
  }

  // The processes have read the secrets it names a moment ago; a file of one may be gone since.
  #parsed(sources: readonly Source[]): Config | undefined {
    try {
      return parseConfig(sources)
    } catch (error) {
      this.#logging.log.warn({ err: error }, 'this process goes on with the log as it was')
      return undefined
    }
  }
}

/** Undefined where the files cannot be read: a process is asked to refuse that, and tells why. */
function readAgain(files: readonly string[]): readonly Source[] | undefined {
  try {
    return readSources(files)
  } catch (error) {
    if (error instanceof ConfigError) return undefined
    throw error
  }
}

/** `atOnce` ends what runs, before a second signal ends this process as it would any other. */
function waitForSignal(atOnce: () => void): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        resolve(signal)
        process.once(signal, () => {
          atOnce()
          process.kill(process.pid, signal)
        })
      })
    }
  })
}

// Runs the registry until a signal ends it.

import type { Config } from '../config/schema.ts'
import { servesTlsOnUws, shortDoctor } from '../doctor/short.ts'
import { SettledWatch } from '../file-watch/settled-watch.ts'
import type { ReloadResult } from '../runtime/reload.ts'
import { type Runtime, startRuntime } from '../runtime/start.ts'
import type { ChildLink } from '../supervise/child.ts'
import type { ServedPlace } from '../supervise/messages.ts'
import { connectServiceManager } from '../systemd/notify.ts'
import { statusAfterReload } from '../systemd/status.ts'
import { startWatchdog } from '../systemd/watchdog.ts'
import { createLog } from '../telemetry/log.ts'
import { exitCodes } from './command.ts'
import { CrashWatch } from './crash-watch.ts'
import { followLogSignals, reloadWithLog } from './follow-log.ts'
import { tellFatal } from './tell-fatal.ts'
import { productVersion } from './version.ts'
import { watchedFiles } from './watched-files.ts'

export interface ServerOrigin {
  /** What the configuration was read from. */
  readonly files: readonly string[]
  /** Reads it again. Errors: ConfigError. */
  readonly load: () => Config
  /** For the operator, at start. */
  readonly notice?: string
  /** Where this is one of several processes: what is read again, and when, is its supervisor's to say. */
  readonly link?: ChildLink | undefined
}

/** Resolves to the exit code once the server has stopped. */
export async function runServer(config: Config, origin: ServerOrigin): Promise<number> {
  const { files, link, notice } = origin
  const logging = createLog({ ...config.log, ...(link && { process: link.index }) })
  const { log } = logging
  followLogSignals(logging, link !== undefined)
  if (notice !== undefined) log.warn(notice)
  // A supervisor speaks for its processes, and has taken the manager out of their environment.
  const manager = connectServiceManager(process.env, log)
  const stopped = Promise.race([waitForSignal(), ...(link ? [link.stopped] : [])])
  let runtime: Runtime | undefined
  let inForce = config
  let isAskedEarly = false
  const reload = async (): Promise<ReloadResult | undefined> => {
    isAskedEarly = runtime === undefined
    const result = await runtime?.reload(() => {
      inForce = origin.load()
      return inForce
    })
    if (result !== undefined) manager.status(statusAfterReload('serving', result))
    return result
  }
  const watch = new SettledWatch({ paths: () => watchedFiles(files, inForce), onChange: reload })
  // From the start to the end: without a handler this signal would end the process. What comes while it
  // starts is done after that.
  process.on('SIGHUP', () => {
    isAskedEarly = runtime === undefined
    if (link !== undefined || runtime === undefined) return
    manager.reloading()
    const reopened = runtime.reopen().catch((error: unknown) => {
      log.error({ err: error }, 'reload failed')
    })
    void Promise.all([reopened, reload()]).then(() => manager.ready())
  })
  try {
    const watches = config.server.watchConfig && files.length > 0 && link === undefined
    if (watches) await watch.start()
    const started = await startRuntime(config, log, {
      ...{ files, version: productVersion(), link },
      logFigures: logging.figures,
    })
    runtime = { ...started, reload: reloadWithLog(started.reload, logging) }
    if (isAskedEarly) void reload()
    const { listening, served } = placesOf(runtime)
    if (link === undefined) {
      log.info(served, 'serving')
      if (config.health.checkHost)
        void shortDoctor(config, log, { files, hasTlsOnUws: servesTlsOnUws(started.listeners) })
    } else {
      log.debug(served, 'this process serves')
      link.follow({ ...runtime, debug: logging.setDebug })
      link.serving(listening)
    }
    manager.ready('serving')
    startWatchdog(manager, async () => true, log)
    const crash = new CrashWatch(log)
    const signal = await Promise.race([stopped, crash.first])
    log.info({ signal }, 'stopping: finishing what is in flight')
    manager.stopping(inForce.server.shutdownTimeoutMs)
    link?.stopping()
    await watch.close()
    const isClean = await crash.during(runtime.stop())
    if (isClean === false) log.warn('server.shutdown_timeout passed: requests were cut')
    log.info('stopped')
    return crash.hasHappened ? exitCodes.crashed : exitCodes.ok
  } catch (error) {
    tellFatal(log, error)
    link?.failed()
    return exitCodes.failed
  } finally {
    await manager.close()
    await logging.flush()
  }
}

function placesOf({ listeners, admin }: Runtime): {
  readonly listening: readonly ServedPlace[]
  readonly served: object
} {
  const listening = listeners.map(({ listener, transport, tls }) => {
    return { ...listener.local, transport, tls }
  })
  const [first, ...others] = listening
  const more = others.length > 0 ? { others } : {}
  return { listening, served: { ...first, ...more, admin: admin?.socket, pid: process.pid } }
}

function waitForSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      // A second one finds no handler and ends the process at once.
      process.once(signal, () => resolve(signal))
    }
  })
}

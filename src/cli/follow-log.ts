// What changes the log of a running process: signals, and configurations that it takes.
import type { Config } from '../config/schema.ts'
import type { Runtime } from '../runtime/start.ts'
import type { Log } from '../telemetry/log.ts'

/**
 * SIGUSR2 turns debug lines on and off; `isSupervised`: the supervisor says when. SIGUSR1, by which
 * Node.js would open a port for a debugger, does nothing.
 */
export function followLogSignals({ log, toggleDebug }: Log, isSupervised: boolean): void {
  process.on('SIGUSR1', () => log.warn('SIGUSR1 does nothing here: no debugger is opened'))
  // A signal to a whole service reaches each of its processes, and would end one without a handler.
  process.on('SIGUSR2', () => {
    if (isSupervised) return
    // Before the line: the method of a level that is off does nothing, whatever comes after.
    const debug = toggleDebug()
    log.info({ debug }, 'SIGUSR2 was sent')
  })
}

type Reload = Runtime['reload']

/** `reload`, with the log after each configuration that is taken. */
export function reloadWithLog(reload: Reload, { setLevel, setMask }: Log): Reload {
  return async (load) => {
    let taken: Config | undefined
    const result = await reload(() => {
      taken = load()
      return taken
    })
    if (result.ok && taken !== undefined) {
      setLevel(taken.log.level)
      setMask(taken.log.mask)
    }
    return result
  }
}

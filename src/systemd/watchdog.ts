// Beats for the watchdog, as long as everything that must live says so.

import type { Logger } from '../telemetry/log.ts'
import type { ServiceManager } from './notify.ts'

export interface Watchdog {
  stop(): void
}

/**
 * Asks `isAlive` twice in each period of the watchdog, and beats when it says true. A loop that hangs
 * asks nothing; an answer that is false, fails or does not come is no beat. Limits: one question at a time.
 * Source: sd_watchdog_enabled(3).
 */
export function startWatchdog(
  manager: Pick<ServiceManager, 'watchdogMs' | 'alive'>,
  isAlive: () => Promise<boolean>,
  log: Pick<Logger, 'error'>,
): Watchdog {
  const { watchdogMs } = manager
  if (watchdogMs === undefined) return { stop: () => {} }
  let isAsking = false
  let wasAlive = true
  const ask = async (): Promise<void> => {
    if (isAsking) return
    isAsking = true
    const fault = await isAlive().then(
      (isSo) => (isSo ? undefined : new Error('a part of the server does not answer')),
      (error: unknown) => error,
    )
    isAsking = false
    if (fault === undefined) manager.alive()
    else if (wasAlive) log.error({ err: fault }, 'no beat for the watchdog of systemd')
    wasAlive = fault === undefined
  }
  const timer = setInterval(() => void ask(), watchdogMs / 2).unref()
  return { stop: () => clearInterval(timer) }
}

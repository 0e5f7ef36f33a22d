// The guards of one kind, each with its calls: opened together, and ended together.

import { isLoopbackHost } from '../http/loopback.ts'
import { openCaller } from '../outbound/caller.ts'
import type { Caller, CallerAuth, CallerStatus } from '../outbound/contract.ts'
import { parseServiceUrl } from '../outbound/service-url.ts'
import { type CallerTlsFiles, readCallerTls } from '../outbound/tls-files.ts'
import type { GuardCounts } from '../telemetry/guard-counts.ts'
import type { Guard } from './guard.ts'

export interface GuardLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface GuardParts {
  readonly counts: GuardCounts
  /** Units: ms of a clock that only goes forward. */
  readonly elapsed: () => number
  readonly log: GuardLog
}

export interface OpenGuards {
  /** By the names that the configuration gives them. */
  readonly guards: ReadonlyMap<string, Guard>
  status(): ReadonlyArray<{ readonly name: string } & CallerStatus>
  /** Ends what is under way: it is denied. */
  close(): Promise<void>
}

/** Asks none of them yet. Errors: those of `open`, after the others were closed. */
export async function openAll<Config extends { readonly name: string }>(
  configs: readonly Config[],
  open: (config: Config) => Promise<{ readonly caller: Caller; readonly guard: Guard }>,
): Promise<OpenGuards> {
  const callers = new Map<string, Caller>()
  const guards = new Map<string, Guard>()
  const close = async (): Promise<void> => {
    await Promise.all([...callers.values()].map((caller) => caller.close()))
  }
  try {
    for (const config of configs) {
      const { caller, guard } = await open(config)
      callers.set(config.name, caller)
      guards.set(config.name, guard)
    }
  } catch (error) {
    await close()
    throw error
  }
  const status = (): ReturnType<OpenGuards['status']> =>
    [...callers].map(([name, caller]) => ({ name, ...caller.status() }))
  return { guards, status, close }
}

export interface GuardService extends CallerTlsFiles {
  readonly url: string
  readonly timeoutMs: number
  readonly concurrencyMax: number
  readonly breakerFailures: number
  readonly breakerCooldownMs: number
}

export interface GuardCall {
  /** Its table in the configuration, such as `auth.webhook.scanner`. */
  readonly name: string
  /** In the words of the log: `a webhook`. */
  readonly what: string
  readonly auth: CallerAuth | undefined
  /** Something that must not be read on the way is sent. */
  readonly hasSecret: boolean
}

/** Errors: an Error that begins with the key that is wrong. */
export async function openGuardCaller(
  service: GuardService,
  { name, what, auth, hasSecret }: GuardCall,
  { elapsed, log }: GuardParts,
): Promise<Caller> {
  const { url, timeoutMs, concurrencyMax, breakerFailures, breakerCooldownMs } = service
  const { protocol, hostname } = parseServiceUrl(name, url, hasSecret)
  if (protocol === 'http:' && !isLoopbackHost(hostname)) {
    log.warn({ guard: name }, `${what} is asked without TLS: others on the way can answer for it`)
  }
  return openCaller({
    ...{ name, url, timeoutMs, concurrencyMax, elapsed, isFailure },
    tls: await readCallerTls(name, service),
    ...(auth === undefined ? {} : { auth }),
    breaker: { failures: breakerFailures, cooldownMs: breakerCooldownMs },
    onBreaker: (state) => {
      if (state === 'open') {
        log.warn({ guard: name }, `${what} failed too often: all is denied for a while`)
      }
      if (state === 'closed') log.info({ guard: name }, `${what} answers again`)
    },
  })
}

// A service that trips over one question answers 500, and says nothing about the others: whoever found such
// a question could have everybody refused.
function isFailure(status: number): boolean {
  return status > 500
}

// The audit log, with the ordinary log for what it is not told.

import { hash, randomUUID } from 'node:crypto'
import { type Audit, openAudit } from '../audit/audit.ts'
import type { ConfigChange } from '../config/diff.ts'
import type { Config } from '../config/schema.ts'
import { formatConfig } from '../config/summary.ts'
import type { OpenListener } from '../server/listen.ts'
import { logDecision, logLogin, logToken, logTokenAdmin } from '../server/security-log.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Closers } from './closers.ts'

/** It is the last that ends but the stores. Errors: Error for the operator where its file cannot be used. */
export async function openConfiguredAudit(
  config: Config,
  log: Logger,
  closers: Closers,
): Promise<Audit> {
  const audit = await openAudit(config.audit, {
    log,
    plain: {
      decision: (facts) => logDecision(facts, log),
      login: (login) => logLogin(login, log),
      token: (token) => logToken(token, log),
      tokenAdmin: (admin) => logTokenAdmin(admin, log),
    },
    now: Date.now,
    elapsed: () => performance.now(),
    randomUuid: randomUUID,
  })
  closers.add(() => audit.close())
  return audit
}

/** What was loaded, by its files and the hash of what it amounts to, secrets masked. */
export function auditConfig(audit: Audit, config: Config, files: readonly string[]): void {
  const sha256 = hash('sha256', formatConfig(config))
  audit.config({ result: 'loaded', files, sha256, reason: null })
}

interface Reloaded {
  readonly config: Config
  readonly files: readonly string[]
  readonly changes: readonly ConfigChange[]
}

/** What is in force now, and how it differs from what was. */
export function auditReload(audit: Audit, { config, files, changes }: Reloaded): void {
  const sha256 = hash('sha256', formatConfig(config))
  const told = changes.map(({ key, before, after, reload }) => {
    const when = reload === 'restart' ? ' (with the next start)' : ''
    return `${key}: ${before} → ${after}${when}`
  })
  audit.config({ result: 'loaded', files, sha256, reason: null, changes: told })
}

interface Life {
  readonly listeners: readonly OpenListener[]
  readonly version: string
}

/** The start now, and the stop when its turn comes. */
export function auditLife(audit: Audit, { listeners, version }: Life, closers: Closers): void {
  const places = listeners.map(({ listener: { local } }) =>
    local.port === 0 ? local.address : `${local.address}:${local.port}`,
  )
  const life = { version, pid: process.pid, listeners: places }
  audit.server({ event: 'start', ...life })
  closers.add(() => audit.server({ event: 'stop', ...life }))
}

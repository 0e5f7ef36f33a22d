// Puts another configuration in force while the registry serves: all of it that can change, or none.

import { type ConfigChange, diffConfigs } from '../config/diff.ts'
import { mergeLive } from '../config/merge-live.ts'
import { ConfigError } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import type { ReloadFigures } from '../telemetry/reload-figures.ts'
import { configuredPolicies } from './access.ts'
import { auditReload } from './audit.ts'
import type { Foundation } from './foundation.ts'
import { buildGeneration, type Generation } from './generation.ts'
import { requireRules } from './rules.ts'
import { wipeSecrets } from './wipe-secrets.ts'

/** How a reload went. A refused one has changed nothing. */
export type ReloadResult =
  | {
      readonly ok: true
      /** In force from the next request on, as TOML names them. */
      readonly changed: readonly string[]
      /** Still as they were: these keys take effect with the next start. */
      readonly needsRestart: readonly string[]
    }
  | { readonly ok: false; readonly problems: readonly string[] }

interface Parts {
  readonly foundation: Foundation
  readonly files: readonly string[]
  readonly first: Generation
  /** Wall clock, in ms. */
  readonly now: () => number
}

const drainLookMs = 50

/** The generation in force, and those before it that still have requests. */
export class Generations {
  readonly figures: ReloadFigures
  readonly #foundation: Foundation
  readonly #files: readonly string[]
  readonly #now: () => number
  readonly #retiring = new Set<Promise<void>>()
  #current: Generation
  #last: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor({ foundation, files, first, now }: Parts) {
    this.#foundation = foundation
    this.#files = files
    this.#now = now
    this.#current = first
    this.figures = { isLastOk: true, lastOkAtMs: now(), needsRestart: 0, reloads: 0, failures: 0 }
    this.#enforce(first)
  }

  get current(): Generation {
    return this.#current
  }

  /** For the transports, which ask at each request. */
  get pipeline(): Generation['pipeline'] {
    return this.#current.pipeline
  }

  /** One after another. `load` reads the files; its ConfigError is a refusal. Never rejects. */
  reload(load: () => Config): Promise<ReloadResult> {
    const result = this.#last.then(() => this.#attempt(load))
    this.#last = result
    return result
  }

  /** Waits for a reload under way; what is in force ends, whoever still uses it. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#last
    await Promise.all([this.#current.close(), ...this.#retiring])
  }

  async #attempt(load: () => Config): Promise<ReloadResult> {
    if (this.#isClosed) return { ok: false, problems: ['the server is stopping'] }
    try {
      return await this.#apply(load())
    } catch (error) {
      return this.#refuse(error)
    }
  }

  async #apply(next: Config): Promise<ReloadResult> {
    const { counts, stores, tls } = this.#foundation
    const before = this.#current
    const changes = diffConfigs(before.config, next)
    const config = mergeLive(before.config, next)
    requireRules(config, this.#files)
    const policies = configuredPolicies(config)
    const candidate = await buildGeneration(config, policies, this.#foundation, before)
    // Last of what can fail, and the one part that is changed in place.
    if (config.tls !== undefined && tls !== undefined && !(await tls.reload(config.tls))) {
      if (candidate.limits !== before.limits) counts.limits.restoreKeys()
      await candidate.close(before)
      if (before.config.tls !== undefined) await tls.reload(before.config.tls)
      throw new Error('the TLS files cannot be used: the log says why')
    }
    this.#current = candidate
    stores.registry.uploads.allow(config.ingest.sessionsMax)
    const { bodyBudgetBytes } = config.ingest
    stores.registry.bodies.allow(bodyBudgetBytes, config.global.maxManifestSizeBytes)
    stores.registry.pulls.turn(config.retention.pullTimes)
    stores.expiry.ms = config.ingest.sessionExpiryMs
    stores.reserve.bytes = config.storage.reserveBytes
    this.#enforce(candidate)
    this.#retire(before, candidate)
    return this.#accept(changes, next)
  }

  #enforce({ access }: Generation): void {
    this.#foundation.directory.current = access.directory
  }

  #retire(old: Generation, successor: Generation): void {
    const ended = this.#drained(old)
      .then(() => old.close(successor))
      .then(() => wipeSecrets(old.config, successor.config))
      .catch((error: unknown) => {
        this.#foundation.log.error({ err: error }, 'an earlier configuration did not end well')
      })
    this.#retiring.add(ended)
    void ended.finally(() => this.#retiring.delete(ended))
  }

  /** Resolves when no request needs it any more, or when the server ends. */
  #drained(old: Generation): Promise<void> {
    return new Promise((resolve) => {
      const timer = setInterval(() => {
        if (old.pipeline.waiting > 0 && !this.#isClosed) return
        clearInterval(timer)
        resolve()
      }, drainLookMs)
    })
  }

  #accept(changes: readonly ConfigChange[], next: Config): ReloadResult {
    const { audit, log } = this.#foundation
    const named = (reload: ConfigChange['reload']): readonly string[] =>
      changes.filter((change) => change.reload === reload).map(({ key }) => key)
    const changed = named('live')
    const needsRestart = named('restart')
    const { figures } = this
    figures.isLastOk = true
    figures.lastOkAtMs = this.#now()
    figures.needsRestart = needsRestart.length
    figures.reloads += 1
    auditReload(audit, { config: this.#current.config, files: this.#files, changes })
    log.info({ changed }, 'the configuration was read again')
    if (needsRestart.length > 0) {
      log.warn(
        { needsRestart },
        'these keys take effect with the next start; until then they are as before',
      )
    }
    wipeSecrets(next, this.#current.config)
    return { ok: true, changed, needsRestart }
  }

  #refuse(error: unknown): ReloadResult {
    const { audit, log } = this.#foundation
    const problems = problemsOf(error)
    this.figures.isLastOk = false
    this.figures.failures += 1
    const reason = problems.join('; ')
    audit.config({ result: 'refused', files: this.#files, sha256: null, reason })
    log.error({ problems }, 'the configuration was refused: that from before stays in force')
    return { ok: false, problems }
  }
}

function problemsOf(error: unknown): readonly string[] {
  const message = error instanceof Error ? error.message : 'unknown error'
  // A problem a line.
  return error instanceof ConfigError ? message.split('\n') : [message]
}

// Everything that one configuration decides about requests. A reload builds another generation beside
// the one in force, and swaps them when it is whole; requests under way end with the one they began with.

import type { CompiledPolicies } from '../authorize/policy/compile.ts'
import { sameSettings } from '../config/same-settings.ts'
import type { Config } from '../config/schema.ts'
import { afterTimeout, createLimits, type Limits } from '../limit/create.ts'
import type { Registry } from '../operation/registry.ts'
import { ForwardAuth } from '../server/forward-auth.ts'
import { createProxyTrust } from '../server/forwarded.ts'
import { Observer } from '../server/observe.ts'
import { Pipeline } from '../server/pipeline.ts'
import { type Access, openAccess } from './access.ts'
import { Closers } from './closers.ts'
import type { Foundation } from './foundation.ts'
import { registryOf } from './stores.ts'

/** Immutable but for what it counts and remembers. */
export interface Generation {
  readonly config: Config
  readonly pipeline: Pipeline
  readonly registry: Registry
  readonly access: Access
  readonly limits: Limits
  /** Ends what only this generation has; `successor` goes on with what it has taken over. */
  close(successor?: Generation): Promise<void>
}

/**
 * Nothing of it is in force yet, and nothing that is in force is changed.
 * Errors: ConfigError; Error with a message for the operator; then nothing is left open.
 */
export async function buildGeneration(
  config: Config,
  policies: CompiledPolicies,
  foundation: Foundation,
  previous?: Generation,
): Promise<Generation> {
  const { audit, counts, log, stores, tokens, tracing } = foundation
  const closers = new Closers(log)
  try {
    const access = await openAccess(config, policies, foundation, { closers, previous })
    const { clientAddress, origin, trusts } = createProxyTrust(config.server.trustedProxies)
    const { authenticator, authorize, challenges } = access
    const registry = registryOf(config, stores.registry)
    const limits = limitsOf(config, foundation, previous)
    const observer = new Observer({
      ...{ config: config.log, log, clientAddress, trusts },
      ...{ metrics: counts.requests, accessCounts: counts.access },
      randomUuid: registry.randomUuid,
      watcher: tracing?.watcher(new Set(config.log.mask)),
    })
    const pipeline = new Pipeline({
      ...{ registry, authenticator, authorize, challenges, origin, limits, observer },
      ...{ audit, log, tokens: tokens.service },
      forwardAuth:
        config.forwardAuth &&
        new ForwardAuth({ config: config.forwardAuth, authorize, clientAddress }),
    })
    const close = async (successor?: Generation): Promise<void> => {
      await access.oidc.close(successor?.access.oidc)
      await closers.closeAll()
    }
    return { config, pipeline, registry, access, limits, close }
  } catch (error) {
    await closers.closeAll()
    throw error
  }
}

// Nobody gets a new allowance, or loses a place, by a reload that is about something else.
function limitsOf(
  config: Config,
  { counts, sharedLimits }: Foundation,
  previous: Generation | undefined,
): Limits {
  if (previous !== undefined && sameSettings(previous.config.usage, config.usage)) {
    return previous.limits
  }
  counts.limits.replaceKeys()
  return createLimits(config.usage, {
    now: () => performance.now(),
    after: afterTimeout,
    open: sharedLimits.open,
    counts: counts.limits,
  })
}

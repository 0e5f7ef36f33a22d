// The services that are asked about requests beside the policies.

import type { Guards } from '../authorize/guard.ts'
import { createGuards } from '../authorize/guards.ts'
import { openOpas } from '../authorize/opa/open.ts'
import type { OpenGuards } from '../authorize/open-guards.ts'
import { openWebhooks } from '../authorize/webhook/open.ts'
import type { Config } from '../config/schema.ts'
import type { GuardCounts } from '../telemetry/guard-counts.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Closers } from './closers.ts'

export interface ConfiguredGuards {
  /** Undefined where nothing is guarded. */
  readonly guards: Guards | undefined
  readonly webhooks: OpenGuards
  readonly opas: OpenGuards
}

interface GuardsAround {
  readonly counts: { readonly webhooks: GuardCounts; readonly opas: GuardCounts }
  readonly log: Logger
  readonly closers: Closers
}

interface Chosen {
  readonly authorizationWebhook: string | undefined
  readonly authorizationOpa: string | undefined
}

/** Errors: Error with a message for the operator where files of theirs cannot be used. */
export async function openGuards(
  config: Config,
  { counts, log, closers }: GuardsAround,
): Promise<ConfiguredGuards> {
  const elapsed = (): number => performance.now()
  const webhooks = await openWebhooks(config.auth.webhooks, {
    ...{ counts: counts.webhooks, elapsed, log },
  })
  closers.add(() => webhooks.close())
  const opas = await openOpas(config.auth.opas, { counts: counts.opas, elapsed, log })
  closers.add(() => opas.close())
  const guards = createGuards({
    global: chosen(config.global),
    repositories: config.repositories.map((each) => ({ prefix: each.prefix, ...chosen(each) })),
    webhooks: webhooks.guards,
    opas: opas.guards,
  })
  return { guards, webhooks, opas }
}

function chosen({ authorizationWebhook, authorizationOpa }: Chosen): {
  readonly webhook: string | undefined
  readonly opa: string | undefined
} {
  return { webhook: authorizationWebhook, opa: authorizationOpa }
}

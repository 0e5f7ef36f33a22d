// Answers for webhooks in tests: their configuration, and one opened for a service.

import type { TestContext } from 'node:test'
import type { Guard } from '../../../src/authorize/guard.ts'
import type { GuardLog } from '../../../src/authorize/open-guards.ts'
import { openWebhooks } from '../../../src/authorize/webhook/open.ts'
import type { WebhookConfig } from '../../../src/config/schema.ts'
import { GuardCounts } from '../../../src/telemetry/guard-counts.ts'

export const silent: GuardLog = { info: () => undefined, warn: () => undefined }

/** As the configuration would have it with nothing but a URL. */
export function webhookConfig(url: string, changes: Partial<WebhookConfig> = {}): WebhookConfig {
  return {
    ...{ name: 'scanner', url, timeoutMs: 10_000, concurrencyMax: 64, forwardHeaders: [] },
    ...{ cacheTtlMs: 60_000, breakerFailures: 5, breakerCooldownMs: 10_000 },
    ...{ bearerToken: undefined, username: undefined, password: undefined },
    ...{ clientCertificate: undefined, clientPrivateKey: undefined },
    ...{ clientPrivateKeyPassphrase: undefined, serverCaBundle: undefined },
    ...changes,
  }
}

export interface WebhookScene {
  readonly guard: Guard
  readonly counts: GuardCounts
  /** Lines of the log. */
  readonly lines: readonly string[]
}

/** One webhook, closed after the test. */
export async function openWebhook(
  t: TestContext,
  config: WebhookConfig,
  elapsed: () => number = () => performance.now(),
): Promise<WebhookScene> {
  const lines: string[] = []
  const write = (_fields: object, message: string): void => void lines.push(message)
  const counts = new GuardCounts('webhook')
  const log = { info: write, warn: write }
  const webhooks = await openWebhooks([config], { counts, elapsed, log })
  t.after(() => webhooks.close())
  const guard = webhooks.guards.get(config.name)
  if (guard === undefined) throw new Error('no guard')
  return { guard, counts, lines }
}

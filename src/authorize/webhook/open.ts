// The webhooks of a configuration, by name.

import type { WebhookConfig } from '../../config/schema.ts'
import type { CallerAuth } from '../../outbound/contract.ts'
import { type GuardParts, type OpenGuards, openAll, openGuardCaller } from '../open-guards.ts'
import { createWebhook } from './webhook.ts'

// What we say of a request ourselves, and what belongs to a connection. Source: RFC 9110 §7.6.1.
const ourOwn =
  /^(?:x-registry-.*|x-forwarded-(?:method|proto|host|uri|for)|host|accept-encoding|connection|content-length|transfer-encoding|keep-alive|te|trailer|upgrade|expect|proxy-.*)$/
const secretHeaders: ReadonlySet<string> = new Set(['authorization', 'cookie'])

/** Asks none of them yet. Errors: an Error that begins with the key that is wrong. */
export function openWebhooks(
  configs: readonly WebhookConfig[],
  parts: GuardParts,
): Promise<OpenGuards> {
  return openAll(configs, async (config) => {
    const { cacheTtlMs } = config
    const name = `auth.webhook.${config.name}`
    const forwardHeaders = config.forwardHeaders.map((header) => header.toLowerCase())
    const auth = authOf(config)
    checkForwarded(name, forwardHeaders, auth !== undefined)
    const forwardsSecret = forwardHeaders.some((header) => secretHeaders.has(header))
    const hasSecret = auth !== undefined || forwardsSecret
    const caller = await openGuardCaller(
      config,
      { name, what: 'a webhook', auth, hasSecret },
      parts,
    )
    const { counts, elapsed } = parts
    const own = config.name
    const guard = createWebhook({ name: own, caller, forwardHeaders, cacheTtlMs, counts, elapsed })
    return { caller, guard }
  })
}

function authOf({ bearerToken, username, password }: WebhookConfig): CallerAuth | undefined {
  if (bearerToken !== undefined) return { kind: 'bearer', token: bearerToken }
  if (username === undefined || password === undefined) return undefined
  return { kind: 'basic', username, password }
}

function checkForwarded(name: string, headers: readonly string[], hasAuth: boolean): void {
  for (const header of headers) {
    const isTaken = ourOwn.test(header) || (hasAuth && header === 'authorization')
    if (!isTaken) continue
    throw new Error(`${name}.forward_headers: ${header} cannot be passed on, it is set here`)
  }
}

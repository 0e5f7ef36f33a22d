// Goal: a webhook lets nothing through that its service did not allow. Method: the contract of all
// guards, against a service that fails in every way.

import { openWebhooks } from '../../../src/authorize/webhook/open.ts'
import { GuardCounts } from '../../../src/telemetry/guard-counts.ts'
import { guardContract } from '../guard-contract.ts'
import { silent, webhookConfig } from './scene.ts'

guardContract({
  kind: 'webhook',
  allow: { status: 200, body: 'yes' },
  deny: { status: 403, body: 'no' },
  otherwise: {
    'an internal error': { status: 500 },
    'a gateway error': { status: 502, body: 'allow' },
    'too many requests': { status: 429 },
    'an unknown path': { status: 404 },
    'a wrong method': { status: 405 },
    'no change': { status: 304 },
    'several choices': { status: 300 },
    'a payment': { status: 402 },
    'a status of no class': { status: 999 },
  },
  async open({ elapsed, ...options }) {
    const counts = new GuardCounts('webhook')
    const config = webhookConfig(options.url, options)
    const webhooks = await openWebhooks([config], { counts, elapsed, log: silent })
    const guard = webhooks.guards.get(config.name)
    if (guard === undefined) throw new Error('no guard')
    return { guard, close: webhooks.close }
  },
})

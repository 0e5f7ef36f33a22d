// Puts a question to a webhook or an OPA, as the server would for somebody who has not logged in.
import { anonymous } from '../../authenticate/identity.ts'
import type { Asked as Request } from '../../authorize/guard.ts'
import { openOpas } from '../../authorize/opa/open.ts'
import type { GuardParts, OpenGuards } from '../../authorize/open-guards.ts'
import { openWebhooks } from '../../authorize/webhook/open.ts'
import type { OpaConfig, WebhookConfig } from '../../config/schema.ts'
import { GuardCounts } from '../../telemetry/guard-counts.ts'
import type { ServiceFacts } from '../check/services.ts'
import { type Asked, factsOf, patienceMs } from './ask.ts'

export function askWebhook(config: WebhookConfig): Promise<ServiceFacts> {
  const remedy =
    'see that it can be reached, that server_ca_bundle is the CA of its certificate, and that it answers 2xx, 401 or 403'
  const service = { kind: 'webhook', name: config.name, url: config.url } as const
  const timeoutMs = Math.min(config.timeoutMs, patienceMs)
  const open = () => openWebhooks([{ ...config, timeoutMs }], partsOf('webhook'))
  return factsOf(service, () => ask(open, config.name, remedy), remedy)
}

export function askOpa(config: OpaConfig): Promise<ServiceFacts> {
  const remedy = `see that it can be reached, that server_ca_bundle is the CA of its certificate, and that its document ${config.path} is true, false or has an allow`
  const service = { kind: 'opa', name: config.name, url: config.url } as const
  const timeoutMs = Math.min(config.timeoutMs, patienceMs)
  const open = () => openOpas([{ ...config, timeoutMs }], partsOf('opa'))
  return factsOf(service, () => ask(open, config.name, remedy), remedy)
}

async function ask(open: () => Promise<OpenGuards>, name: string, remedy: string): Promise<Asked> {
  const opened = await open()
  try {
    const action = { kind: 'get-api-version', head: false } as const
    const guard = opened.guards.get(name)
    const verdict = await guard?.ask({ identity: anonymous, action, asked: request })
    if (verdict === undefined || verdict.result === 'unavailable') {
      return { reason: verdict?.reason ?? 'no answer', remedy }
    }
    return verdict.result === 'allow'
      ? 'answers, and allows GET /v2/ without a login'
      : 'answers, and denies GET /v2/ without a login'
  } finally {
    await opened.close()
  }
}

const request: Request = {
  ...{ method: 'GET', path: '/v2/', query: '', isSecure: false },
  header: (name) => (name === 'user-agent' ? 'keelson-doctor' : ''),
  clientIp: () => '127.0.0.1',
}

function partsOf(kind: 'webhook' | 'opa'): GuardParts {
  const ignore = (): void => undefined
  return {
    counts: new GuardCounts(kind),
    elapsed: () => performance.now(),
    log: { info: ignore, warn: ignore },
  }
}

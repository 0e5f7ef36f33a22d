// Sends a collector of traces a batch with nothing in it.
import type { TracingConfig } from '../../config/schema.ts'
import { openCaller } from '../../outbound/caller.ts'
import type { ServiceFacts } from '../check/services.ts'
import { factsOf, patienceMs } from './ask.ts'

const remedy = 'see that it runs and takes OTLP over HTTP as JSON, and that bearer_token is right'

export function askCollector(config: TracingConfig): Promise<ServiceFacts> {
  const { endpoint, bearerToken } = config
  const ask = async (): Promise<string | { reason: string; remedy: string }> => {
    const caller = openCaller({
      ...{ name: 'tracing', url: endpoint, concurrencyMax: 1 },
      timeoutMs: Math.min(config.timeoutMs, patienceMs),
      elapsed: () => performance.now(),
      ...(bearerToken && { auth: { kind: 'bearer', token: bearerToken } }),
    })
    try {
      const headers = { 'content-type': 'application/json' }
      const body = '{"resourceSpans":[]}'
      const result = await caller.call({ method: 'POST', headers, body })
      if (result.kind === 'failed') return { reason: result.detail, remedy }
      if (result.status >= 200 && result.status < 300) return 'takes an empty batch'
      return { reason: `it answers ${result.status}`, remedy }
    } finally {
      await caller.close()
    }
  }
  return factsOf({ kind: 'tracing', name: '', url: endpoint }, ask, remedy)
}

// Traces requests and sends them to the collector of the configuration.
//
// Not by the packages of OpenTelemetry: for one kind of span they bring 28 MB and a second of start.

import { hostname } from 'node:os'
import type { TracingConfig } from '../config/schema.ts'
import { openCaller } from '../outbound/caller.ts'
import type { Logger } from '../telemetry/log.ts'
import type { RequestRecord } from '../telemetry/request-record.ts'
import { Sampler, type TraceContext } from './context.ts'
import type { TraceMask, TraceWatcher, Tracing } from './contract.ts'
import { Exporter } from './exporter.ts'
import { randomHex } from './random-hex.ts'
import { spanOf } from './span.ts'

interface TracingParts {
  /** Of this build. */
  readonly version: string
  readonly log: Logger
}

const closeMs = 2_000

/** Errors: Error for an endpoint that cannot be used, such as a token over plain HTTP. */
export function openTracing(config: TracingConfig, { version, log }: TracingParts): Tracing {
  const { endpoint, bearerToken, sample, timeoutMs } = config
  const caller = openCaller({
    ...{ name: 'tracing', url: endpoint, timeoutMs, concurrencyMax: 1 },
    ...(bearerToken === undefined ? {} : { auth: { kind: 'bearer', token: bearerToken } }),
    elapsed: () => performance.now(),
  })
  const headers = { 'content-type': 'application/json' }
  const exporter = new Exporter({
    send: (body) => caller.call({ method: 'POST', headers, body }),
    ...{ resource: resourceOf(version), version, random: Math.random, after },
    onChange: (problem) => {
      if (problem === undefined) log.info('traces are taken again')
      else log.warn({ endpoint, reason: problem }, 'traces cannot be sent')
    },
  })
  const sampler = new Sampler(sample, randomHex())
  return {
    watcher: (mask) => watcherOf(sampler, exporter, mask),
    get figures() {
      return exporter.figures
    },
    close: async () => {
      // A collector that hangs must not hold up the end; what waits is then lost.
      await Promise.race([
        exporter.close(),
        new Promise<void>((end) => setTimeout(end, closeMs).unref()),
      ])
      await caller.close()
    },
  }
}

function watcherOf(sampler: Sampler, exporter: Exporter, mask: TraceMask): TraceWatcher {
  const picked = new WeakMap<RequestRecord, TraceContext>()
  return {
    picks(record) {
      const context = sampler.contextOf(record)
      if (context === undefined) return false
      picked.set(record, context)
      return true
    },
    finished(record) {
      const context = picked.get(record)
      if (context !== undefined) exporter.add(spanOf(record, context, mask, Date.now()))
    },
  }
}

// Source: OpenTelemetry semantic conventions for resources.
function resourceOf(version: string): object {
  const text = (key: string, stringValue: string): object => ({ key, value: { stringValue } })
  return {
    attributes: [
      text('service.name', 'keelson'),
      text('service.version', version),
      text('service.instance.id', `${hostname()}:${process.pid}`),
      text('host.name', hostname()),
    ],
  }
}

// A process that has nothing else to do may end.
function after(delayMs: number, action: () => void): () => void {
  const timer = setTimeout(action, delayMs)
  timer.unref()
  return () => clearTimeout(timer)
}

// The metrics endpoint's content: figures that others count, read when somebody asks.

import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { AuthCounts } from './auth-counts.ts'
import type { EdgeCounts } from './edge-counts.ts'

/** When TLS files expire and how their last reload went; undefined without TLS. */
export interface TlsFigures {
  readonly certificateNotAfterMs: number
  /** The earliest of the revocation lists. */
  readonly crlNextUpdateMs: number | undefined
  readonly lastReloadSuccessful: boolean
}

/** What policies count. */
export interface PolicyCounts {
  /** Rules that could not be evaluated for a request. */
  ruleErrors: number
}

/** The key sets of the identity providers. */
export interface OidcFigures {
  readonly providers: ReadonlyArray<{
    readonly name: string
    readonly keySetAgeMs: number | undefined
    readonly isLastRefreshOk: boolean | undefined
  }>
  readonly clockJumps: number
}

/** What authentication knows of issued and revoked credentials. */
export interface TokenFigures {
  readonly apiKeys: number
  readonly revocations: number
  readonly ageMs: number
}

/** What each listener serves with, for `keelson_listener_info`. */
export interface ListenerFigures {
  readonly address: string
  readonly port: number
  readonly transport: 'uws' | 'node'
  readonly tls: boolean
}

export interface MetricSources {
  readonly edge: EdgeCounts
  readonly policy: PolicyCounts
  readonly logins: AuthCounts
  readonly oidc: () => OidcFigures
  readonly tokens: () => TokenFigures
  readonly tls: () => TlsFigures | undefined
  readonly listeners: readonly ListenerFigures[]
  readonly gauges: () => Readonly<Record<GaugeName, number>>
  /** True where `server.transport = "auto"` had to fall back to node. */
  readonly fellBack: boolean
}

const gauges = {
  requests_in_flight: 'Requests begun and not yet answered',
  uploads_open: 'Upload sessions that this process writes at the moment',
} as const

export type GaugeName = keyof typeof gauges

export interface Metrics {
  /** In the text format of Prometheus. */
  render(): Promise<{ readonly contentType: string; readonly text: string }>
}

/** Names: https://prometheus.io/docs/practices/naming/ – units in the name, counters end in `_total`. */
export function createMetrics(sources: MetricSources): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  edgeMetrics(registry, sources.edge)
  tlsMetrics(registry, sources.tls)
  oidcMetrics(registry, sources.oidc)
  counter(registry, 'keelson_policy_rule_errors_total', 'Policy rules that failed', () => [
    [{}, sources.policy.ruleErrors],
  ])
  counter(
    registry,
    'auth_attempts_total',
    'Credentials shown, by method and how it ended; remembered ones count too',
    () => [...sources.logins.entries()].map(([method, result, n]) => [{ method, result }, n]),
    ['method', 'result'],
  )
  const registers = [registry]
  const tokenGauges = {
    keelson_api_keys: ['API keys that are not revoked', ({ apiKeys }: TokenFigures) => apiKeys],
    keelson_revocations: ['Revoked tokens and users', (tokens: TokenFigures) => tokens.revocations],
    keelson_token_state_age_seconds: [
      'Since the store was last asked for API keys and revocations',
      (tokens: TokenFigures) => tokens.ageMs / 1000,
    ],
  } as const
  for (const [name, [help, read]] of Object.entries(tokenGauges)) {
    new Gauge({
      ...{ name, help, registers },
      collect() {
        this.set(read(sources.tokens()))
      },
    })
  }
  new Gauge({
    name: 'keelson_listener_info',
    help: 'Each listener, with value 1',
    labelNames: ['address', 'port', 'transport', 'tls'],
    registers,
    collect() {
      this.reset()
      for (const { address, port, transport, tls } of sources.listeners) {
        this.set({ address, port: String(port), transport, tls: String(tls) }, 1)
      }
    },
  })
  new Gauge({
    name: 'keelson_transport_fallback',
    help: '1 where no uWebSockets.js binary loads and the slower node transport serves instead',
    registers,
    collect() {
      this.set(sources.fellBack ? 1 : 0)
    },
  })
  for (const [name, help] of Object.entries(gauges) as [GaugeName, string][]) {
    new Gauge({
      name: `keelson_${name}`,
      help,
      registers,
      collect() {
        this.set(sources.gauges()[name])
      },
    })
  }
  return {
    render: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  }
}

function edgeMetrics(registry: Registry, edge: EdgeCounts): void {
  const registers = [registry]
  new Gauge({
    name: 'keelson_connections',
    help: 'Open client connections',
    registers,
    collect() {
      this.set(edge.connections)
    },
  })
  counter(registry, 'keelson_connections_total', 'Client connections accepted', () => [
    [{}, edge.connectionsAccepted],
  ])
  counter(
    registry,
    'keelson_connections_refused_total',
    'Client connections beyond a limit',
    () => [[{}, edge.connectionsRefused]],
  )
  counter(
    registry,
    'keelson_requests_refused_total',
    'Requests answered 429 or 503 at a limit',
    () => [[{}, edge.requestsRefused]],
  )
  counter(
    registry,
    'keelson_connections_closed_slow_total',
    'Connections closed because the client moved too little, by phase',
    () => Object.entries(edge.closedSlow).map(([phase, count]) => [{ phase }, count]),
    ['phase'],
  )
  counter(
    registry,
    'keelson_tls_handshakes_total',
    'TLS handshakes by kind; of the uws transport none, it does not tell',
    () => [
      [{ kind: 'full' }, edge.handshakesFull],
      [{ kind: 'resumed' }, edge.handshakesResumed],
      [{ kind: 'failed' }, edge.handshakesFailed],
    ],
    ['kind'],
  )
  counter(
    registry,
    'keelson_client_certificates_refused_total',
    'Client certificates refused after the handshake',
    () => [[{}, edge.certificatesRefused]],
  )
  counter(
    registry,
    'keelson_proxy_headers_refused_total',
    'Connections dropped for want of a PROXY header that can be believed',
    () => [[{}, edge.proxyHeadersRefused]],
  )
}

function tlsMetrics(registry: Registry, figures: () => TlsFigures | undefined): void {
  const gauge = (name: string, help: string, read: (tls: TlsFigures) => number | undefined) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        const tls = figures()
        const value = tls && read(tls)
        if (value === undefined) this.remove()
        else this.set(value)
      },
    })
  gauge(
    'keelson_tls_certificate_not_after_seconds',
    'When the server certificate expires, in seconds since the epoch',
    (tls) => tls.certificateNotAfterMs / 1000,
  )
  gauge(
    'keelson_tls_crl_next_update_seconds',
    'When the first revocation list expires, in seconds since the epoch',
    (tls) => tls.crlNextUpdateMs && tls.crlNextUpdateMs / 1000,
  )
  gauge(
    'keelson_tls_last_reload_success',
    '1 where the last reload of TLS files was taken',
    (tls) => (tls.lastReloadSuccessful ? 1 : 0),
  )
}

function oidcMetrics(registry: Registry, figures: () => OidcFigures): void {
  const registers = [registry]
  const labelNames = ['provider']
  new Gauge({
    ...{ name: 'keelson_oidc_key_set_age_seconds', labelNames, registers },
    help: 'Since the keys of a provider were fetched; absent while there are none',
    collect() {
      this.reset()
      for (const { name, keySetAgeMs } of figures().providers) {
        if (keySetAgeMs !== undefined) this.set({ provider: name }, keySetAgeMs / 1000)
      }
    },
  })
  new Gauge({
    ...{ name: 'keelson_oidc_last_refresh_success', labelNames, registers },
    help: '1 where the last request for the keys of a provider went well',
    collect() {
      this.reset()
      for (const { name, isLastRefreshOk } of figures().providers) {
        this.set({ provider: name }, isLastRefreshOk === true ? 1 : 0)
      }
    },
  })
  counter(
    registry,
    'keelson_clock_jumps_total',
    'Jumps of the wall clock, which tokens are judged by',
    () => [[{}, figures().clockJumps]],
  )
}

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number]

function counter(
  registry: Registry,
  name: string,
  help: string,
  read: () => readonly Sample[],
  labelNames: string[] = [],
): void {
  new Counter({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      this.reset()
      for (const [labels, value] of read()) this.inc(labels, value)
    },
  })
}

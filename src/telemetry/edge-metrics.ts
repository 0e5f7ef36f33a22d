// Metrics of the listeners and of TLS.

import type { Registry } from 'prom-client'
import type { EdgeCounts } from './edge-counts.ts'
import { counter, gauge, single } from './readings.ts'

/** When TLS files expire and how their last reload went; undefined without TLS. */
export interface TlsFigures {
  readonly certificateNotAfterMs: number
  /** The earliest of the revocation lists. */
  readonly crlNextUpdateMs: number | undefined
  readonly lastReloadSuccessful: boolean
}

/** What each listener serves with, for `keelson_listener_info`. */
export interface ListenerFigures {
  readonly address: string
  readonly port: number
  readonly transport: 'uws' | 'node'
  readonly tls: boolean
}

export interface EdgeSources {
  readonly edge: EdgeCounts
  readonly tls: () => TlsFigures | undefined
  readonly listeners: readonly ListenerFigures[]
  /** True where `server.transport = "auto"` had to fall back to node. */
  readonly fellBack: boolean
}

export function registerEdgeMetrics(registry: Registry, sources: EdgeSources): void {
  connectionMetrics(registry, sources.edge)
  handshakeMetrics(registry, sources.edge)
  tlsMetrics(registry, sources.tls)
  gauge(registry, {
    name: 'keelson_listener_info',
    help: 'Each listener, with value 1',
    labelNames: ['address', 'port', 'transport', 'tls'],
    aggregator: 'max',
    read: () =>
      sources.listeners.map(({ address, port, transport, tls }) => [
        { address, port: String(port), transport, tls: String(tls) },
        1,
      ]),
  })
  gauge(registry, {
    name: 'keelson_transport_fallback',
    help: '1 where no uWebSockets.js binary loads and the slower node transport serves instead',
    aggregator: 'max',
    read: single(() => (sources.fellBack ? 1 : 0)),
  })
}

function connectionMetrics(registry: Registry, edge: EdgeCounts): void {
  gauge(registry, {
    name: 'keelson_connections',
    help: 'Open client connections',
    aggregator: 'sum',
    read: single(() => edge.connections),
  })
  counter(registry, {
    name: 'keelson_connections_total',
    help: 'Client connections accepted',
    read: single(() => edge.connectionsAccepted),
  })
  counter(registry, {
    name: 'keelson_connections_refused_total',
    help: 'Client connections beyond a limit',
    read: single(() => edge.connectionsRefused),
  })
  counter(registry, {
    name: 'keelson_requests_refused_total',
    help: 'Requests answered 429 or 503 at a limit on requests or connections',
    read: single(() => edge.requestsRefused),
  })
  counter(registry, {
    name: 'keelson_connections_closed_slow_total',
    help: 'Connections closed because the client moved too little, by phase',
    labelNames: ['phase'],
    read: () => Object.entries(edge.closedSlow).map(([phase, count]) => [{ phase }, count]),
  })
}

function handshakeMetrics(registry: Registry, edge: EdgeCounts): void {
  counter(registry, {
    name: 'keelson_tls_handshakes_total',
    help: 'TLS handshakes by kind; of the uws transport none, it does not tell',
    labelNames: ['kind'],
    read: () => [
      [{ kind: 'full' }, edge.handshakesFull],
      [{ kind: 'resumed' }, edge.handshakesResumed],
      [{ kind: 'failed' }, edge.handshakesFailed],
    ],
  })
  counter(registry, {
    name: 'keelson_client_certificates_refused_total',
    help: 'Client certificates refused after the handshake',
    read: single(() => edge.certificatesRefused),
  })
  counter(registry, {
    name: 'keelson_proxy_headers_refused_total',
    help: 'Connections dropped for want of a PROXY header that can be believed',
    read: single(() => edge.proxyHeadersRefused),
  })
}

// Of several processes the one that is worst off counts: it too serves clients.
function tlsMetrics(registry: Registry, figures: () => TlsFigures | undefined): void {
  const read = (value: (tls: TlsFigures) => number | undefined) =>
    single(() => {
      const tls = figures()
      return tls && value(tls)
    })
  gauge(registry, {
    name: 'keelson_tls_certificate_not_after_seconds',
    help: 'When the server certificate expires, in seconds since the epoch',
    aggregator: 'min',
    read: read((tls) => tls.certificateNotAfterMs / 1000),
  })
  gauge(registry, {
    name: 'keelson_tls_crl_next_update_seconds',
    help: 'When the first revocation list expires, in seconds since the epoch',
    aggregator: 'min',
    read: read((tls) => tls.crlNextUpdateMs && tls.crlNextUpdateMs / 1000),
  })
  gauge(registry, {
    name: 'keelson_tls_last_reload_success',
    help: '1 where the last reload of TLS files was taken',
    aggregator: 'min',
    read: read((tls) => (tls.lastReloadSuccessful ? 1 : 0)),
  })
}

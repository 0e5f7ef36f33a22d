// What the tables below [server] mean together: listeners, TLS, and what each transport can do.

import type { CheckedTables } from './checked-tables.ts'
import type { ListenerConfig, SchemaValues, TlsConfig } from './schema.ts'
import { fitSocket } from './socket-path.ts'
import type { TableValues } from './tables.ts'
import { formatDuration, formatSize } from './units.ts'

// Compiled into uWebSockets.js: a request body of less over ten seconds ends the connection.
const uwsReceiveRateMinBytes = 16 * 1024
const uwsRateGraceMs = 10_000
const socketModeDefault = 0o660

/** What `[server.tls]` says, or undefined without it. */
export function composeTls(tables: CheckedTables): TlsConfig | undefined {
  if (!tables.has('server.tls')) return undefined
  const { minVersion, ...values } = tables.values('server.tls')
  if (!tables.hasKey('server.tls', 'client_ca_bundle')) {
    const missing = 'expected client_ca_bundle to be given too, since without it no client'
    if (values.clientAuth === 'required') {
      const message = `${missing} certificate can be required; found "required" alone`
      tables.refuse('server.tls', 'client_auth', message)
    }
    if (values.clientCrls.length > 0) {
      const message = `${missing} certificate is checked; found client_crls alone`
      tables.refuse('server.tls', 'client_crls', message)
    }
  }
  return { ...values, minVersion: minVersion === '1.3' ? 'TLSv1.3' : 'TLSv1.2' }
}

/** The list of `[[server.listener]]`, else the one that bind_address and port make. */
export function composeListeners(
  tables: CheckedTables,
  tls: TlsConfig | undefined,
): readonly ListenerConfig[] {
  const items = tables.items('server.listener')
  if (items.length === 0) {
    const { bindAddress: address, port } = tables.values('server')
    return [{ kind: 'tcp', address, port, tls: tls !== undefined, proxyProtocol: false }]
  }
  for (const key of ['bind_address', 'port']) {
    if (!tables.hasKey('server', key)) continue
    const message = `expected no ${key} here beside [[server.listener]]: move it into a listener`
    tables.refuse('server', key, message)
  }
  const taken = new Map<string, TableValues>()
  return items.flatMap((item) => {
    const listener = composeListener(tables, item, tls)
    if (listener === undefined) return []
    refuseTaken(tables, item, listener, taken)
    return [listener]
  })
}

function composeListener(
  tables: CheckedTables,
  item: TableValues,
  tls: TlsConfig | undefined,
): ListenerConfig | undefined {
  // readTables has checked the values against the rows that this type is derived from.
  const values = item.values as SchemaValues<'server.listener'>
  const { proxyProtocol } = values
  const isSocket = item.places.has('socket')
  const isTls = values.tls ?? (tls !== undefined && !isSocket)
  const refuse = (key: string, message: string) => refuseItem(tables, item, key, message)
  if (isTls && tls === undefined) {
    refuse('tls', 'expected [server.tls] to be given too, for the certificate; found true alone')
  }
  if (proxyProtocol && isSocket) {
    const message = 'expected false, since the peer on a unix socket has no address to trust'
    refuse('proxy_protocol', `${message}; found true`)
  } else if (proxyProtocol && tables.values('server').trustedProxies.length === 0) {
    const message =
      'expected server.trusted_proxies to name who may send PROXY headers; found it empty'
    refuse('proxy_protocol', message)
  }
  if (proxyProtocol && tables.values('server').transport === 'uws') {
    const message =
      'expected false, since the uws transport would take a PROXY header ahead of any request: set server.transport = "node"; found true'
    refuse('proxy_protocol', message)
  }
  const end = isSocket ? unixEnd(tables, item, values) : tcpEnd(tables, item, values)
  return end && { ...end, tls: isTls, proxyProtocol }
}

type UnixEnd = Pick<ListenerConfig & { kind: 'unix' }, 'kind' | 'path' | 'mode'>
type TcpEnd = Pick<ListenerConfig & { kind: 'tcp' }, 'kind' | 'address' | 'port'>

function unixEnd(
  tables: CheckedTables,
  item: TableValues,
  { socket, socketMode }: SchemaValues<'server.listener'>,
): UnixEnd | undefined {
  for (const key of ['bind_address', 'port']) {
    if (!item.places.has(key)) continue
    refuseItem(tables, item, key, `expected socket, or bind_address and port; found both`)
  }
  if (socket === undefined) return undefined
  const fit = fitSocket(socket)
  if (fit.problem !== undefined) refuseItem(tables, item, 'socket', fit.problem)
  return { kind: 'unix', path: fit.path, mode: socketMode ?? socketModeDefault }
}

function tcpEnd(
  tables: CheckedTables,
  item: TableValues,
  { bindAddress, port }: SchemaValues<'server.listener'>,
): TcpEnd | undefined {
  for (const key of ['bind_address', 'port']) {
    if (item.places.has(key)) continue
    const message = 'is missing: expected bind_address and port, or socket'
    refuseItem(tables, item, key, message)
  }
  if (item.places.has('socket_mode')) {
    refuseItem(tables, item, 'socket_mode', 'expected socket to be given too; found it alone')
  }
  if (bindAddress === undefined || port === undefined) return undefined
  return { kind: 'tcp', address: bindAddress, port }
}

function refuseTaken(
  tables: CheckedTables,
  item: TableValues,
  listener: ListenerConfig,
  taken: Map<string, TableValues>,
): void {
  // Port 0 is another free port each time.
  if (listener.kind === 'tcp' && listener.port === 0) return
  const end =
    listener.kind === 'unix'
      ? listener.path
      : `${canonicalAddress(listener.address)} port ${listener.port}`
  const other = taken.get(end)
  if (other === undefined) {
    taken.set(end, item)
    return
  }
  const key = listener.kind === 'unix' ? 'socket' : 'port'
  const where = `${other.place?.file}:${other.place?.line}`
  refuseItem(tables, item, key, `expected another place than ${where}; found ${end} again`)
}

function refuseItem(tables: CheckedTables, item: TableValues, key: string, message: string): void {
  const place = item.places.get(key) ?? item.place ?? tables.placeOf('server')
  tables.refuseAt(place, `server.listener.${key}`, message)
}

// `::1` and `0:0:0:0:0:0:0:1` are the same.
function canonicalAddress(address: string): string {
  const origin = `http://[${address}]`
  return URL.canParse(origin) ? new URL(origin).hostname.slice(1, -1) : address
}

/**
 * Why the uws transport cannot serve a listener, so that `transport = "auto"` means node for it;
 * undefined where both can. Source: DESIGN "Transports".
 */
export function nodeReason(
  listener: Pick<ListenerConfig, 'tls' | 'proxyProtocol'>,
  tls: TlsConfig | undefined,
): string | undefined {
  if (listener.proxyProtocol) return 'only the node transport reads PROXY headers'
  if (!listener.tls) return undefined
  if (tls?.clientCaBundle !== undefined) return 'only the node transport checks client certificates'
  if (tls?.minVersion === 'TLSv1.3') return 'only the node transport can refuse TLS 1.2'
  return undefined
}

/** Refuses what the chosen transport cannot do. */
export function refuseForTransport(
  tables: CheckedTables,
  listeners: readonly ListenerConfig[],
  tls: TlsConfig | undefined,
): void {
  const { transport } = tables.values('server')
  if (transport === 'node') return
  if (transport === 'uws') refuseForUws(tables, tls)
  const isUws = (each: ListenerConfig) => nodeReason(each, tls) === undefined
  if (transport === 'uws' || listeners.some(isUws)) refuseSlowerThanUws(tables)
}

// What is wrong with one listener is told with that listener.
function refuseForUws(tables: CheckedTables, tls: TlsConfig | undefined): void {
  const refuse = (reason: string) => {
    const message = `expected "node", or "auto", which then chooses node, since only the node transport ${reason}; found "uws"`
    tables.refuse('server', 'transport', message)
  }
  if (tls?.clientCaBundle !== undefined) {
    refuse('checks client certificates and server.tls.client_ca_bundle is given')
  }
  if (tls?.minVersion === 'TLSv1.3') refuse('can refuse TLS 1.2, as server.tls.min_version asks')
}

function refuseSlowerThanUws(tables: CheckedTables): void {
  const { receiveRateMinBytes, rateGraceMs } = tables.values('server.limits')
  const compiled = 'which the uws transport has compiled in: set server.transport = "node" for'
  if (receiveRateMinBytes < uwsReceiveRateMinBytes) {
    const message = `expected at least ${formatSize(uwsReceiveRateMinBytes)}, ${compiled} less; found ${formatSize(receiveRateMinBytes)}`
    tables.refuse('server.limits', 'receive_rate_min', message)
  }
  if (rateGraceMs > uwsRateGraceMs) {
    const message = `expected at most ${formatDuration(uwsRateGraceMs)}, ${compiled} more; found ${formatDuration(rateGraceMs)}`
    tables.refuse('server.limits', 'rate_grace', message)
  }
}

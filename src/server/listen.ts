// Opens every listener of the configuration, each on the transport that can do what is asked of it.

import { getFips } from 'node:crypto'
import type { ListenerConfig, TlsConfig } from '../config/schema.ts'
import type { HeaderPair } from '../http/header-block.ts'
import type { Logger } from '../telemetry/log.ts'
import type { TlsMaterial } from './tls/contract.ts'
import type { Listener, Transport, TransportOptions } from './transport/exchange.ts'
import { listenNode } from './transport/node/listen.ts'
import { listenUws, uwsCaution, uwsProblem } from './transport/uws/listen.ts'

export type TransportName = 'uws' | 'node'

export interface OpenListener {
  readonly listener: Listener
  readonly transport: TransportName
  readonly tls: boolean
}

/** What is the same for all listeners; `replyHeaders` may differ with TLS. */
export interface ListenerDefaults
  extends Omit<TransportOptions, 'socket' | 'tls' | 'proxyProtocol' | 'replyHeaders'> {
  readonly choice: 'auto' | TransportName
  readonly tlsConfig: TlsConfig | undefined
  readonly trusts: (peerAddress: string) => boolean
  /** Whether this process must use the cryptography of a FIPS provider alone; default: what OpenSSL says. */
  readonly isFips?: boolean
  readonly replyHeaders: (tls: boolean) => readonly HeaderPair[]
  readonly log: Logger
}

/**
 * Open them all, or none. `tls` is asked for when a listener needs it.
 * Errors: Error with a message for the operator: a taken port, a transport that cannot do what is asked.
 */
export async function openListeners(
  listeners: readonly ListenerConfig[],
  defaults: ListenerDefaults,
  tls: () => TlsMaterial | undefined,
): Promise<readonly OpenListener[]> {
  const open: OpenListener[] = []
  try {
    for (const each of listeners) {
      const { name, transport } = transportFor(each, defaults)
      const listener = await transport(optionsOf(each, defaults, tls)).catch((error: unknown) => {
        throw explainListenError(error, each)
      })
      open.push({ listener, transport: name, tls: each.tls })
    }
    return open
  } catch (error) {
    for (const { listener } of open) listener.close()
    throw error
  }
}

/** The system's own words do not say what would be enough. */
export function explainListenError(error: unknown, listener: ListenerConfig): unknown {
  const isPrivileged = listener.kind === 'tcp' && listener.port > 0 && listener.port < 1024
  if (!isPrivileged || !(error instanceof Error) || !('code' in error)) return error
  if (error.code !== 'EACCES') return error
  const remedy =
    'give it CAP_NET_BIND_SERVICE (AmbientCapabilities= in its unit), or a port from 1024 on'
  const { address, port } = listener
  const message = `${address} port ${port}: this user may not listen there: ${remedy}`
  return new Error(message, { cause: error })
}

function optionsOf(
  listener: ListenerConfig,
  defaults: ListenerDefaults,
  tls: () => TlsMaterial | undefined,
): TransportOptions {
  const { pace, admission, counts, busy, handler, refuse, onFault, trusts } = defaults
  const { onCertificateRefused, sharesAddress = false } = defaults
  const socket: TransportOptions['socket'] =
    listener.kind === 'tcp'
      ? { kind: 'tcp', address: listener.address, port: listener.port }
      : { kind: 'unix', path: listener.path, mode: listener.mode }
  return {
    ...{ pace, admission, counts, busy, handler, refuse, onFault, socket },
    ...(onCertificateRefused && { onCertificateRefused }),
    sharesAddress,
    tls: listener.tls ? tls() : undefined,
    proxyProtocol: listener.proxyProtocol ? { trusts } : undefined,
    replyHeaders: defaults.replyHeaders(listener.tls),
  }
}

function transportFor(
  listener: ListenerConfig,
  defaults: ListenerDefaults,
): { readonly name: TransportName; readonly transport: Transport } {
  const node = { name: 'node', transport: listenNode } as const
  const { choice, log } = defaults
  if (choice === 'node') return node
  const reason = whyNode(listener, defaults)
  if (reason !== undefined) {
    if (choice === 'uws') throw new Error(`server.transport = "uws": ${reason}; set it to "node"`)
    return node
  }
  const uws = { name: 'uws', transport: listenUws } as const
  const doubt = uwsProblem ?? uwsCaution
  if (doubt === undefined) return uws
  if (choice === 'auto') {
    log.warn({ reason: doubt }, 'falling back to the node transport, which is slower')
    return node
  }
  if (uwsProblem !== undefined) throw new Error(`server.transport = "uws": ${uwsProblem}`)
  log.warn({ reason: uwsCaution }, 'uws serves, as server.transport = "uws" asks for')
  return uws
}

// What uWebSockets.js cannot do. Source: DESIGN "Transports".
function whyNode(
  listener: ListenerConfig,
  { tlsConfig: tls, sharesAddress = false, isFips = getFips() === 1 }: ListenerDefaults,
): string | undefined {
  if (listener.kind === 'unix' && sharesAddress) return 'it cannot share a unix socket'
  if (listener.proxyProtocol) return 'it cannot tell whose PROXY header it reads'
  if (!listener.tls) return undefined
  if (tls?.clientCaBundle !== undefined) return 'it cannot read or require client certificates'
  if (tls?.minVersion === 'TLSv1.3') return 'it cannot refuse TLS 1.2'
  if (isFips) return 'its cryptography is not that of the FIPS provider'
  return undefined
}

/** True where `auto` never takes uws. */
export function hasFallenBack(choice: 'auto' | TransportName): boolean {
  return choice === 'auto' && (uwsProblem ?? uwsCaution) !== undefined
}

/** Requests begun and not yet answered, on all of them. */
export function inFlight(listeners: readonly OpenListener[]): number {
  return listeners.reduce((sum, { listener }) => sum + listener.inFlight(), 0)
}

export function closeListeners(listeners: readonly OpenListener[]): void {
  for (const { listener } of listeners) listener.close()
}

/** Take nothing new and wait for what is in flight. True where nothing is left. Units: ms. */
export async function drain(
  listeners: readonly OpenListener[],
  timeoutMs: number,
): Promise<boolean> {
  for (const { listener } of listeners) listener.stopAccepting()
  const deadline = Date.now() + timeoutMs
  while (inFlight(listeners) > 0 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return inFlight(listeners) === 0
}

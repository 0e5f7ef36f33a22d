// Makes the scenarios over TLS that need a client of our own: connections, and client certificates.

import { MIB, oneBlob, smallImage } from './content.ts'
import type { Edge, Expectation, Guard, Scenario } from './contract.ts'
import { type TlsOrder, tlsLoad } from './load/tls-load.ts'
import { ROUNDS_ANY, targetHeaders, targetPath } from './scenario-kind.ts'

type SecureEdge = Exclude<Edge, 'plain'>

const TITLES: Readonly<Record<SecureEdge, string>> = {
  tls: 'TLS',
  optional: 'TLS (node-tls)',
  mtls: 'mTLS',
}

const SMALL = {
  edge: 'tls' as SecureEdge,
  stores: ['disk'] as const,
  references: ['nginx-static'] as const,
  content: smallImage,
  writes: false,
  warmUp: true,
  roundsMax: ROUNDS_ANY,
  storeBytesMax: MIB,
}

export interface ConnectionScenario {
  readonly edge: SecureEdge
  readonly mode: 'handshake' | 'connect'
  readonly version: '1.2' | '1.3'
  readonly resume: boolean
  /** Of the servers' certificate; P-256 by default. */
  readonly key?: 'rsa'
  readonly expected: readonly Expectation[]
}

/** How many connections per second: with nothing but a handshake, or with one request each. */
export function connectionScenario(wanted: ConnectionScenario): Scenario {
  const { edge, mode, version, resume, key } = wanted
  const kind = resume ? 'resumed' : 'full'
  const what = mode === 'handshake' ? 'handshakes' : 'new connection per manifest GET,'
  return {
    ...SMALL,
    ...(key === undefined ? {} : { key }),
    name: `${edge === 'optional' ? 'node-tls' : edge}-${mode}-${kind}-${version}${key === undefined ? '' : '-rsa'}`,
    asks: `${TITLES[edge]} ${what} ${kind}, TLS ${version}${key === undefined ? '' : ', RSA'}`,
    unit: 'conn/s',
    edge,
    round: async (server, content, context) => {
      const { connections } = context
      const order: TlsOrder = {
        ...{ mode, version, resume, connections },
        ...{ path: targetPath(content, 'tag'), headers: targetHeaders('tag') },
      }
      const result = await tlsLoad(server, order, context)
      return { ...result, figure: result.requests / result.seconds }
    },
    expected: wanted.expected,
  }
}

export interface KeepAliveScenario {
  readonly name: string
  readonly asks: string
  readonly edge: SecureEdge
  readonly target: 'tag' | 'blob'
  /** Of the blob, in bytes. */
  readonly size?: number
  /** Default those of the run. */
  readonly connections?: number
  /** Default `open`. */
  readonly guard?: Guard
  readonly expected: readonly Expectation[]
}

/** How many requests, or MB of a blob of `size`, per second on connections that stay. */
export function keepAliveScenario(wanted: KeepAliveScenario): Scenario {
  const { name, asks, edge, target, size } = wanted
  return {
    ...SMALL,
    ...{ name, asks, edge },
    guard: wanted.guard ?? 'open',
    unit: size === undefined ? 'req/s' : 'MB/s',
    content: size === undefined ? smallImage : () => oneBlob(size),
    storeBytesMax: size ?? MIB,
    round: async (server, content, context) => {
      const order: TlsOrder = {
        ...{ mode: 'keepalive', version: '1.3', resume: false },
        ...{ path: targetPath(content, target), headers: targetHeaders(target) },
        connections: wanted.connections ?? context.connections,
      }
      const result = await tlsLoad(server, order, context)
      const amount = size === undefined ? result.requests : result.bytes / 1e6
      return { ...result, figure: amount / result.seconds }
    },
    expected: wanted.expected,
  }
}

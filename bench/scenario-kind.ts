// Makes the four kinds of scenario, so that a scenario file holds only what is special about it.

import {
  type Content,
  EMPTY,
  MANIFEST_TYPE,
  MIB,
  oneBlob,
  REPOSITORY,
  smallImage,
} from './content.ts'
import type { Cores, Expectation, Guard, ReferenceName, Scenario } from './contract.ts'
import { pull, push } from './load/drive.ts'
import type { PushFlow } from './load/push.ts'
import { requestRate } from './load/request-rate.ts'

export const ROUNDS_ANY: number = Number.MAX_SAFE_INTEGER

function firstManifest(content: Content): { readonly tag: string; readonly digest: string } {
  const [manifest] = content.manifests
  if (manifest === undefined) throw new Error('this content has no manifest')
  return manifest
}

function firstBlob(content: Content): { readonly digest: string; readonly size: number } {
  const [blob] = content.blobs
  if (blob === undefined) throw new Error('this content has no blob')
  return blob
}

/** What is asked for: the first manifest by tag or digest, the first blob, or a list. */
export type Target = 'ping' | 'tag' | 'digest' | 'blob' | 'tags'

export function targetPath(content: Content, target: Target): string {
  const base = `/v2/${content.repository}`
  if (target === 'ping') return '/v2/'
  if (target === 'tags') return `${base}/tags/list`
  if (target === 'blob') return `${base}/blobs/${firstBlob(content).digest}`
  return `${base}/manifests/${firstManifest(content)[target]}`
}

// docker-registry hides OCI manifests from clients that do not ask for them.
export function targetHeaders(target: Target): readonly string[] {
  return target === 'tag' || target === 'digest' ? [`Accept: ${MANIFEST_TYPE}`] : []
}

export interface RequestScenario {
  readonly name: string
  readonly asks: string
  readonly method: 'GET' | 'HEAD'
  readonly target: Target
  /** The client has the manifest already and says so: 304. */
  readonly isKnown?: true
  readonly edge: 'plain' | 'tls'
  /** Default `open`. */
  readonly guard?: Guard
  /** Default `one`. */
  readonly cores?: Cores
  /** Default 1. */
  readonly processes?: number
  /** Default all that can answer it. */
  readonly references?: readonly ReferenceName[]
  readonly expected: readonly Expectation[]
}

// Their TLS is that of Go or Rust, which is no yardstick for ours.
const PLAIN_ONLY: readonly ReferenceName[] = ['docker-registry', 'zot', 'distribution', 'angos']

/** How many of one small request per second, with wrk. */
export function requestScenario(wanted: RequestScenario): Scenario {
  return {
    name: wanted.name,
    asks: wanted.asks,
    unit: 'req/s',
    edge: wanted.edge,
    guard: wanted.guard ?? 'open',
    cores: wanted.cores ?? 'one',
    processes: wanted.processes ?? 1,
    stores: ['disk'],
    references: wanted.references ?? [
      ...(['nginx-static', 'bare-uws'] as const),
      ...(wanted.edge === 'plain' ? PLAIN_ONLY : []),
    ],
    content: smallImage,
    round: (server, content, context) => {
      const { method, target, isKnown = false } = wanted
      const path = targetPath(content, target)
      const known = isKnown ? [`If-None-Match: "${firstManifest(content).digest}"`] : []
      const headers = [...targetHeaders(target), ...known]
      return requestRate(server, { method, path, status: isKnown ? 304 : 200, headers }, context)
    },
    writes: false,
    warmUp: true,
    roundsMax: ROUNDS_ANY,
    storeBytesMax: MIB,
    expected: wanted.expected,
  }
}

export interface PullScenario {
  readonly name: string
  readonly asks: string
  readonly size: number
  readonly connections: number
  readonly expected: readonly Expectation[]
}

/** How many MB of one large blob per second. */
export function pullScenario(wanted: PullScenario): Scenario {
  return {
    name: wanted.name,
    asks: wanted.asks,
    unit: 'MB/s',
    edge: 'plain',
    stores: ['disk'],
    references: ['nginx-static', ...PLAIN_ONLY],
    content: () => oneBlob(wanted.size),
    round: async (server, content, context) => {
      const { digest, size } = firstBlob(content)
      const path = `/v2/${content.repository}/blobs/${digest}`
      const { connections } = wanted
      const order = { port: server.port, path, size, connections, seconds: context.seconds }
      const result = await pull(order, context)
      return { ...result, figure: result.bytes / 1e6 / result.seconds, driver: 'node socket' }
    },
    writes: false,
    warmUp: true,
    roundsMax: ROUNDS_ANY,
    storeBytesMax: wanted.size,
    expected: wanted.expected,
  }
}

export interface PushScenario {
  readonly name: string
  readonly asks: string
  readonly unit: 'MB/s' | 'push/s'
  readonly size: number
  readonly connections: number
  readonly flow: PushFlow
  /** Default `one`. */
  readonly cores?: Cores
  /** Default true. */
  readonly warmUp?: boolean
  readonly expected: readonly Expectation[]
}

// What one round may leave in a store before it is reclaimed, beside one push per connection.
const ROUND_BYTES_MAX = 1536 * MIB

/** How many MB or how many blobs per second, on disk and on tmpfs. */
export function pushScenario(wanted: PushScenario): Scenario {
  return {
    name: wanted.name,
    asks: wanted.asks,
    unit: wanted.unit,
    edge: 'plain',
    cores: wanted.cores ?? 'one',
    stores: ['disk', 'memory'],
    // The hash bounds bytes, not blobs, so it stands beside MB/s alone.
    references:
      wanted.unit === 'MB/s'
        ? [...PLAIN_ONLY, 'null-sink', 'openssl-sha256']
        : [...PLAIN_ONLY, 'null-sink'],
    content: () => EMPTY,
    round: async (server, _content, context) => {
      const { size, connections, flow } = wanted
      const order = {
        ...{ port: server.port, repository: REPOSITORY, size, flow, connections },
        ...{ seconds: context.seconds, bytesMax: ROUND_BYTES_MAX, allInFlight: false },
        announce: server.name === 'null-sink',
      }
      const result = await push(order, context)
      const amount = wanted.unit === 'MB/s' ? result.bytes / 1e6 : result.requests
      return { ...result, figure: amount / result.seconds, driver: 'node socket' }
    },
    writes: true,
    warmUp: wanted.warmUp ?? true,
    roundsMax: ROUNDS_ANY,
    storeBytesMax: ROUND_BYTES_MAX + wanted.size * wanted.connections,
    expected: wanted.expected,
  }
}

// What a scenario, a subject (Keelson or a reference) and a measured round are.
// Scenarios and references are one file each; the runner knows only these types.

import type { Content } from './content.ts'

export type ReferenceName =
  | 'nginx-static'
  | 'bare-uws'
  | 'docker-registry'
  | 'zot'
  | 'distribution'
  | 'angos'
  | 'null-sink'
  | 'openssl-sha256'
export type SubjectName = 'keelson' | ReferenceName

/**
 * How clients come in: plain HTTP; TLS; TLS that would take a client certificate, but none is shown;
 * TLS with client certificates. Keelson takes its node-tls transport for the last two.
 */
export type Edge = 'plain' | 'tls' | 'optional' | 'mtls'

/**
 * What stands before every request. `open`: one rule that allows all, no access log. The others:
 * ten CEL rules, access log and metrics on, and clients that are nobody, show a password (argon2id)
 * or a registry token. References are open always.
 */
export type Guard = 'open' | 'anonymous' | 'basic' | 'bearer'

/** `one`: the server has a core for itself and the load another. `all`: neither is pinned. */
export type Cores = 'one' | 'all'

/** What a client needs to talk TLS with a server. Paths of PEM files. */
export interface Credentials {
  readonly caFile: string
  readonly client: { readonly certificateFile: string; readonly keyFile: string } | undefined
}

/** What a server needs, and its clients. Paths of PEM files. */
export interface TlsFiles {
  /** Leaf first, then its chain. */
  readonly certificateFile: string
  readonly keyFile: string
  /** Undefined where clients are not asked for a certificate. */
  readonly clientCaFile: string | undefined
  readonly clientAuth: 'optional' | 'required'
  readonly credentials: Credentials
}

/** Where a server answers on loopback. */
export interface Origin {
  readonly port: number
  /** Undefined for plain HTTP. */
  readonly credentials: Credentials | undefined
  /** The value of the Authorization header that its clients send, if any. */
  readonly authorization?: string
}

/** Where the store of a server lives: a disk file system, or tmpfs. */
export type StoreKind = 'disk' | 'memory'

export interface Percentiles {
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
}

/** What a load driver reports about one round. Units: seconds, bytes, milliseconds. */
export interface DriverResult {
  readonly requests: number
  readonly bytes: number
  readonly seconds: number
  readonly latencyMs: Percentiles | undefined
}

/** A measured round; `figure` is in the unit of its scenario. */
export interface Round extends DriverResult {
  readonly figure: number
  readonly driver: string
  /** Other figures of this round, by names that end in their units. */
  readonly beside?: Readonly<Record<string, number>>
}

export interface Server extends Origin {
  readonly kind: 'server'
  readonly name: SubjectName
  readonly pid: number
  /** Tree whose files of pushed bytes may be deleted between rounds of a push scenario. */
  readonly blobRoot: string | undefined
  /** Tree with the files that it serves, where there is no `blobRoot`. */
  readonly contentRoot?: string
  /** Which of those files; the ones named `data` by default. */
  readonly isBlob?: (path: string) => boolean
  readonly load: (content: Content) => Promise<void>
  readonly stop: () => Promise<void>
}

/** A yardstick that is a program and no server; it measures itself. Units: seconds. */
export interface Gauge {
  readonly kind: 'gauge'
  readonly name: SubjectName
  readonly measure: (seconds: number) => Promise<Round>
}

export interface StartContext {
  /** Empty directory of the wanted store kind, removed by the caller. */
  readonly directory: string
  readonly serverCores: string | undefined
  /** Undefined for plain HTTP. */
  readonly tls: TlsFiles | undefined
  /** Default `open`. */
  readonly guard?: Guard
  /** Of `server.processes`; default 1. */
  readonly processes?: number
  /** TOML that comes last in Keelson's configuration: tables of a scenario's own. */
  readonly settings?: string
}

export interface Subject {
  readonly name: SubjectName
  /** The version as the program itself states it, or undefined where it is not installed. */
  readonly version: () => string | undefined
  readonly start: (context: StartContext) => Promise<Server | Gauge>
}

export interface RoundContext {
  readonly seconds: number
  readonly connections: number
  readonly loadCores: string | undefined
}

export type Expectation =
  | {
      readonly against: ReferenceName
      readonly atLeast: number
      readonly store?: StoreKind
      /** Compare the work done per CPU-second of the servers: where the load core is the limit. */
      readonly perCpu?: true
    }
  | {
      readonly atMost: number
      /** Or so many times the median of a figure of `Round.beside`, whichever is more. */
      readonly orTimes?: { readonly beside: string; readonly factor: number }
    }
  /** A figure by itself, in the unit of the scenario. */
  | { readonly figureAtLeast: number }

export interface Scenario {
  readonly name: string
  /** One question, as the report prints it. */
  readonly asks: string
  readonly unit: 'req/s' | 'conn/s' | 'MB/s' | 'push/s' | 'MiB' | 'ms'
  readonly edge: Edge
  /** Of the servers' certificate; P-256 by default. */
  readonly key?: 'rsa'
  /** Default `open`. */
  readonly guard?: Guard
  /** Default `one`. */
  readonly cores?: Cores
  /** Default 1. */
  readonly processes?: number
  readonly settings?: string
  readonly stores: readonly StoreKind[]
  readonly references: readonly ReferenceName[]
  /** Loaded into each server once, off the clock. */
  readonly content: () => Content
  readonly round: (server: Server, content: Content, context: RoundContext) => Promise<Round>
  /** Rounds leave bytes in the store, which are reclaimed between them. */
  readonly writes: boolean
  /** One unrecorded short round first, for compilers and caches. */
  readonly warmUp: boolean
  readonly roundsMax: number
  /** Bytes that one server may hold in its store at a time; the runner skips where it will not fit. */
  readonly storeBytesMax: number
  readonly expected: readonly Expectation[]
}
